// Paint. uvw: metres from the stroke's middle, metres along, share of paint left.
uniform float dirt;
in vec2 edge;  // half width of the stroke and size of a pixel, metres; 0: no stroke

void main() {
    vec4 grain = texture(noise, place.xy * 0.37);
    // A box filter over the pixel: the part of it that lies on the stroke.
    float inside = clamp((edge.x - abs(uvw.x)) / edge.y + 0.5, 0.0, 1.0);
    inside = edge.x > 0.0 ? min(inside, 2.0 * edge.x / edge.y) : 1.0;
    float rim = edge.x > 0.0 ? abs(uvw.x) / edge.x : 0.0;
    // Where the noise is above the share left, the paint has gone. Wear eats the rim first.
    float chance = 0.5 * grain.g + 0.5 * grain.r + 0.35 * grain.b + 0.1 * rim;
    float cover = smoothstep(-0.14, 0.14, uvw.z * 1.15 - chance);
    vec3 albedo = tint * (1.0 - dirt * (0.5 + 0.8 * (grain.g - 0.5) + 0.8 * (grain.r - 0.5)));
#ifdef WET
    albedo *= 0.75;
#endif
    vec3 light = lit(albedo, sunlit(), texture(groundMap, groundAt));
#ifdef NIGHT
    light *= 1.6;  // glass beads send headlights back
#endif
    picture = seen(light, cover * inside);
    labels = vec4(label, step(0.4, inside) * MARKING);
}
