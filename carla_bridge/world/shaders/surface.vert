#version 330
// Every material's vertex shader: world place and normal for the fragment shader.
uniform mat4 p3d_ModelViewProjectionMatrix;
in vec4 p3d_Vertex;
in vec3 p3d_Normal;
in vec4 p3d_Color;
in vec4 p3d_MultiTexCoord0;
out vec3 place;
out vec3 normal;
out vec3 tint;
out vec3 uvw;

void main() {
    gl_Position = p3d_ModelViewProjectionMatrix * p3d_Vertex;
    place = p3d_Vertex.xyz;  // nothing is moved after it is built: model space is the world
    normal = p3d_Normal;
    tint = pow(p3d_Color.rgb, vec3(2.2));
    uvw = p3d_MultiTexCoord0.xyz;
}
