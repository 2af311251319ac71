"""Where lanes come to a junction: there traffic lights and signs stand, and traffic makes room.

    for approach in approaches(roads):
        approach.place, approach.heading   # the lane's right edge, before the lane that crosses

Found from geometry alone: the first sample of a lane from which another lane is near that runs
across it. So it works on every map, with and without junctions in its OpenDRIVE.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carla_bridge.world.maps.lanes import Roads
from carla_bridge.world.meshes import Array

ACROSS = 0.5
"""Sine of the smallest angle between lanes that cross."""
REACH, AHEAD, RUN_UP = 9.0, 16.0, 16.0
"""Metres: how near a crossing lane's middle comes, how far ahead of where a lane ends at a
junction, and how long an approach is at least.
"""
EVERY = 3
"""Samples, a metre apart, from one that is looked at to the next."""
LEVEL = 3.0
"""Metres of height between lanes that do not meet: one is on a bridge."""


@dataclass(frozen=True)
class Approach:
    """``place`` (3,) on the lane's right edge, ``right`` (3,) unit across, ``heading`` radians."""

    place: Array
    right: Array
    heading: float


def approaches(roads: Roads) -> list[Approach]:
    """Return where driving lanes come to a crossing, in the order of the lanes."""
    lanes = [lane for lane in roads.lanes if lane.kind == "Driving" and len(lane.s) > 2 * EVERY]
    if not lanes:
        return []
    middle = [lane.centre[::EVERY] for lane in lanes]
    step = [np.gradient(points[:, :2], axis=0) for points in middle]
    turn = [np.arctan2(way[:, 1], way[:, 0]) for way in step]
    place, heading = np.concatenate(middle), np.concatenate(turn)
    found = []
    for lane, points, angle in zip(lanes, middle, turn, strict=True):
        if lane.junction or len(lane.s) < RUN_UP:
            continue
        reach = np.full(len(points), REACH)
        reach[-1] = AHEAD if lane.ends_at_junction else REACH
        low, high = points.min(axis=0) - AHEAD, points.max(axis=0) + AHEAD
        near = np.flatnonzero(np.all((place > low) & (place < high), axis=1))
        x, y, z = (points[:, None, i] - place[None, near, i] for i in range(3))
        i, j = np.nonzero((x * x + y * y < reach[:, None] ** 2) & (np.abs(z) < LEVEL))
        i = i[np.abs(np.sin(angle[i] - heading[near[j]])) > ACROSS]
        if len(i) and EVERY * i[0] > RUN_UP:
            at = min(EVERY * int(i[0]), len(lane.s) - 2)
            across = lane.right[at] - lane.left[at]
            right = across / max(float(np.linalg.norm(across)), 1e-6)
            found.append(Approach(lane.right[at], right, float(angle[i[0]])))
    return found
