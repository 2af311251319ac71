// The sky in a direction, from its map; the sun's disc is too small for the map.
uniform sampler2D skyMap;
uniform vec3 sun;
uniform vec3 sunLight;
in vec3 direction;
layout(location = 0) out vec4 picture;
layout(location = 1) out vec4 labels;

void main() {
    vec3 d = normalize(vec3(direction.xy, max(direction.z, 0.0)));
    vec2 p = d.xy / (abs(d.x) + abs(d.y) + d.z);
    vec3 colour = texture(skyMap, vec2(p.x + p.y, p.x - p.y) * 0.5 + 0.5).rgb;
    colour += sunLight * step(0.9999, dot(d, sun));
    picture = vec4(colour, 1.0);
    labels = vec4(11.0 / 255.0, 0.0, 0.0, 1.0);
}
