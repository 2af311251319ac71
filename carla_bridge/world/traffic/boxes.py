"""Outlines of cars on the ground, and whether two of them overlap.

    overlap(Body(0.0, 0.0, 0.0, 2.3, 0.9), Body(3.0, 0.5, 1.6, 2.3, 0.9))

Two rectangles are apart where an edge of either has the other wholly on its far side (the
separating axis theorem; Gottschalk, Lin and Manocha, "OBBTree", SIGGRAPH 1996).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Body:
    """A car's outline: middle (m), yaw (radians), half length and width (m); speed along it (m/s).

    In CARLA's coordinates or a map's, as long as both bodies are in the same.
    """

    x: float
    y: float
    yaw: float
    half_length: float
    half_width: float
    speed: float = 0.0


def overlap(one: Body, other: Body, room: float = 0.0) -> bool:
    """Whether two outlines come closer than ``room`` metres, measured along their sides."""
    dx, dy = other.x - one.x, other.y - one.y
    reach = math.hypot(one.half_length, one.half_width)
    reach += math.hypot(other.half_length, other.half_width) + room
    if dx * dx + dy * dy >= reach * reach:
        return False
    turn = other.yaw - one.yaw
    cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
    for first, second in ((one, other), (other, one)):
        c, s = math.cos(first.yaw), math.sin(first.yaw)
        along, across = abs(dx * c + dy * s), abs(dy * c - dx * s)
        if along >= first.half_length + second.half_length * cos + second.half_width * sin + room:
            return False
        if across >= first.half_width + second.half_length * sin + second.half_width * cos + room:
            return False
    return True
