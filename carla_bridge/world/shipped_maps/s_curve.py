"""SCurve: a country road of 700 m in three bends, of 90, 60 and 120 m radius.

Curvature has no jumps: clothoids lead into each bend and out of it. The centre line is solid
where the road bends and broken between, as it is painted outside towns.
"""

from __future__ import annotations

from carla_bridge.world.random_roads.alignment import chain
from carla_bridge.world.random_roads.kinds import SOLID
from carla_bridge.world.random_roads.write import RoadText
from carla_bridge.world.shipped_maps.joined import joined
from carla_bridge.world.shipped_maps.straight import country_road

Shape = tuple[float, float, float]


def bend(radius: float, easing: float, arc: float) -> list[Shape]:
    """Return (length, curvature at start, at end) of a clothoid, an arc and a clothoid.

    Metres; a positive radius bends to the left.
    """
    sharpest = 1.0 / radius
    return [(easing, 0.0, sharpest), (arc, sharpest, sharpest), (easing, sharpest, 0.0)]


SHAPES: list[Shape] = [
    (100.0, 0.0, 0.0),
    *bend(90.0, 45.0, 60.0),
    (20.0, 0.0, 0.0),
    *bend(-60.0, 40.0, 50.0),
    (30.0, 0.0, 0.0),
    *bend(120.0, 50.0, 70.0),
    (100.0, 0.0, 0.0),
]


def text() -> str:
    """Return the map's OpenDRIVE."""
    pieces = chain((-250.0, -100.0, 0.0), SHAPES)
    broken, solid = country_road(3.4), country_road(3.4, centre=SOLID)
    marks = [(0.0, broken), (80.0, solid), (250.0, broken), (270.0, solid), (410.0, broken),
             (430.0, solid), (600.0, broken)]  # fmt: skip
    level = [(0.0, 0.0, 0.0, 0.0, 0.0)]
    return joined("SCurve", [RoadText(1, pieces, level, marks, 60)])
