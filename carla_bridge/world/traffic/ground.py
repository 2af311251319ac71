"""The height and the slope of the road under any place, as it is drawn.

    ground = Ground(read_roads(text))
    spot = ground.at(x, y, z, heading_rad)       # map coordinates, metres
    spot.z, spot.pitch_rad, spot.roll_rad

CARLA's waypoints know the elevation of a road but not how it leans (superelevation), so the
surfaces asked here are those of our own reader, which the cameras see. ``z`` says which of two
roads above each other is meant. Beside the road its edge's height goes on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from carla_bridge.world.maps.lanes import Roads
from carla_bridge.world.maps.segments import Segments

CANDIDATES = 12
"""Pieces of lane, a metre long each, that are looked at: those of three lanes side by side."""
LEVEL = 2.0
"""How much more a metre of height counts than a metre of way: levels are metres apart."""


@dataclass(frozen=True)
class Spot:
    """Height in metres; nose up and right side down are positive, radians."""

    z: float
    pitch_rad: float
    roll_rad: float


class Ground:
    """The paved surfaces of some roads."""

    def __init__(self, roads: Roads) -> None:
        segments = Segments.of([lane for lane in roads.lanes if lane.paved])
        self._tree = cKDTree(segments.middle * [1.0, 1.0, LEVEL])
        # One row a piece, as plain lists: single rows of arrays are slow to take apart.
        self._rows = np.column_stack(
            [
                segments.middle,
                segments.along,
                segments.half_length,
                segments.half_width,
                segments.rise,
                segments.fall,
            ]
        ).tolist()

    def at(self, x: float, y: float, z: float, heading_rad: float) -> Spot:
        """Return the spot under a place, for a car that stands there along ``heading_rad``."""
        count = min(CANDIDATES, len(self._rows))
        _, found = self._tree.query((x, y, LEVEL * z), k=count)
        best, least = (0.0, 0.0, 1.0, 0.0, 0.0), math.inf
        for number in np.atleast_1d(found).tolist():
            mx, my, mz, ux, uy, half_length, half_width, rise, fall = self._rows[number]
            ahead = (x - mx) * ux + (y - my) * uy
            right = (x - mx) * uy - (y - my) * ux
            on_ahead = min(max(ahead, -half_length), half_length)
            on_right = min(max(right, -half_width), half_width)
            height = mz + rise * on_ahead + fall * on_right
            outside = math.hypot(ahead - on_ahead, right - on_right)
            away = outside + 0.1 * abs(height - z)
            if away < least:
                best, least = (height, rise, ux, uy, fall), away
        height, rise, ux, uy, fall = best
        # Slopes are small: the gradient along and across the lane, turned to the car.
        cos, sin = math.cos(heading_rad), math.sin(heading_rad)
        along = cos * ux + sin * uy
        across = cos * uy - sin * ux
        pitch = math.atan(rise * along + fall * across)
        roll = math.atan(rise * across - fall * along)
        return Spot(height, pitch, roll)
