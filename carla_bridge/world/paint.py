"""Paint on the road: dashes, doubles, dots, stop lines, crossings and arrows, and their wear.

    paint = lay(roads, np.random.default_rng(1))
    paint.marking   # a mesh that is labelled lane_marking
    paint.ghost     # paint that is all but gone: drawn, labelled road

Dash lengths are those of road rules around the world (for example 3 m with gaps of 9 m in
the USA, MUTCD section 3A.04; 6 m with gaps of 12 m on German motorways, RMS).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.world.meshes import Mesh, make, merge, quads, up
from carla_bridge.world.roads import Lane, Line, Points, Roads

Array = npt.NDArray[np.float64]

DASHES = ((3.05, 9.14), (3.0, 6.0), (6.0, 12.0), (4.0, 8.0), (2.0, 4.0), (1.0, 1.0), (4.0, 2.0),
          (3.0, 4.5), (6.0, 3.0), (1.5, 1.5), (0.6, 0.6))  # fmt: skip
"""(paint, gap) in metres."""

DOTS = (0.12, 1.1)
VISIBLE = 0.4
"""Share of paint left below which a piece is labelled road: a person would not see a line."""

HEIGHT = 0.012
"""Metres above the asphalt, so that the depth buffer can tell them apart."""

COLOURS = {
    "White": (235, 235, 228),
    "Yellow": (232, 178, 42),
    "Blue": (60, 110, 200),
    "Green": (60, 150, 90),
    "Red": (190, 60, 50),
}


@dataclass(frozen=True)
class Paint:
    """Two meshes of paint; ``uvw`` is (across -1..1, along in metres, share of paint left)."""

    marking: Mesh
    ghost: Mesh


def lay(roads: Roads, rng: np.random.Generator) -> Paint:
    """Paint every line of the roads, and now and then arrows, stop lines and crossings."""
    age = float(rng.beta(1.2, 2.2))
    dash = DASHES[int(rng.integers(len(DASHES)))]
    warm = np.array([1.0, float(rng.uniform(0.9, 1.06)), float(rng.uniform(0.7, 1.2))])
    pieces: list[_Pieces] = []
    for line in roads.lines:
        colour = np.array(COLOURS.get(line.colour, COLOURS["White"])) * warm
        for offset, kind in _strokes(line):
            start, end = _intervals(_length(line.points), kind, dash, float(rng.uniform(0.0, 9.0)))
            half = max(line.width, 0.06) / 2.0
            pieces.append(_pieces(line.points, offset, half, start, end, colour, age, rng))
    symbol_share = float(rng.choice([0.0, 0.25, 0.6], p=[0.5, 0.3, 0.2]))
    for lane in roads.driving():
        if rng.random() < symbol_share:
            pieces += _symbols(lane, age, rng)
    return Paint(
        _mesh([p.where(p.left >= VISIBLE) for p in pieces]),
        _mesh([p.where(p.left < VISIBLE) for p in pieces]),
    )


@dataclass(frozen=True)
class _Pieces:
    """Quads: corners (n, 4, 3), texture (n, 4, 2), colour (n, 3), share of paint left (n,)."""

    corners: Array
    texture: Array
    colour: Array
    left: Array

    def where(self, keep: npt.NDArray[np.bool_]) -> _Pieces:
        return _Pieces(self.corners[keep], self.texture[keep], self.colour[keep], self.left[keep])


def _mesh(groups: list[_Pieces]) -> Mesh:
    meshes = []
    for group in groups:
        n = len(group.corners)
        uvw = np.concatenate(
            [group.texture, np.broadcast_to(group.left[:, None, None], (n, 4, 1))], axis=2
        )
        colour = np.repeat(group.colour, 4, axis=0)
        meshes.append(make(group.corners, quads(n), colour, uvw=uvw.reshape(-1, 3)))
    return merge(meshes)


def _strokes(line: Line) -> list[tuple[float, str]]:
    """Return (offset to the right, kind) of each stroke; doubles have a gap of their width."""
    names = {"Solid": "solid", "Broken": "broken", "BottsDots": "dots"}
    if line.kind in names:
        return [(0.0, names[line.kind])]
    pairs = {
        "SolidSolid": ("solid", "solid"),
        "SolidBroken": ("solid", "broken"),
        "BrokenSolid": ("broken", "solid"),
        "BrokenBroken": ("broken", "broken"),
    }
    left, right = pairs.get(line.kind, ("solid", "solid"))
    return [(-line.width, left), (line.width, right)]


def _length(points: Points) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def _intervals(
    length: float, kind: str, dash: tuple[float, float], phase: float
) -> tuple[Array, Array]:
    """Return where pieces of paint start and end along a stroke, none longer than 1.5 m."""
    if kind == "solid":
        marks = np.arange(0.0, length, 1.0)
        return marks, np.minimum(marks + 1.0, length)
    paint, gap = DOTS if kind == "dots" else dash
    first = np.arange(-(phase % (paint + gap)), length, paint + gap)
    parts = max(1, int(np.ceil(paint / 1.5)))
    cuts = np.arange(parts) * paint / parts
    start = (first[:, None] + cuts).ravel()
    start, end = np.clip(start, 0.0, length), np.clip(start + paint / parts, 0.0, length)
    keep = end - start > 0.02
    return start[keep], end[keep]


def _pieces(
    points: Points,
    offset: float,
    half: float,
    start: Array,
    end: Array,
    colour: Array,
    age: float,
    rng: np.random.Generator,
) -> _Pieces:
    """Return quads of paint along a polyline."""
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    tangent = np.gradient(points, axis=0)
    sideways = np.stack([tangent[:, 1], -tangent[:, 0], np.zeros(len(points))], axis=1)
    sideways /= np.maximum(np.linalg.norm(sideways, axis=1, keepdims=True), 1e-9)

    def at(where: Array, across: float) -> Array:
        middle = np.stack([np.interp(where, s, points[:, k]) for k in range(3)], axis=1)
        right = np.stack([np.interp(where, s, sideways[:, k]) for k in range(3)], axis=1)
        return middle + right * across + up(HEIGHT)

    corners = np.stack(
        [
            at(start, offset - half),
            at(start, offset + half),
            at(end, offset + half),
            at(end, offset - half),
        ],
        axis=1,
    )
    texture = np.empty((len(start), 4, 2))
    texture[:, [0, 3], 0], texture[:, [1, 2], 0] = -1.0, 1.0
    texture[:, :2, 1], texture[:, 2:, 1] = start[:, None], end[:, None]
    # Wear changes slowly along a line: traffic crosses some stretches more than others.
    knots = rng.uniform(-0.5, 0.35, max(2, int(s[-1] / 12.0) + 2))
    slow = np.interp(start, np.linspace(0.0, s[-1], len(knots)), knots)
    left = np.clip(1.0 - age * (0.75 - slow) + rng.normal(0.0, 0.03, len(start)), 0.05, 1.0)
    return _Pieces(corners, texture, np.broadcast_to(colour, (len(start), 3)), left)


def _symbols(lane: Lane, age: float, rng: np.random.Generator) -> list[_Pieces]:
    """Return stop lines, crossings, arrows or block letters on a lane, at random places."""
    centre = lane.centre
    length = _length(centre)
    width = float(np.linalg.norm(lane.left[0] - lane.right[0]))
    colour = np.array(COLOURS["White"])
    out: list[_Pieces] = []
    for where in np.arange(float(rng.uniform(5.0, 25.0)), length - 12.0, 28.0):
        kind = str(rng.choice(["stop", "zebra", "arrow", "letters", "nothing"]))
        for along, depth, across, half in _symbol(kind, width, rng):
            begin = np.array([where + along])
            out.append(_pieces(centre, across, half, begin, begin + depth, colour, age * 0.8, rng))
    return out


def _symbol(
    kind: str, width: float, rng: np.random.Generator
) -> list[tuple[float, float, float, float]]:
    """Return the strokes of a symbol: (along, depth, across, half width) in metres."""
    if kind == "stop":
        return [(0.0, float(rng.uniform(0.2, 0.5)), 0.0, width / 2.0 - 0.1)]
    if kind == "zebra":
        depth = float(rng.uniform(2.5, 4.0))
        return [(0.0, depth, x, 0.25) for x in np.arange(-width / 2 + 0.4, width / 2 - 0.2, 1.0)]
    if kind == "arrow":
        head = [(2.2 + 0.25 * i, 0.26, 0.0, 0.5 - 0.12 * i) for i in range(4)]
        return [(0.0, 2.2, 0.0, 0.09), *head]
    if kind == "letters":
        strokes = []
        for x in np.arange(-width / 2 + 0.7, width / 2 - 0.5, 0.62):
            strokes += [(0.0, 1.6, x, 0.06)]
            strokes += [(float(a), 0.22, x + 0.2, 0.16) for a in rng.choice([0.0, 0.7, 1.38], 2)]
            if rng.random() < 0.5:
                strokes += [(0.0, 1.6, x + 0.4, 0.06)]
        return strokes
    return []
