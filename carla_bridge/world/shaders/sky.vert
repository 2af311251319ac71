#version 330
uniform mat4 p3d_ModelViewProjectionMatrix;
in vec4 p3d_Vertex;
out vec3 direction;

void main() {
    gl_Position = (p3d_ModelViewProjectionMatrix * p3d_Vertex).xyww;
    direction = p3d_Vertex.xyz;  // the dome's centre moves with the camera
}
