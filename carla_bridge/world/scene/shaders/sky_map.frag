// Sky, clouds, sun, stars, and the far horizon: hills, woods or roofs as a silhouette.
uniform sampler2D noise;
uniform vec3 sun;
uniform vec3 sunLight;
uniform vec3 zenith;
uniform vec3 horizon;
uniform vec3 hazeColour;
uniform vec3 far;        // the silhouette's colour
uniform vec4 skyline;    // height, roughness, roofs 0..1, phase
uniform vec4 cloud;      // cover, softness, brightness, scale
uniform vec3 air;        // haze per metre, exposure, dapple
in vec2 square;  // -1..1
out vec4 fragment;

void main() {
    vec2 flat2 = vec2(square.x + square.y, square.x - square.y) * 0.5;
    vec3 d = normalize(vec3(flat2, 1.0 - abs(flat2.x) - abs(flat2.y)));
    float up = max(d.z, 0.0);
    vec3 light = mix(horizon, zenith, sqrt(up));
    vec4 field = texture(noise, d.xy / (up + 0.12) * cloud.w * 0.06);
    float density = field.a + 0.3 * (field.g - 0.5);
    float cover = smoothstep(1.0 - cloud.x - cloud.y, 1.0 - cloud.x + cloud.y, density);
    light = mix(light, vec3(cloud.z) * (0.75 + 0.5 * density), cover);
    float glow = max(dot(d, sun), 0.0);
    glow *= glow; glow *= glow; glow *= glow;
    float halo = glow * glow; halo *= halo; halo *= halo; halo *= halo;
    light += sunLight * (0.2 * glow + 0.6 * halo) * (1.0 - 0.7 * cover);
    // The skyline runs with the direction on the ground; two axes, so that it does not mirror.
    vec2 q = d.xy / (abs(d.x) + abs(d.y)) * 0.75;
    float along = d.y >= 0.0 ? q.x : 1.5 - q.x;
    vec4 ridge = texture(noise, vec2(along + skyline.w, 0.3));
    float roofs = texture(noise, vec2(floor(along * 120.0) / 120.0 + skyline.w, 0.1)).r;
    float top = skyline.x * mix(ridge.a + skyline.y * (ridge.g - 0.5), roofs, skyline.z) - 0.01;
    float solid = 1.0 - smoothstep(-0.0015, 0.0015, d.z - top);
    light = mix(light, far * (0.8 + 0.4 * field.g), solid);
    // Haze lies low: what is far and near the horizon fades into it.
    light = mix(light, hazeColour, exp(-max(d.z, 0.0) * 0.03 / max(air.x, 1e-4)) * min(1.0, air.x * 90.0));
    fragment = vec4(sqrt(clamp(light * air.y, 0.0, 1.0)), 1.0);
}
