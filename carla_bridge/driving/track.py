"""A road's course ahead of the car, and how it changes with each of its parameters.

    track = Track.straight()
    track.points_m                        # (SAMPLES, 2) along the centre, one each half metre
    track.levers                          # (SAMPLES, TRACK): metres sideways per parameter
    track.moved(Motion(forward_m=1.0, left_m=0.0, turn_rad=0.02))

The course is a curve whose curvature is piecewise linear in its length: between knots
a clothoid, the form of roads (E. Dickmanns and B. Mysliwetz, "Recursive 3-D road and relative
ego-state recognition", IEEE PAMI 14(2), 1992, who took one clothoid for the whole view).
A road does not move: as the car goes on, what was known of the curvature ahead comes nearer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

STEP_M, BEHIND_M, AHEAD_M = 0.5, 12.0, 40.0
KNOT_M, FIRST_KNOT_M = 4.0, -4.0
LENGTHS_M = np.arange(-BEHIND_M, AHEAD_M + STEP_M / 2, STEP_M)
ORIGIN = round(BEHIND_M / STEP_M)
SAMPLES = len(LENGTHS_M)
KNOTS_M = np.arange(FIRST_KNOT_M, AHEAD_M + KNOT_M / 2, KNOT_M)
KNOTS = len(KNOTS_M)
OFFSET, HEADING, CURVATURES = 0, 1, slice(2, 2 + KNOTS)
TRACK = 2 + KNOTS
"""Numbers of a track: where it passes the car, its heading there, curvature at each knot."""


def _hats(lengths_m: Floats) -> Floats:
    """Return (n, KNOTS) shares of the knots; beyond the ends the last knot holds."""
    place = (np.clip(lengths_m, FIRST_KNOT_M, AHEAD_M) - FIRST_KNOT_M) / KNOT_M
    apart = np.abs(place[:, None] - np.arange(KNOTS))
    return np.asarray(np.maximum(1.0 - apart, 0.0), np.float64)


def _summed(values: npt.NDArray[Any]) -> Floats:
    """Return the integral over length from the origin, by trapezoids, along the first axis."""
    areas = (values[1:] + values[:-1]) * (STEP_M / 2.0)
    total = np.zeros_like(values)
    np.cumsum(areas, axis=0, out=total[1:])
    return np.asarray(total - total[ORIGIN], np.float64)


_HATS = _hats(LENGTHS_M)
_TURNS = _summed(_HATS)
_KNOWN = round((BEHIND_M + FIRST_KNOT_M) / STEP_M)
_HATS_FIT = np.linalg.pinv(_HATS[_KNOWN:])
_HEADING_LEVERS = np.zeros((SAMPLES, TRACK))
_HEADING_LEVERS[:, HEADING] = 1.0
_HEADING_LEVERS[:, CURVATURES] = _TURNS


class Motion(NamedTuple):
    """How the car moved, in the vehicle coordinates of where it was."""

    forward_m: float
    left_m: float
    turn_rad: float


@dataclass(frozen=True)
class Track:
    """``numbers`` (TRACK,): offset in metres, heading in radians, curvatures in 1/m."""

    numbers: Floats

    @classmethod
    def straight(cls) -> Track:
        """Return the track straight ahead."""
        return cls(np.zeros(TRACK))

    @classmethod
    def through(cls, points_m: Floats) -> Track:
        """Return the track along points (n, 2), in driving order; straight on at their ends."""
        steps = np.diff(points_m, axis=0)
        sizes = np.hypot(steps[:, 0], steps[:, 1])
        keep = np.concatenate([[True], sizes > 1e-6])
        points, steps, sizes = points_m[keep], steps[keep[1:]], sizes[keep[1:]]
        along = np.concatenate([[0.0], np.cumsum(sizes)])
        middles = (along[1:] + along[:-1]) / 2.0
        headings = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
        abreast = _abreast(points)
        lengths = np.interp(abreast, np.arange(len(along)), along) + LENGTHS_M
        smooth = np.interp(lengths, middles, headings)
        numbers = np.zeros(TRACK)
        numbers[CURVATURES] = _HATS_FIT @ np.gradient(smooth, STEP_M)[_KNOWN:]
        # Of the courses with these bends the one that keeps the headings: no drift builds up.
        bent = _TURNS[ORIGIN:] @ numbers[CURVATURES]
        near = slice(0, round(10.0 / STEP_M))
        numbers[HEADING] = np.mean((smooth[ORIGIN:] - bent)[near])
        numbers[OFFSET] = np.interp(abreast, np.arange(len(points)), points[:, 1])
        return cls(numbers)

    @cached_property
    def headings_rad(self) -> Floats:
        """Headings at `LENGTHS_M`."""
        return np.asarray(self.numbers[HEADING] + _TURNS @ self.numbers[CURVATURES])

    @cached_property
    def curvatures_1pm(self) -> Floats:
        """Curvatures at `LENGTHS_M`."""
        return np.asarray(_HATS @ self.numbers[CURVATURES])

    @property
    def bends(self) -> tuple[Floats, Floats]:
        """Lengths and curvatures, for interpolation."""
        return LENGTHS_M, self.curvatures_1pm

    @cached_property
    def tangents(self) -> Floats:
        """Directions (SAMPLES, 2) at `LENGTHS_M`."""
        return np.stack([np.cos(self.headings_rad), np.sin(self.headings_rad)], axis=1)

    @cached_property
    def points_m(self) -> Floats:
        """Points (SAMPLES, 2) at `LENGTHS_M`; the one at length 0 is abreast of the car."""
        return np.asarray(_summed(self.tangents) + np.array([0.0, self.numbers[OFFSET]]))

    @cached_property
    def levers(self) -> Floats:
        """Return (SAMPLES, TRACK): how far each point moves to its left per unit of a number.

        Turning the curve at length u moves the point at s by t(s) . (p(s) - p(u)) sideways.
        """
        points, tangents = self.points_m, self.tangents
        turned = points[:, None, :] * _TURNS[:, :, None]
        turned -= _summed(points[:, None, :] * _HATS[:, :, None])
        levers = np.empty((SAMPLES, TRACK))
        levers[:, OFFSET] = tangents[:, 0]
        levers[:, HEADING] = ((points - points[ORIGIN]) * tangents).sum(axis=1)
        levers[:, CURVATURES] = (turned * tangents[:, None, :]).sum(axis=2)
        return levers

    def at(self, lengths_m: Floats, offsets_m: float | Floats = 0.0) -> tuple[Floats, Floats]:
        """Return x and y of points ``offsets_m`` to the left of the track at ``lengths_m``."""
        x = np.interp(lengths_m, LENGTHS_M, self.points_m[:, 0])
        y = np.interp(lengths_m, LENGTHS_M, self.points_m[:, 1])
        heading = np.interp(lengths_m, LENGTHS_M, self.headings_rad)
        return x - offsets_m * np.sin(heading), y + offsets_m * np.cos(heading)

    def moved(self, motion: Motion) -> Track:
        """Return the same road seen after ``motion``; beyond its end it bends on as there."""
        points = into_frame(self.points_m, motion)
        place = _abreast(points, near=ORIGIN)
        ahead_m = place * STEP_M - BEHIND_M
        numbers = np.empty(TRACK)
        numbers[OFFSET] = np.interp(place, np.arange(SAMPLES), points[:, 1])
        numbers[HEADING] = np.interp(ahead_m, LENGTHS_M, self.headings_rad) - motion.turn_rad
        numbers[CURVATURES] = _hats(KNOTS_M + ahead_m) @ self.numbers[CURVATURES]
        return Track(numbers)

    def transition(self, motion: Motion) -> Floats:
        """Return d numbers after / d numbers before ``motion`` (TRACK, TRACK)."""
        points = into_frame(self.points_m, motion)
        ahead_m = _abreast(points, near=ORIGIN) * STEP_M - BEHIND_M
        heading = float(np.interp(ahead_m, LENGTHS_M, self.headings_rad)) - motion.turn_rad
        transition = np.zeros((TRACK, TRACK))
        # A curve that lies askew is crossed by x = 0 farther off than it is away.
        transition[OFFSET] = _row_at(self.levers, ahead_m) / max(math.cos(heading), 0.2)
        transition[HEADING] = _row_at(_HEADING_LEVERS, ahead_m)
        transition[CURVATURES, CURVATURES] = _hats(KNOTS_M + ahead_m)
        return transition


def _row_at(table: Floats, length_m: float) -> Floats:
    place = (length_m + BEHIND_M) / STEP_M
    low = min(int(place), SAMPLES - 2)
    return np.asarray(table[low] + (table[low + 1] - table[low]) * (place - low))


def _abreast(points_m: Floats, near: int = 0) -> float:
    """Return the (fractional) index at which a curve passes x = 0, the nearest to ``near``.

    A curve that begins ahead of the car or ends behind it is abreast at its nearest end.
    """
    x = points_m[:, 0]
    crosses = np.flatnonzero((x[:-1] <= 0.0) & (x[1:] > 0.0))
    if not len(crosses):
        return float(np.argmin(np.abs(x)))
    low = int(crosses[np.argmin(np.abs(crosses - near))])
    return float(low - x[low] / (x[low + 1] - x[low]))


def into_frame(points_m: Floats, motion: Motion) -> Floats:
    """Return points (n, 2) in the vehicle coordinates that hold after ``motion``."""
    cosine, sine = math.cos(motion.turn_rad), math.sin(motion.turn_rad)
    moved = points_m - [motion.forward_m, motion.left_m]
    return np.asarray(moved @ np.array([[cosine, -sine], [sine, cosine]]))
