// What stands in the light: red nothing, green how high it is.
uniform sampler2D noise;
uniform vec2 castHeight;
in vec3 place;
flat in float tag;
out vec4 fragment;

void main() {
#ifdef FOLIAGE
    if (texture(noise, place.xz * 0.11 + place.y * 0.07).g < 0.4) discard;
#endif
#ifdef ABOVE
    // Buildings, walls, people and vehicles stand on the ground; crowns and lamps do not.
    bool stands = tag == 3.0 || tag == 4.0 || tag == 28.0 || (tag > 11.5 && tag < 19.5);
    if (!stands) discard;
#endif
    fragment = vec4(0.0, clamp((place.z - castHeight.x) / castHeight.y, 0.0, 1.0), 0.0, 1.0);
}
