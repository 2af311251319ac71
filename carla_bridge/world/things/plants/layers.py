"""Which plants grow where: the layers of each setting, from the verge to the woods behind.

for layer in LAYERS["avenue"]:
    layer.kind, layer.every, layer.away
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """Plants of a kind on a stretch: one candidate ``every`` metres, ``away`` from the edge.

    ``tall``: their height; ``share`` of candidates that grow; ``row``: evenly spaced. Kinds:
    "mix" (the stretch's trees), "row" (its street tree), or one of `tree_shapes.shapes`.
    """

    kind: str
    every: float
    away: tuple[float, float]
    tall: tuple[float, float]
    share: float = 0.6
    row: bool = False


GRASS = Layer("tuft", 0.7, (0.35, 2.6), (0.15, 0.55), 0.45)
HERBS = Layer("clump", 4.0, (0.8, 5.0), (0.25, 0.8), 0.35)
LAYERS = {
    "terrace": [Layer("bush", 4.0, (0.5, 2.5), (0.5, 1.3), 0.5)],
    "shops": [],
    "blocks": [
        Layer("mix", 9.0, (1.5, 7.0), (5.0, 11.0)),
        Layer("bush", 5.0, (0.6, 6.0), (0.5, 1.5)),
    ],
    "houses": [
        Layer("mix", 7.0, (1.5, 7.0), (3.5, 9.0), 0.5),
        Layer("bush", 3.0, (0.5, 7.0), (0.5, 2.0)),
        Layer("mix", 7.0, (16.0, 30.0), (6.0, 14.0)),
    ],
    "park": [
        Layer("mix", 4.0, (2.0, 30.0), (7.0, 17.0)),
        Layer("bush", 4.0, (0.8, 14.0), (0.6, 2.2), 0.5),
        Layer("row", 9.0, (1.2, 2.0), (9.0, 14.0), 0.7, True),
    ],
    "industry": [
        Layer("mix", 14.0, (1.0, 6.0), (4.0, 10.0), 0.5),
        Layer("bush", 7.0, (0.6, 5.0), (0.5, 1.8)),
    ],
    "field": [
        GRASS,
        HERBS,
        Layer("mix", 16.0, (7.0, 45.0), (5.0, 14.0), 0.5),
        Layer("bush", 11.0, (2.5, 25.0), (0.6, 2.4), 0.5),
        Layer("far", 5.0, (45.0, 110.0), (8.0, 16.0)),
    ],
    "wood": [
        GRASS,
        HERBS,
        Layer("mix", 3.5, (4.0, 14.0), (8.0, 18.0)),
        Layer("bush", 4.0, (2.5, 9.0), (0.6, 2.4)),
        Layer("far", 1.5, (12.0, 48.0), (9.0, 20.0), 0.7),
    ],
    "farm": [
        GRASS,
        HERBS,
        Layer("mix", 11.0, (4.0, 40.0), (5.0, 13.0)),
        Layer("bush", 7.0, (2.5, 20.0), (0.6, 2.2)),
        Layer("far", 6.0, (45.0, 110.0), (8.0, 16.0)),
    ],
    "avenue": [
        GRASS,
        HERBS,
        Layer("row", 9.0, (2.2, 3.0), (10.0, 17.0), 0.85, True),
        Layer("far", 5.0, (30.0, 110.0), (8.0, 16.0)),
    ],
    "scrub": [
        GRASS,
        HERBS,
        Layer("bush", 2.2, (4.0, 16.0), (0.6, 3.2)),
        Layer("mix", 9.0, (8.0, 40.0), (4.0, 14.0)),
        Layer("far", 4.0, (30.0, 100.0), (8.0, 16.0)),
    ],
    "open": [
        GRASS,
        HERBS,
        Layer("bush", 9.0, (5.0, 40.0), (0.6, 2.4), 0.5),
        Layer("far", 7.0, (40.0, 120.0), (8.0, 16.0)),
    ],
    "screen": [
        GRASS,
        Layer("bush", 6.0, (1.0, 3.2), (0.5, 1.6)),
        Layer("mix", 6.0, (8.0, 26.0), (6.0, 15.0)),
        Layer("far", 5.0, (25.0, 80.0), (8.0, 16.0)),
    ],
    "median": [
        Layer("bush", 3.0, (-0.3, 0.3), (0.4, 1.2), 0.3),
        Layer("row", 12.0, (-0.1, 0.1), (10.0, 13.0), 0.3, True),
    ],
    "outskirts": [
        GRASS,
        HERBS,
        Layer("bush", 5.0, (4.0, 20.0), (0.6, 2.4)),
        Layer("mix", 11.0, (8.0, 26.0), (5.0, 12.0)),
    ],
}
PAVEMENT = Layer("row", 11.0, (0.0, 0.0), (10.0, 14.0), 0.75, True)
BACKDROP = Layer("far", 6.0, (22.0, 75.0), (8.0, 17.0), 0.5)
