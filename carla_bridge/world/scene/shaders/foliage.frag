// Leaves: lumps of colour with holes, more of them where one looks along the surface.
// uvw.x: how squarely it is seen.
in vec2 grainAt;

void main() {
    vec4 grain = texture(noise, grainAt);
    if (grain.g < 0.62 - 0.55 * uvw.x) discard;
    vec3 albedo = tint * max(0.1, 1.0 + 2.4 * (grain.r - 0.5) + 1.4 * (grain.g - 0.5));
#ifdef NIGHT
    vec4 near = texture(groundMap, groundAt);
    near.a = 1.0;
#else
    vec4 near = vec4(0.0, 0.0, 0.0, 1.0);
#endif
    picture = seen(lit(albedo, sunlit_above(), near), 1.0);
    labels = vec4(label, 1.0);
}
