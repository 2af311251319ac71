"""Where a random road runs: its plan, its heights, and how it leans in bends.

    pieces = plan(rng, length=420.0, radius=55.0, winding=0.5)
    heights = profile(rng, length=420.0, grade=0.04)

A plan is a chain of lines, spirals and arcs whose curvature is continuous, as roads are laid
out; a profile is a chain of parabolas. Many roads are straight, or nearly so, for long.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.world.maps.reference_line import spiral

Pose = tuple[float, float, float]
"""x, y in metres, heading in radians from x towards y."""
Cubic = tuple[float, float, float, float, float]
"""(s, a, b, c, d) of ``a + b ds + c ds^2 + d ds^3``."""

LEAN = 0.055
"""Radians of superelevation in the sharpest bends: some 5.5 %."""


@dataclass(frozen=True)
class Piece:
    """One geometry: metres, radians, curvature in 1/m at its start and end."""

    s: float
    x: float
    y: float
    heading: float
    length: float
    start: float
    end: float

    def after(self, distance: float) -> Pose:
        """Return the pose ``distance`` metres into the piece."""
        rate = (self.end - self.start) / max(self.length, 1e-9)
        u, v, turn = (float(x[0]) for x in spiral(np.array([distance]), self.start, rate))
        cos, sin = float(np.cos(self.heading)), float(np.sin(self.heading))
        return self.x + cos * u - sin * v, self.y + sin * u + cos * v, self.heading + turn

    @property
    def last(self) -> Pose:
        """The pose at its end."""
        return self.after(self.length)


def chain(pose: Pose, shapes: list[tuple[float, float, float]], s: float = 0.0) -> list[Piece]:
    """Return pieces one after the other, of (length, curvature at start, at end)."""
    pieces = []
    for length, start, end in shapes:
        pieces.append(Piece(s, *pose, length, start, end))
        pose = pieces[-1].last
        s += length
    return pieces


def plan(
    rng: np.random.Generator,
    length: float,
    radius: float,
    winding: float,
    pose: Pose | None = None,
    straight: float = 0.0,
) -> list[Piece]:
    """Return a plan of ``length`` metres with bends of ``radius`` metres at least.

    ``winding`` is 0 for straight roads and 1 for ever new bends; the road begins at ``pose``
    and ends in ``straight`` metres of line, the whole of it where it is shorter.
    """
    if pose is None:
        pose = (0.0, 0.0, float(rng.uniform(-np.pi, np.pi)))
    room = max(length - straight, 0.0)
    shapes: list[tuple[float, float, float]] = []
    used = 0.0
    while room - used > 1.0:
        line = float(rng.uniform(5.0, 90.0)) + float(rng.exponential(400.0)) * (1.0 - winding) ** 2
        curvature = float(rng.choice([-1, 1])) / (radius * float(rng.uniform(1.0, 6.0)))
        # A total turn under 70 degrees a bend keeps a road from meeting itself.
        arc = min(float(rng.uniform(15.0, 80.0)), 0.8 / abs(curvature))
        easing = float(rng.uniform(15.0, 35.0))
        bend = [(easing, 0.0, curvature), (arc, curvature, curvature), (easing, curvature, 0.0)]
        for shape in [(line, 0.0, 0.0), *(bend if rng.random() < 0.25 + winding else [])]:
            # A bend that does not fit as a whole is left out: the road ends straight.
            if used + shape[0] > room - 1.0 or (shape is bend[0] and used + _of(bend) > room):
                shapes.append((room - used, 0.0, 0.0))
                used = room
                break
            shapes.append(shape)
            used += shape[0]
    if straight > 0.0 or not shapes:
        shapes.append((length - used, 0.0, 0.0))
    return chain(pose, shapes)


def _of(shapes: list[tuple[float, float, float]]) -> float:
    return sum(length for length, _, _ in shapes)


def profile(
    rng: np.random.Generator,
    length: float,
    grade: float,
    height: float = 0.0,
    flat: tuple[float, float] = (0.0, 0.0),
) -> list[Cubic]:
    """Return elevation cubics with continuous height and grade, of ``grade`` at most.

    The first and last ``flat`` metres are level.
    """
    low, high = flat[0], length - flat[1]
    knots = [0.0, *np.linspace(low, high, max(2, int((high - low) / 80.0) + 1)).tolist(), length]
    slopes = rng.uniform(-grade, grade, len(knots))
    if flat[0] > 0.0:
        slopes[:2] = 0.0
    if flat[1] > 0.0:
        slopes[-2:] = 0.0
    records: list[Cubic] = []
    for begin, end, slope, following in zip(
        knots[:-1], knots[1:], slopes[:-1], slopes[1:], strict=True
    ):
        span = end - begin
        if span < 0.01:
            continue
        curve = float(following - slope) / (2.0 * span)
        records.append((begin, height, float(slope), curve, 0.0))
        height += float(slope) * span + curve * span * span
    return records


def ends_at(records: list[Cubic], length: float) -> float:
    """Return the height at the end of a profile."""
    s, a, b, c, d = records[-1]
    span = length - s
    return a + span * (b + span * (c + span * d))


def superelevation(pieces: list[Piece], radius: float) -> list[Cubic]:
    """Return how a road leans (radians, left side up): outwards up, as bends are sharp."""

    def lean(curvature: float) -> float:
        return -LEAN * float(np.clip(curvature * radius * 1.5, -1.0, 1.0))

    return [
        (p.s, lean(p.start), (lean(p.end) - lean(p.start)) / p.length, 0.0, 0.0)
        for p in pieces
        if p.length > 0.0
    ]


def biarc(start: Pose, end: Pose) -> list[Piece]:
    """Return two arcs from one pose to another, with one tangent where they meet.

    The joint is that of equal tangent lengths: Bolton, "Biarc curves", Computer-Aided
    Design 7(2), 1975.
    """
    first = np.array([np.cos(start[2]), np.sin(start[2])])
    second = np.array([np.cos(end[2]), np.sin(end[2])])
    chord = np.array([end[0] - start[0], end[1] - start[1]])
    both = first + second
    toward = float(chord @ both)
    factor = 2.0 * (1.0 - float(first @ second))
    if factor > 1e-9:
        reach = (-toward + np.sqrt(toward**2 + factor * float(chord @ chord))) / factor
    else:
        reach = float(chord @ chord) / max(4.0 * float(chord @ second), 1e-9)
    joint = np.array(start[:2]) + (chord + reach * (first - second)) / 2.0
    one = _arc((start[0], start[1], start[2]), joint)
    return [one, _arc(one.last, np.array(end[:2]), one.length)]


def _arc(pose: Pose, to: npt.NDArray[np.float64], s: float = 0.0) -> Piece:
    """Return the arc that leaves a pose along its heading and ends in a point."""
    away = to - np.array(pose[:2])
    distance = float(np.linalg.norm(away))
    half = float(np.arctan2(away[1], away[0])) - pose[2]
    half = (half + np.pi) % (2.0 * np.pi) - np.pi
    curvature = 2.0 * np.sin(half) / max(distance, 1e-9)
    if abs(half) < 1e-6:
        return Piece(s, *pose, distance, 0.0, 0.0)
    return Piece(s, *pose, 2.0 * half / curvature, curvature, curvature)
