// The sky: a cube about the camera, at the far plane.
uniform mat4 p3d_ViewMatrix;
uniform mat4 p3d_ProjectionMatrix;
in vec4 p3d_Vertex;
out vec3 direction;

void main() {
    direction = p3d_Vertex.xyz;
    gl_Position = (p3d_ProjectionMatrix * vec4(mat3(p3d_ViewMatrix) * direction, 1.0)).xyww;
    gl_Position.y = -gl_Position.y;
}
