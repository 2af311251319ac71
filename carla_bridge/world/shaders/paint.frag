// Paint. uvw: across -1..1, metres along, share of paint left.
uniform float dirt;

void main() {
    float clouds = texture(noise, place.xy * 0.31).g;
    float fine = texture(noise, place.xy * 1.3).r;
    float cracks = texture(noise, place.xy * 0.12).b;
    // Where the noise is above the share left, the paint has gone. Wear eats the rim first.
    float chance = 0.55 * clouds + 0.45 * fine + 0.35 * cracks + 0.1 * abs(uvw.x);
    float cover = smoothstep(-0.14, 0.14, uvw.z * 1.15 - chance);
    vec3 albedo = tint * (1.0 - dirt * (0.5 + (clouds - 0.5) + 0.6 * (fine - 0.5)));
    fragment = seen(albedo, vec3(0.0, 0.0, 1.0), cover);
}
