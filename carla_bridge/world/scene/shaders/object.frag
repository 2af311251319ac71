// Solid things. uvw.z: 0 plain, 1 facade, 3 glass, 4 wall, 5 lamp, 6 light, 7 sign; xy metres
// over a side.
in vec2 grainAt;

void main() {
    vec4 grain = texture(noise, grainAt);
    float fine = grain.r - 0.5, clouds = grain.g - 0.5;
    vec3 albedo = tint * (1.0 + 0.2 * fine + 0.25 * clouds);
    vec3 own = vec3(0.0);
    float kind = uvw.z;
    // A facade's windows: a grid of panes with frames, dark by day, some lit by night.
    float facade = step(0.5, kind) * step(kind, 1.5) * step(shade.y, 0.8);
    vec2 at = uvw.xy / vec2(1.6 + 1.6 * fract(tint.r * 37.0), 3.1);
    vec2 id = floor(at), window = at - id;
    float lamp = hash(id + floor(place.xy * 0.05));
    vec2 middle = abs(window - vec2(0.51, 0.6)), outer = vec2(0.32, 0.29);
    float frame = facade * step(middle.x, outer.x) * step(middle.y, outer.y);
    float pane = frame * step(middle.x, outer.x - 0.03) * step(middle.y, outer.y - 0.03);
    albedo *= 1.0 - 0.3 * facade * step(at.y, 1.0) * lamp;
    albedo = mix(albedo, vec3(0.45), frame * step(0.4, fract(tint.g * 53.0)));
    albedo = mix(albedo, vec3(0.03, 0.04, 0.05) + 0.25 * lamp * lamp * hazeColour, pane);
    float glass = step(2.5, kind) * step(kind, 3.5);
    albedo += glass * 0.12 * hazeColour * (2.5 * shade.y - 0.5 + clouds);
    albedo *= 1.0 + step(3.5, kind) * step(kind, 4.5) * (0.7 * fine + 0.6 * clouds);
    own += tint * LIGHTS * step(5.5, kind) * step(kind, 6.5);
#ifdef NIGHT
    own += pane * step(0.72, lamp) * vec3(1.0, 0.75, 0.42) * (0.2 + 0.5 * lamp);
    own += step(4.5, kind) * step(kind, 5.5) * vec3(9.0, 8.0, 6.5);
    albedo *= 1.0 + 3.0 * step(6.5, kind);
    vec4 near = texture(groundMap, groundAt);
    near.a = 1.0;
#else
    vec4 near = vec4(0.0, 0.0, 0.0, 1.0);
#endif
    picture = seen(lit(max(albedo, vec3(0.005)), sunlit_above(), near) + own, 1.0);
    labels = vec4(label, 1.0);
}
