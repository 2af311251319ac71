// Every material's vertex shader. What is linear in the place, or changes slowly with it, is
// computed here and handed down. Switches: STROKE, FOLIAGE, SOLID, MOVED.
uniform mat4 p3d_ModelViewProjectionMatrix;
uniform mat4 p3d_ViewMatrixInverse;
#ifdef MOVED
uniform mat4 p3d_ModelMatrix;
#endif
uniform vec3 sun;             // unit vector towards it
uniform vec2 slope;           // metres that a shadow moves per metre of height
uniform vec3 groundBox;       // centre x, y, 1 / width
uniform vec4 shadowBox;
uniform vec3 air;
uniform vec2 pixelSize;
in vec4 p3d_Vertex;
in vec3 p3d_Normal;
in vec4 p3d_Color;
in vec4 p3d_MultiTexCoord0;
out vec3 place;
out vec3 tint;
out vec3 uvw;
out vec3 shade;
out vec2 shadowAt;
out vec2 groundAt;
flat out vec3 label;
flat out vec3 eye;

void main() {
    vec3 at = p3d_Vertex.xyz;  // most is not moved after it is built: model space is the world
    uvw = p3d_MultiTexCoord0.xyz;
    vec3 n = p3d_Normal;
    float id = p3d_MultiTexCoord0.w;
    eye = p3d_ViewMatrixInverse[3].xyz;
#ifdef STROKE
    // A stroke's normal points sideways and the fourth number is its half width: widen it by a
    // pixel, so that the fragment shader finds room for a smooth edge however far the line is.
    vec4 here = p3d_ModelViewProjectionMatrix * p3d_Vertex;
    vec4 aside = p3d_ModelViewProjectionMatrix * vec4(at + 0.02 * n, 1.0);
    float pixel = 0.0;
    if (here.w > 0.3 && aside.w > 0.3 && id > 0.0) {
        vec2 moved = (aside.xy / aside.w - here.xy / here.w) * 0.5 / pixelSize;
        pixel = min(0.02 / max(length(moved), 1e-5), 0.4);
    }
    at += n * sign(uvw.x) * pixel;
    uvw.x *= id + pixel;  // metres from the middle
    edge = vec2(id, max(pixel, 1e-3));
    n = vec3(0.0, 0.0, 1.0);
    id = 0.0;
#endif
#ifdef FOLIAGE
    uvw.x = abs(dot(n, normalize(eye - at)));
    grainAt = at.xz * 0.11 + at.y * 0.07;
#endif
#ifdef SOLID
    grainAt = (abs(n.z) > 0.7 ? at.xy : vec2(at.x + at.y, at.z)) * 0.21;
#endif
    gl_Position = p3d_ModelViewProjectionMatrix * vec4(at, 1.0);
#ifdef MOVED
    at = (p3d_ModelMatrix * p3d_Vertex).xyz;
    n = normalize(mat3(p3d_ModelMatrix) * n);
#endif
    gl_Position.y = -gl_Position.y;  // images have their first row on top
    place = at;
    shade = vec3(max(dot(n, sun), 0.0), 0.6 + 0.4 * n.z, exp(-air.x * distance(at, eye)));
    shadowAt = (at.xy - slope * at.z - shadowBox.xy) * shadowBox.z + 0.5;
    groundAt = (at.xy - groundBox.xy) * groundBox.z + 0.5;
    tint = pow(p3d_Color.rgb, vec3(2.2));
    label = vec3(p3d_Color.a, mod(id, 256.0) / 255.0, floor(id / 256.0) / 255.0);
}
