// The class pass: one flat colour, and no pixel that the colour pass leaves out.
uniform vec4 classColour;

void main() {
    if (hole()) discard;
    fragment = classColour;
}
