// Things seen along the sun, onto z = 0; or from straight above, where the slope is zero.
uniform mat4 p3d_ModelViewProjectionMatrix;
#ifdef MOVED
uniform mat4 p3d_ModelMatrix;
uniform mat4 p3d_ViewProjectionMatrix;
#endif
uniform vec2 castSlope;
in vec4 p3d_Vertex;
in vec4 p3d_Color;
out vec3 place;
flat out float tag;

void main() {
#ifdef MOVED
    place = (p3d_ModelMatrix * p3d_Vertex).xyz;
#else
    place = p3d_Vertex.xyz;
#endif
    tag = floor(p3d_Color.a * 255.0 + 0.5);
    vec3 moved = vec3(place.xy - castSlope * place.z, place.z);
#ifdef MOVED
    gl_Position = p3d_ViewProjectionMatrix * vec4(moved, 1.0);
#else
    gl_Position = p3d_ModelViewProjectionMatrix * vec4(moved, 1.0);
#endif
}
