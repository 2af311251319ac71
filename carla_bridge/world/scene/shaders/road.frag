// Asphalt or concrete. uvw: across the lane -1..1, metres along, 0 lane, 1 shoulder, 2 junction.
uniform vec3 asphalt;
uniform vec4 grain;     // fine, clouds, large patches, cracks
uniform vec4 wear;      // tyre tracks, repair patches, joints across (metres apart or 0), seams
uniform vec4 tar;       // sealed cracks, manholes, oil, aggregate
uniform vec3 shoulder;  // colour factor
uniform float glare;
uniform vec3 sun;
#ifdef WET
uniform sampler2D mirrored;  // things and sky as a flat road mirrors them
uniform vec2 pixelSize;
uniform vec2 wet;            // film of water, share of puddles
#endif

void main() {
    vec4 near = texture(noise, place.xy * 0.157);
    // Noise by arithmetic costs software OpenGL a fifth of a texture lookup.
    float large = value_noise(place.xy * 0.13) - 0.5, broad = value_noise(place.xy * 0.61);
    float fine = near.r - 0.5, clouds = near.g - 0.5;
    float lane = 1.0 - min(uvw.z, 1.0);
    float tone = 1.0 + grain.x * fine + grain.y * (0.6 * clouds + 0.4 * (broad - 0.5))
        + grain.z * large - grain.w * near.b;
    float across = uvw.x * uvw.x;
    float track = max(0.0, 1.0 - abs(across - 0.24) * 4.5) * lane;
    tone *= 1.0 - wear.x * track * (0.7 + clouds);
    tone *= 1.0 - tar.z * max(0.0, 1.0 - across * 18.0) * lane * (0.6 + large);
    // Sealed cracks are dark and smooth.
    float ridge = abs(value_noise(place.xy * 0.27 + 0.5 * clouds + 31.0) - 0.5);
    float sealed = clamp(1.6 - ridge * 60.0, 0.0, 1.0) * tar.x;
    tone *= 1.0 - 0.55 * sealed;
    // Repairs: rectangles of another grey in random cells along the lane.
    vec2 at = vec2(uvw.x * 1.01 + 0.5, uvw.y / 6.0);
    vec2 cell = floor(at), inside = at - cell;
    float chance = hash(cell), other = hash(cell + 17.0);
    vec2 border = vec2(0.08 + 0.25 * other, 0.1 + 0.3 * fract(other * 7.0));
    vec2 box = step(border, inside) * step(inside, 1.0 - border);
    float patched = box.x * box.y * step(chance, wear.y);
    tone *= 1.0 + patched * (fract(other * 13.0) - 0.65);
    // Manholes: discs near the middle of some cells.
    vec2 off = (inside - vec2(0.3 + 0.4 * other, 0.5)) * vec2(1.75, 6.0);
    tone *= 1.0 - 0.45 * step(dot(off, off), 0.1) * step(1.0 - tar.y, fract(chance * 91.0)) * lane;
    float footprint = fwidth(uvw.y);
    if (wear.z > 0.0) {
        float joint = abs(fract(uvw.y / wear.z) - 0.5) * wear.z;
        tone *= 1.0 - 0.45 * (1.0 - smoothstep(0.02, 0.03 + footprint, joint))
            / (1.0 + 8.0 * footprint);
    }
    float seam = 1.0 - abs(uvw.x) + 0.03 * clouds * wear.w;
    tone *= 1.0 - 0.5 * wear.w * (1.0 - smoothstep(0.008, 0.016 + fwidth(uvw.x), seam)) * lane;
    vec3 albedo = asphalt * mix(shoulder, vec3(1.0), max(lane, step(1.5, uvw.z)));
    albedo *= max(tone, 0.15);
    vec4 nearby = texture(groundMap, groundAt);
    float sunshine = sunlit();
    vec3 look = normalize(place - eye);
    float flatness = 1.0 - abs(look.z);
    flatness *= flatness;
    float grazing = flatness * flatness * flatness;
#ifdef WET
    float puddle = smoothstep(1.0 - wet.y, 1.04 - wet.y, 0.5 + 0.9 * (0.6 * large + 0.4 * broad - 0.2) + 0.25 * clouds);
    albedo *= 1.0 - 0.45 * max(wet.x, puddle);
    vec3 light = lit(albedo, sunshine, nearby);
    // Schlick's Fresnel term for water (F0 = 0.02; Schlick 1994), rough where the film is thin.
    float mirror = (0.02 + 0.98 * flatness * grazing) * mix(wet.x * 0.7, 1.0, puddle);
    float rough = (1.0 - puddle) * (0.25 + fine + 0.5 * clouds);
    vec2 q = gl_FragCoord.xy * pixelSize;
    q += vec2(0.01 * clouds, 0.06 * rough) * (1.0 - 0.8 * puddle);
    vec3 image = texture(mirrored, q).rgb;
    light = mix(light, image * image / air.y, clamp(mirror, 0.0, 0.9));
#else
    vec3 light = lit(albedo, sunshine, nearby);
    // A low sun, or the sky, shows in a smooth road: more so the flatter one looks.
    float mirror = max(dot(vec3(look.xy, -look.z), sun), 0.0);
    mirror *= mirror; mirror *= mirror; mirror *= mirror; mirror *= mirror;
    light += glare * (0.35 * mirror * sunLight * sunshine + 0.25 * grazing * hazeColour)
        * (0.8 + clouds + 0.6 * sealed);
#endif
    picture = seen(light, 1.0);
    labels = vec4(label, 1.0);
}
