// Light, shadow, haze and the camera's response: shared by every material.
uniform sampler2D shadowMap;  // seen along the sun onto z = 0: 1 lit, 0 in shadow
uniform vec4 shadowBox;       // centre x, y, half size in metres, strength
uniform vec3 sun;             // unit vector towards it
uniform vec3 sunLight;
uniform vec3 skyLight;
uniform vec3 hazeColour;
uniform vec4 camera;          // exposure, gamma, haze per metre, dapple strength
uniform vec3 whiteBalance;

float sunlit() {
    vec2 ground = place.xy - sun.xy / sun.z * place.z;
    vec2 q = (ground - shadowBox.xy) / shadowBox.z * 0.5 + 0.5;
    float lit = mix(1.0, texture(shadowMap, q).r, shadowBox.w);
    // Shadows of trees out of sight: soft-edged patches, stretched along the sun.
    vec2 along = normalize(sun.xy + vec2(1e-4));
    vec2 d = vec2(dot(ground, along) * 0.4, dot(ground, vec2(-along.y, along.x)));
    float leaves = texture(noise, d * 0.013).a + 0.35 * (texture(noise, d * 0.09).g - 0.5);
    return lit * (1.0 - camera.w * smoothstep(0.5, 0.58, leaves));
}

vec3 respond(vec3 light) {
    return pow(clamp(light * whiteBalance * camera.x, 0.0, 1.0), vec3(camera.y));
}

vec4 seen(vec3 albedo, vec3 n, float alpha) {
    vec3 light = skyLight * (0.6 + 0.4 * n.z) + sunLight * max(dot(n, sun), 0.0) * sunlit();
    float haze = exp(-camera.z * distance(place, eye));
    return vec4(respond(mix(hazeColour, albedo * light, haze)), alpha);
}
