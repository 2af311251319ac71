// A shadow map as it is, with its heights as depths: what is drawn over it and lower stays under.
uniform sampler2D still;
uniform vec2 castHeight;
uniform vec3 camera;  // its height, nearest and farthest metres
in vec2 square;  // -1..1
out vec4 fragment;

void main() {
    fragment = texture(still, square * 0.5 + 0.5);
    float height = castHeight.x + castHeight.y * fragment.g;
    float depth = (camera.x - height - camera.y) / (camera.z - camera.y);
    gl_FragDepth = fragment.r < 0.5 ? depth : 1.0;
}
