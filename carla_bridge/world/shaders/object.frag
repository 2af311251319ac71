// Things. uvw.z: 0 plain, 1 facade, 2 foliage, 3 glass, 4 wall; xy metres over a side.
void main() {
    if (hole()) discard;
    vec2 flat2 = abs(normal.z) > 0.7 ? place.xy : vec2(place.x + place.y, place.z);
    float fine = texture(noise, flat2 * 0.5).r - 0.5;
    float clouds = texture(noise, flat2 * 0.08).g - 0.5;
    vec3 albedo = tint * (1.0 + 0.15 * fine + 0.2 * clouds);
    if (uvw.z > 0.5 && uvw.z < 1.5 && normal.z < 0.5) {
        float bay = 1.6 + 1.6 * fract(tint.r * 37.0);
        vec2 window = fract(uvw.xy / vec2(bay, 3.1));
        vec2 id = floor(uvw.xy / vec2(bay, 3.1));
        float lamp = fract(sin(dot(id, vec2(12.99, 78.23))) * 43758.5);
        float pane = step(0.22, window.x) * step(window.x, 0.8) * step(0.35, window.y)
            * step(window.y, 0.86);
        albedo = mix(albedo, vec3(0.03, 0.04, 0.05) + 0.25 * lamp * lamp * hazeColour, pane);
        if (id.y < 0.5) albedo *= 0.65 + 0.3 * lamp;
    } else if (uvw.z > 1.5 && uvw.z < 2.5) {
        albedo = tint * (1.0 + 2.4 * (texture(noise, place.xz * 0.12 + place.y * 0.07).r - 0.5)
            + 1.4 * (texture(noise, place.xy * 0.07 + place.z * 0.1).g - 0.5));
    } else if (uvw.z > 2.5 && uvw.z < 3.5) {
        albedo = tint + 0.12 * hazeColour * (1.0 + normal.z + clouds);
    } else if (uvw.z > 3.5) {
        albedo *= 1.0 + 0.7 * fine + 0.6 * clouds;
    }
    fragment = seen(max(albedo, vec3(0.005)), normalize(normal), 1.0);
}
