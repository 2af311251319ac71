// A card over the whole map.
uniform mat4 p3d_ModelViewProjectionMatrix;
in vec4 p3d_Vertex;
out vec2 square;

void main() {
    gl_Position = p3d_ModelViewProjectionMatrix * p3d_Vertex;
    square = gl_Position.xy;
}
