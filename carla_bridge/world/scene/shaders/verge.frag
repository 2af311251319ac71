// The land beside the road: two plants or soils in patches.
uniform vec3 verge;
uniform vec3 vergeOther;

void main() {
    vec4 grain = texture(noise, place.xy * 0.15);
    float fine = grain.r - 0.5, clouds = grain.g - 0.5;
    float large = value_noise(place.xy * 0.09) - 0.5;
    vec3 albedo = mix(verge, vergeOther, clamp((large + 0.6 * clouds) * 2.5 + 0.5, 0.0, 1.0));
    albedo *= 1.0 + 1.1 * fine + 0.9 * clouds;
#ifdef WET
    albedo *= 0.7;
#endif
#ifdef NIGHT
    vec4 near = texture(groundMap, groundAt);
#else
    vec4 near = vec4(0.0, 0.0, 0.0, 1.0);
#endif
    picture = seen(lit(max(albedo, vec3(0.01)), sunlit(), near), 1.0);
    labels = vec4(label, 1.0);
}
