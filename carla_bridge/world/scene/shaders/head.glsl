// What every fragment shader gets, and the noise that needs no texture.
uniform sampler2D noise;  // fine grain, clouds, cracks, large patches
flat in vec3 eye;
in vec3 place;
in vec3 tint;
in vec3 uvw;
in vec3 shade;            // how far the surface faces the sun and the sky; share that haze leaves
flat in vec3 label;       // semantic tag, instance id low and high byte
layout(location = 0) out vec4 picture;  // square root of light, so that eight bits suffice
layout(location = 1) out vec4 labels;

// Integers hash alike on every driver; sin() does not (Jarzynski and Olano, JCGT 9(3), 2020).
float hash(vec2 p) {
    uvec2 v = uvec2(ivec2(floor(p)) + 7919) * uvec2(1597334673u, 3812015801u);
    uint n = (v.x ^ v.y) * 1597334673u;
    return float(n >> 8) * (1.0 / 16777216.0);
}

float value_noise(vec2 p) {
    vec2 i = floor(p), f = p - i;
    f = f * f * (3.0 - 2.0 * f);
    return mix(mix(hash(i), hash(i + vec2(1, 0)), f.x),
               mix(hash(i + vec2(0, 1)), hash(i + vec2(1, 1)), f.x), f.y);
}
