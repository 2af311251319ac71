"""Which boxes overlap, and what happens to the cars inside them.

    contacts = between(footprints)                  # pairs, with the way out and how far it is
    contacts = against(footprints, obstacles)       # of footprints with what stands still
    impulse = bounce(velocity, other_velocity, contact.normal, mass, other_mass)

Boxes are upright; seen from above they are turned rectangles, tested for a separating axis
(Gottschalk, Lin, Manocha 1996, "OBBTree", in two dimensions). The response is that of a nearly
inelastic hit (restitution 0.1, friction 0.4) along the axis of least overlap, without a turn:
a car stops at what it runs into, or slides along it, and never passes through.

Coordinates are CARLA's: metres, yaw in degrees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vector2 = tuple[float, float]

RESTITUTION = 0.1
FRICTION = 0.4
CELL_M = 20.0
HEADROOM_M = 3.0
"""Things whose ground differs by more are on different levels: a bridge and the road under it."""


class Footprint(NamedTuple):
    """A box seen from above; ``owner`` is an actor's id, or negative for a static thing."""

    owner: int
    x: float
    y: float
    z: float
    half_length: float
    half_width: float
    yaw_deg: float
    speed_mps: float = 0.0
    """Along its length."""
    on_rails: bool = False
    """Nothing can move it."""

    @property
    def reach(self) -> float:
        """Return metres from its middle to a corner."""
        return math.hypot(self.half_length, self.half_width)


@dataclass(frozen=True)
class Contact:
    """Two boxes overlap: moved by ``depth`` along ``normal``, the first is clear of the second."""

    first: int
    second: int
    normal: Vector2
    depth: float


class Obstacles:
    """Static things in a grid of cells, so that only those nearby are looked at."""

    def __init__(self, rows: npt.ArrayLike) -> None:
        """Take x, y, half length, half width, heading, ground's z (map coordinates) a row."""
        self._cells: dict[tuple[int, int], list[Footprint]] = {}
        table = np.asarray(rows, dtype=float).reshape(-1, 6)
        for number, (x, y, half_length, half_width, heading, z) in enumerate(table.tolist(), 1):
            yaw = -math.degrees(heading)
            box = Footprint(-number, x, -y, z, half_length, half_width, yaw)
            for cell in _cells(box):
                self._cells.setdefault(cell, []).append(box)

    def near(self, box: Footprint) -> list[Footprint]:
        """Return what may touch a box, each once."""
        found = {other.owner: other for cell in _cells(box) for other in self._cells.get(cell, ())}
        return [other for other in found.values() if abs(other.z - box.z) < HEADROOM_M]


def _cells(box: Footprint) -> Iterator[tuple[int, int]]:
    reach = box.reach
    for column in range(_cell(box.x - reach), _cell(box.x + reach) + 1):
        for row in range(_cell(box.y - reach), _cell(box.y + reach) + 1):
            yield column, row


def _cell(metres: float) -> int:
    return math.floor(metres / CELL_M)


def between(boxes: Sequence[Footprint]) -> Iterator[Contact]:
    """Yield the contacts of boxes that are on one level, unless both are on rails."""
    if len(boxes) < 2:
        return
    rows = [(box.x, box.y, box.z, box.reach, box.on_rails) for box in boxes]
    x, y, z, reach, rails = np.array(rows).T
    near = np.hypot(x[:, None] - x, y[:, None] - y) < reach[:, None] + reach
    near &= np.abs(z[:, None] - z) < HEADROOM_M
    near &= rails[:, None] + rails < 2.0
    for i, j in np.argwhere(np.triu(near, k=1)).tolist():
        if contact := touch(boxes[i], boxes[j]):
            yield contact


def against(boxes: Sequence[Footprint], obstacles: Obstacles) -> Iterator[Contact]:
    """Yield the contacts with obstacles of boxes that are not on rails."""
    for box in boxes:
        if box.on_rails:
            continue
        for other in obstacles.near(box):
            if contact := touch(box, other):
                yield contact


def touch(first: Footprint, second: Footprint) -> Contact | None:
    """Return the contact of two boxes, None where some axis separates them."""
    away = (first.x - second.x, first.y - second.y)
    best: tuple[float, Vector2] | None = None
    sides = (_sides(first), _sides(second))
    for axis in (unit for pair in sides for unit, _ in pair):
        distance = away[0] * axis[0] + away[1] * axis[1]
        room = sum(
            half * abs(unit[0] * axis[0] + unit[1] * axis[1])
            for pair in sides
            for unit, half in pair
        )
        depth = room - abs(distance)
        if depth <= 0.0:
            return None
        if best is None or depth < best[0]:
            sign = 1.0 if distance >= 0.0 else -1.0
            best = depth, (sign * axis[0], sign * axis[1])
    assert best is not None
    return Contact(first.owner, second.owner, best[1], best[0])


def _sides(box: Footprint) -> tuple[tuple[Vector2, float], tuple[Vector2, float]]:
    """Return the directions of a box's length and width, each with half its size."""
    yaw = math.radians(box.yaw_deg)
    c, s = math.cos(yaw), math.sin(yaw)
    return ((c, s), box.half_length), ((-s, c), box.half_width)


def bounce(velocity: Vector2, other: Vector2, normal: Vector2, mass_kg: float) -> Vector2:
    """Return the impulse (N s) on a body of ``mass_kg`` that hits another one.

    ``mass_kg`` is the mass that the hit feels: the body's own against what cannot move,
    m1 m2 / (m1 + m2) against a free one. None where the two part already.
    """
    vx, vy = velocity[0] - other[0], velocity[1] - other[1]
    closing = vx * normal[0] + vy * normal[1]
    if closing >= 0.0:
        return 0.0, 0.0
    push = -(1.0 + RESTITUTION) * closing * mass_kg
    along = (vx - closing * normal[0], vy - closing * normal[1])
    sliding = math.hypot(*along)
    drag = min(FRICTION * push, sliding * mass_kg) / sliding if sliding > 1e-9 else 0.0
    return push * normal[0] - drag * along[0], push * normal[1] - drag * along[1]
