"""The land about the cameras: a height field that follows them from patch to patch.

    patches = Patches(scene, land)
    patches.follow(x_m, y_m)     # builds, at most, one patch

A patch depends on its place on the grid alone, and the last few are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from carla_bridge.world.land.ground import Land
from carla_bridge.world.scene.scene import Scene

GRID = 48.0
"""Metres between patches: half of what the field is dense in."""
KEPT = 8


def snapped(metres: float, grid: float) -> float:
    """Return the nearest line of a grid."""
    return round(metres / grid) * grid


class Patches:
    """The layer "ground" of a scene."""

    def __init__(self, scene: Scene, land: Land) -> None:
        self._scene, self._land = scene, land
        self._nodes: OrderedDict[tuple[float, float], Any] = OrderedDict()

    def follow(self, x_m: float, y_m: float) -> None:
        """Show the land about a place."""
        place = (snapped(x_m, GRID), snapped(y_m, GRID))
        if self._nodes and next(reversed(self._nodes)) == place:
            return
        if place not in self._nodes:
            self._nodes[place] = self._scene.layer("ground", self._land.ground(place))
        self._nodes.move_to_end(place)
        self._scene.show("ground", self._nodes[place])
        if len(self._nodes) > KEPT:
            self._nodes.popitem(last=False)[1].removeNode()
