// Asphalt or concrete. uvw: across the lane -1..1, metres along, 1 on a shoulder.
uniform vec3 asphalt;
uniform vec4 grain;     // fine, clouds, large patches, cracks
uniform vec4 wear;      // tyre tracks, repair patches, joints across (metres apart or 0), tar along
uniform vec3 shoulder;  // colour factor
uniform float glare;

float hash(vec2 p) { return fract(sin(dot(p, vec2(127.1, 311.7))) * 43758.5453); }

void main() {
    vec3 n = vec3(0.0, 0.0, 1.0);
    float clouds = texture(noise, place.xy * 0.09).g - 0.5;
    float large = texture(noise, place.xy * 0.011).a - 0.5;
    float tone = 1.0 + grain.x * (texture(noise, place.xy * 0.16).r - 0.5)
        + grain.y * clouds + grain.z * large;
    tone -= grain.w * texture(noise, place.xy * 0.11 + 0.02 * clouds).b;
    float track = exp(-pow((abs(uvw.x) - 0.48) / 0.17, 2.0)) * (1.0 - uvw.z);
    tone *= 1.0 - wear.x * track * (0.7 + clouds);
    float oil = exp(-pow(uvw.x / 0.2, 2.0)) * (1.0 - uvw.z);
    tone *= 1.0 - 0.5 * abs(wear.x) * oil * (0.6 + large);
    // Repairs: rectangles of another grey in random cells along the lane.
    vec2 cell = vec2(floor(uvw.x * 1.01 + 0.5), floor(uvw.y / 6.0));
    float chance = hash(cell + floor(place.z));
    vec2 inside = vec2(fract(uvw.x * 1.01 + 0.5), fract(uvw.y / 6.0));
    vec2 border = vec2(0.1, 0.1) + 0.25 * vec2(hash(cell + 3.0), hash(cell + 7.0));
    vec2 box = step(border, inside) * step(inside, 1.0 - border);
    tone *= 1.0 + box.x * box.y * step(chance, wear.y) * (hash(cell + 11.0) - 0.6);
    float footprint = fwidth(uvw.y);
    if (wear.z > 0.0) {
        float off = abs(fract(uvw.y / wear.z) - 0.5) * wear.z;
        tone *= 1.0 - 0.45 * (1.0 - smoothstep(0.02, 0.03 + footprint, off))
            / (1.0 + 8.0 * footprint);
    }
    float seam = 1.0 - abs(uvw.x) + 0.03 * clouds * wear.w;
    tone *= 1.0 - 0.5 * wear.w * (1.0 - smoothstep(0.008, 0.016 + fwidth(uvw.x), seam));
    vec3 albedo = asphalt * mix(vec3(1.0), shoulder, uvw.z) * max(tone, 0.15);
    fragment = seen(albedo, n, 1.0);
    // A low sun, or the sky, mirrors in a smooth road: more so the flatter one looks.
    vec3 look = normalize(place - eye);
    float mirror = pow(max(dot(reflect(look, n), sun), 0.0), 24.0) * length(sunLight) * sunlit();
    float grazing = pow(1.0 - abs(look.z), 8.0);
    fragment.rgb += glare * (0.35 * mirror + 0.25 * grazing * hazeColour) * (0.8 + clouds);
}
