"""Straight: a country road of 600 m, level and straight, a lane each way.

The place to begin: nothing but a broken centre line and solid edges.
"""

from __future__ import annotations

from carla_bridge.world.random_roads.alignment import chain
from carla_bridge.world.random_roads.kinds import BROKEN, SOLID, CrossSection, LaneSpec
from carla_bridge.world.random_roads.write import RoadText
from carla_bridge.world.shipped_maps.joined import joined

LENGTH = 600.0


def country_road(lane: float = 3.5, edge: str = SOLID, centre: str = BROKEN) -> CrossSection:
    """Return a lane each way, lines at both edges, and paved shoulders of half a metre."""
    side = (
        LaneSpec("driving", lane, edge, "white", 0.15, slot="lane"),
        LaneSpec("shoulder", 0.5, slot="shoulder"),
    )
    return CrossSection(side, side, LaneSpec("none", 0.0, centre, "white", 0.15))


def text() -> str:
    """Return the map's OpenDRIVE."""
    pieces = chain((-LENGTH / 2.0, 0.0, 0.0), [(LENGTH, 0.0, 0.0)])
    level = [(0.0, 0.0, 0.0, 0.0, 0.0)]
    return joined("Straight", [RoadText(1, pieces, level, [(0.0, country_road())], 70)])
