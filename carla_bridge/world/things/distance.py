"""How far things are from lanes: a map of distances, drawn once and looked up often.

    gap = DistanceMap(roads, {"Driving"})
    gap.at(xy)     # (n,) metres to the nearest of these lanes, 0 on one

Lanes are filled into a raster whose distance transform (Borgefors, CVGIP 34(3), 1986) is read
bilinearly: about a quarter of a metre exact, rather too near than too far.
"""

from __future__ import annotations

import cv2
import numpy as np

from carla_bridge.world.maps.lanes import Roads
from carla_bridge.world.meshes import Array

CELL = 0.5
"""Metres a pixel, on roads up to 600 m across; larger ones have larger pixels."""
MOST_CELLS = 1500
MARGIN = 30.0
"""Metres around the lanes; what is further off counts as being this far."""
SUBPIXEL = 4


class DistanceMap:
    """Distances to lanes of some or all kinds, and to the asphalt between those of junctions."""

    def __init__(self, roads: Roads, kinds: set[str] | None = None) -> None:
        lanes = [lane for lane in roads.lanes if kinds is None or lane.kind in kinds]
        points = [np.concatenate([lane.left, lane.right[::-1]])[:, :2] for lane in lanes]
        points += [quad[:, :2] for quad in roads.fills]
        every = np.concatenate([*points, np.zeros((0, 2))])
        self._empty = not len(every)
        if self._empty:
            return
        self._low = every.min(axis=0) - MARGIN
        extent = every.max(axis=0) + MARGIN - self._low
        self._cell = max(CELL, float(extent.max()) / MOST_CELLS)
        width, height = np.ceil(extent / self._cell).astype(int) + 2
        off = np.ones((height, width), np.uint8)
        scale = (1 << SUBPIXEL) / self._cell
        for outline in points:
            corner = np.rint((outline - self._low) * scale).astype(np.int32)
            cv2.fillPoly(off, [corner], 0, shift=SUBPIXEL)
        self._gap = cv2.distanceTransform(off, cv2.DIST_L2, 3)

    def at(self, xy: Array) -> Array:
        """Return the distance (n,) from points (n, 2) to the nearest lane, 0 on one."""
        if self._empty:
            return np.full(len(xy), np.inf)
        height, width = self._gap.shape
        where = (xy - self._low) / self._cell
        column = np.clip(where[:, 0], 0.0, width - 1.001)
        row = np.clip(where[:, 1], 0.0, height - 1.001)
        i, j = row.astype(int), column.astype(int)
        v, u = row - i, column - j
        gap = self._gap
        near = gap[i, j] * (1.0 - u) + gap[i, j + 1] * u
        far = gap[i + 1, j] * (1.0 - u) + gap[i + 1, j + 1] * u
        # The raster's distances are to the middles of pixels, half a pixel into a lane.
        gap = (near * (1.0 - v) + far * v - 0.5) * self._cell
        return np.asarray(np.maximum(gap, 0.0))
