#version 330
// What every fragment shader gets.
uniform sampler2D noise;  // fine grain, clouds, cracks, large patches
uniform vec3 eye;
in vec3 place;
in vec3 normal;
in vec3 tint;
in vec3 uvw;
out vec4 fragment;
