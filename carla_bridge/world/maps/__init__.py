"""OpenDRIVE in: text from anywhere becomes lanes and painted lines as polylines.

`check` parses and refuses, `reference_line` and `lane_sections` follow the standard, `roads` is
what comes out. Junctions are mended afterwards: `overlap`, `fills`, `corners`.
"""
