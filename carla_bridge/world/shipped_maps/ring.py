"""Ring: a hilly ring road of 1.5 km, two lanes each way, that leans into its bends.

Half a ring turns by 180 degrees; the other half is the same again, so it closes whatever its
bends are. Six roads make it: CARLA 0.9.16 takes a ring of two for a dead end.
"""

from __future__ import annotations

from math import radians

import numpy as np

from carla_bridge.world.random_roads.alignment import Cubic, chain, superelevation
from carla_bridge.world.random_roads.kinds import BROKEN, DOUBLE, SOLID, CrossSection, LaneSpec
from carla_bridge.world.random_roads.write import RoadText
from carla_bridge.world.shipped_maps.joined import joined
from carla_bridge.world.shipped_maps.s_curve import Shape, bend

LEANING = 35.0
"""Metres of radius from which bends would lean the most; the sharpest here is of 70 m (4 %)."""
HEIGHTS = (
    (0.0, 1.0, 4.0, 8.0), (11.0, 10.0), (7.0, 6.0, 8.0),
    (10.0, 8.0, 4.0, 1.0), (-2.0, -3.0), (-1.0, 1.5, 1.0),
)  # fmt: skip
"""Metres at equal distances along each road; the next begins at its first."""


def _turned(line: float, radius: float, easing: float, degrees: float) -> list[Shape]:
    """Return a line and a bend that turns by so many degrees, clothoids and all."""
    arc = radians(degrees) * radius - easing
    return [(line, 0.0, 0.0), *bend(radius, easing, arc)]


HALF = [
    _turned(100.0, 80.0, 50.0, 130.0),
    _turned(40.0, -90.0, 45.0, -70.0),
    _turned(40.0, 70.0, 45.0, 120.0),
]


def _section() -> CrossSection:
    side = (
        LaneSpec("driving", 3.5, BROKEN, "white", 0.12, slot="lane"),
        LaneSpec("driving", 3.5, SOLID, "white", 0.15, slot="lane"),
        LaneSpec("shoulder", 0.8, slot="shoulder"),
    )
    return CrossSection(side, side, LaneSpec("none", 0.0, DOUBLE, "yellow", 0.12))


def text() -> str:
    """Return the map's OpenDRIVE."""
    pose = (-120.0, -160.0, 0.0)
    roads = []
    plans = []
    for shapes in [*HALF, *HALF]:
        plans.append(chain(pose, shapes))
        pose = plans[-1][-1].last
    lengths = [plan[-1].s + plan[-1].length for plan in plans]
    profiles = _profiles(lengths)
    for number, (plan, heights) in enumerate(zip(plans, profiles, strict=True), start=1):
        leans = superelevation(plan, LEANING)
        roads.append(RoadText(number, plan, heights, [(0.0, _section())], 60, leans))
    count = len(roads)
    return joined("Ring", roads, [(i, i % count + 1) for i in range(1, count + 1)])


def _profiles(lengths: list[float]) -> list[list[Cubic]]:
    """Return each road's cubics through `HEIGHTS`, without jumps of height or grade.

    Catmull-Rom: the grade at each height is that from the one before to the one after.
    """
    gaps = np.repeat([n / len(h) for n, h in zip(lengths, HEIGHTS, strict=True)],
                     [len(h) for h in HEIGHTS])  # fmt: skip
    heights = np.concatenate(HEIGHTS)
    before = np.roll(gaps, 1)
    grades = (np.roll(heights, -1) - np.roll(heights, 1)) / (gaps + before)
    found: list[list[Cubic]] = []
    knot = 0
    for row in HEIGHTS:
        records = []
        for i in range(len(row)):
            here, there = knot % len(heights), (knot + 1) % len(heights)
            gap, rise = gaps[here], heights[there] - heights[here]
            first, last = grades[here], grades[there]
            c = (3.0 * rise / gap - 2.0 * first - last) / gap
            d = (first + last - 2.0 * rise / gap) / gap**2
            records.append((i * gap, heights[here], first, c, d))
            knot += 1
        found.append([tuple(map(float, r)) for r in records])  # type: ignore[misc]
    return found
