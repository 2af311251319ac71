// Verge, pavement and kerbs. uvw.z: 0 verge, 1 pavement (xy in metres), 2 kerb (y in metres).
uniform vec3 verge;
uniform vec3 vergeOther;  // the second plant or soil
uniform vec3 pavement;
uniform vec3 slab;        // length, width in metres, contrast of joints

void main() {
    vec4 grain = texture(noise, place.xy * 0.15);
    float fine = grain.r - 0.5, clouds = grain.g - 0.5;
    float large = value_noise(place.xy * 0.09) - 0.5;
    vec3 albedo;
    if (uvw.z < 0.5) {
        albedo = mix(verge, vergeOther, smoothstep(-0.2, 0.2, large + 0.6 * clouds));
        albedo *= 1.0 + 1.1 * fine + 0.9 * clouds;
    } else {
        albedo = pavement * (1.0 + 0.6 * fine + 0.5 * clouds + 0.4 * large);
        vec2 joint = abs(fract(uvw.xy / slab.xy) - 0.5) * slab.xy;
        vec2 width = 0.015 + fwidth(uvw.xy);
        vec2 line = (1.0 - smoothstep(0.0, 1.0, joint / width)) * 0.015 / width;
        albedo *= 1.0 - slab.z * clamp(line.x * step(uvw.z, 1.5) + line.y, 0.0, 1.0);
        if (uvw.z > 1.5) albedo *= 1.15;
    }
#ifdef WET
    albedo *= 0.7;
#endif
    picture = seen(lit(max(albedo, vec3(0.01)), sunlit(), texture(groundMap, groundAt)), 1.0);
    labels = vec4(label, 1.0);
}
