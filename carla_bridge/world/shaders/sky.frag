#version 330
// Sky, clouds, sun, and the far horizon: hills, woods or roofs as a silhouette.
uniform sampler2D noise;
uniform vec3 sun;
uniform vec3 sunLight;
uniform vec3 zenith;
uniform vec3 horizon;
uniform vec3 hazeColour;
uniform vec3 far;        // the silhouette's colour
uniform vec4 skyline;    // height, roughness, roofs 0..1, phase
uniform vec4 cloud;      // cover, softness, brightness, scale
uniform vec4 camera;
uniform vec3 whiteBalance;
in vec3 direction;
out vec4 fragment;

void main() {
    vec3 d = normalize(direction);
    float up = max(d.z, 0.0);
    vec3 light = mix(horizon, zenith, pow(up, 0.45));
    vec2 plane = d.xy / (up + 0.12) * cloud.w;
    float field = texture(noise, plane * 0.05).a + 0.3 * (texture(noise, plane * 0.25).g - 0.5);
    float cover = smoothstep(1.0 - cloud.x - cloud.y, 1.0 - cloud.x + cloud.y, field);
    light = mix(light, vec3(cloud.z) * (0.75 + 0.5 * field), cover);
    float glow = max(dot(d, sun), 0.0);
    light += sunLight * (0.25 * pow(glow, 12.0) + 3.0 * pow(glow, 900.0)) * (1.0 - 0.7 * cover);
    float angle = atan(d.y, d.x) / 6.2831853;
    float ridge = texture(noise, vec2(angle * 3.0 + skyline.w, 0.3)).a
        + skyline.y * (texture(noise, vec2(angle * 9.0 + skyline.w, 0.7)).g - 0.5);
    float roofs = texture(noise, vec2(floor(angle * 180.0) / 180.0 * 7.0 + skyline.w, 0.1)).r;
    float top = skyline.x * mix(ridge, roofs, skyline.z) - 0.01;
    float solid = 1.0 - smoothstep(-0.0015, 0.0015, d.z - top);
    float grain = texture(noise, vec2(angle * 40.0, d.z * 6.0)).g - 0.5;
    light = mix(light, far * (1.0 + 0.7 * grain), solid);
    fragment = vec4(pow(clamp(light * whiteBalance * camera.x, 0.0, 1.0), vec3(camera.y)), 1.0);
}
