"""Lane strips and strokes of paint that go on from one lane section of a road into the next.

    tracks = Tracks()
    tracks.add(strips, strokes)     # of each section in turn
    tracks.strips(), tracks.strokes()

Maps cut a road into sections wherever anything changes; a lane that goes on as it was is
one strip here, so that dashes keep their rhythm and a camera finds lanes of some length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

JOINT = 0.005
"""Metres by which edges may differ where a strip goes on into the next lane section."""


@dataclass(frozen=True)
class Strip:
    """A lane in the road's own order: ``inner`` lies towards the reference line, s rises.

    ``side`` is 1 left and -1 right of it; ``kerbs`` and ``beside`` are (inner, outer): whether
    there is a kerb, and the kind of the neighbour ("" at the road's edge).
    """

    kind: str
    side: int
    inner: Array
    outer: Array
    s: Array
    kerbs: tuple[bool, bool]
    beside: tuple[str, str]
    surface: str


@dataclass(frozen=True)
class Stroke:
    """A road mark in the road's own order: points (n, 3) and the marks' style.

    ``open`` says that it reaches the end of its lane section, and may go on in the next.
    """

    side: int
    points: Array
    open: bool
    style: tuple[str, str, float, tuple[float, float] | None]


class Tracks:
    """Strips and strokes under way: each goes on where only the lane section changes."""

    def __init__(self) -> None:
        self._strips: list[list[Strip]] = []
        self._open: list[list[Strip]] = []
        self._strokes: list[list[Stroke]] = []
        self._wet: list[list[Stroke]] = []

    def add(self, strips: list[Strip], strokes: list[Stroke]) -> None:
        """Append the strips and strokes of the next section."""
        still: list[list[Strip]] = []
        for strip in strips:
            track = next((t for t in self._open if _follows(t[-1], strip)), None)
            if track is None:
                track = []
                self._strips.append(track)
            track.append(strip)
            still.append(track)
        self._open = still
        wet: list[list[Stroke]] = []
        for stroke in strokes:
            line = next((t for t in self._wet if _same_paint(t[-1], stroke)), None)
            if line is None:
                line = []
                self._strokes.append(line)
            line.append(stroke)
            if stroke.open:
                wet.append(line)
        self._wet = wet

    def strips(self) -> list[Strip]:
        """Return all strips, each in one piece."""
        return [
            replace(
                track[0],
                inner=_join([strip.inner for strip in track]),
                outer=_join([strip.outer for strip in track]),
                s=_join([strip.s for strip in track]),
            )
            for track in self._strips
        ]

    def strokes(self) -> list[Stroke]:
        """Return all strokes, each in one piece."""
        return [replace(t[0], points=_join([stroke.points for stroke in t])) for t in self._strokes]


def _join(parts: list[Array]) -> Array:
    """Concatenate arrays whose ends are each other's starts."""
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def _meet(first: Array, second: Array) -> bool:
    return bool(np.abs(first[-1] - second[0]).max() < JOINT)


def _follows(old: Strip, new: Strip) -> bool:
    return (
        (old.kind, old.side, old.kerbs, old.beside, old.surface)
        == (new.kind, new.side, new.kerbs, new.beside, new.surface)
        and _meet(old.inner, new.inner)
        and _meet(old.outer, new.outer)
    )


def _same_paint(old: Stroke, new: Stroke) -> bool:
    return (old.side, old.style) == (new.side, new.style) and _meet(old.points, new.points)
