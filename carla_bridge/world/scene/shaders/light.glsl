// Light, shadow and haze: shared by every material. Switches: NIGHT, DAPPLE.
uniform sampler2D shadowMap;  // along the sun onto z = 0: share lit, height of what shadows
uniform vec4 shadowBox;       // centre x, y, 1 / width, strength
uniform vec2 shadowHeight;    // lowest height in the map, metres it spans
uniform sampler2D groundMap;  // from above: light of lamps, and how open the sky is
uniform vec3 sunLight;
uniform vec3 skyLight;
uniform vec3 hazeColour;
uniform vec3 air;             // haze per metre, exposure, dapple strength
in vec2 shadowAt;
in vec2 groundAt;

// How much of the sun reaches flat ground.
float sunlit() {
    float lit = 1.0 - shadowBox.w * (1.0 - texture(shadowMap, shadowAt).r);
#ifdef DAPPLE
    // Shadows of trees out of sight: soft-edged patches.
    vec2 ground = shadowAt * 150.0;
    float leaves = 0.65 * value_noise(ground * 0.21) + 0.35 * value_noise(ground * 1.1);
    lit *= 1.0 - air.z * smoothstep(0.48, 0.6, leaves);
#endif
    return lit;
}

// The same for things, which are lit where nothing higher stands between them and the sun.
float sunlit_above() {
    float top = shadowHeight.x + shadowHeight.y * texture(shadowMap, shadowAt).g;
    return 1.0 - shadowBox.w * clamp((top - place.z - 0.5) * 1.25, 0.0, 1.0);
}

#ifdef NIGHT
uniform vec3 beamFrom;        // the car's own headlights
uniform vec3 beamTo;
uniform vec3 beamLight;

// Low beam: bright below the horizon, hardly anything above it, falling with distance squared.
vec3 headlights() {
    vec3 ray = place - beamFrom;
    float metres = length(ray);
    ray /= metres;
    float ahead = dot(ray, beamTo);
    float wide = smoothstep(0.75, 0.98, ahead);
    float low = smoothstep(0.012, -0.03, ray.z - beamTo.z);
    return beamLight * wide * (0.04 + low) * 0.5 / (30.0 + 0.12 * metres * metres);
}
#endif

vec3 lit(vec3 albedo, float sunshine, vec4 near) {
    vec3 light = skyLight * (shade.y * near.a) + sunLight * (shade.x * sunshine);
#ifdef NIGHT
    light += 4.0 * near.rgb + headlights();
#endif
    return albedo * light;
}

vec4 seen(vec3 light, float alpha) {
    return vec4(sqrt(clamp(mix(hazeColour, light, shade.z) * air.y, 0.0, 1.0)), alpha);
}
