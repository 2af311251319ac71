// Where foliage has holes: the colour and the class pass cut the same pixels.
bool hole() {
    if (uvw.z < 1.5 || uvw.z > 2.5) return false;
    float rim = abs(dot(normalize(normal), normalize(eye - place)));
    return texture(noise, place.xz * 0.11 + place.y * 0.07).g < 0.62 - 0.55 * rim;
}
