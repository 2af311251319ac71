"""The short pieces that lanes are made of, as rectangles with a place, a direction, a size.

    segments = Segments.of(lanes)
    along, across = segments.local(points, index)    # metres ahead and to the right

All in arrays, one row a piece: what is asked of thousands of points is asked at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.world.maps.lanes import Lane, Points

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Segments:
    """n rectangles: ``lane`` (n,) numbers, ``s`` (n,) metres along the road, ``middle`` (n, 3).

    ``along`` (n, 2) is the unit direction of the lane, ``half_length`` and ``half_width`` (n,)
    metres; ``rise`` and ``fall`` (n,) are metres of height per metre along and to the right.
    """

    lane: Index
    s: Array
    middle: Points
    along: Array
    half_length: Array
    half_width: Array
    rise: Array
    fall: Array

    @staticmethod
    def of(lanes: Sequence[Lane]) -> Segments:
        """Return the pieces between successive samples of all lanes."""
        counts = np.array([len(lane.s) - 1 for lane in lanes], dtype=np.int64)
        left = [lane.left for lane in lanes]
        right = [lane.right for lane in lanes]
        first = [np.concatenate([edge[:-1] for edge in side]) for side in (left, right)]
        last = [np.concatenate([edge[1:] for edge in side]) for side in (left, right)]
        return _between(
            np.repeat(np.arange(len(lanes)), counts),
            np.concatenate([lane.s[:-1] for lane in lanes]),
            (first[0], first[1]),
            (last[0], last[1]),
        )

    @staticmethod
    def of_quads(corners: Points) -> Segments:
        """Return rectangles of quads (n, 4, 3); their lanes are -1."""
        count = len(corners)
        return _between(
            np.full(count, -1),
            np.zeros(count),
            (corners[:, 3], corners[:, 0]),
            (corners[:, 2], corners[:, 1]),
        )

    def joined(self, other: Segments) -> Segments:
        """Return these and others."""
        return Segments(
            *(np.concatenate([x, getattr(other, name)]) for name, x in vars(self).items())
        )

    def boxes(self) -> tuple[Array, Array]:
        """Return the lowest and highest x, y (n, 2) of each."""
        unit = np.abs(self.along)
        half = unit * self.half_length[:, None] + unit[:, ::-1] * self.half_width[:, None]
        return self.middle[:, :2] - half, self.middle[:, :2] + half

    def local(self, xy: Array, index: Index) -> tuple[Array, Array]:
        """Return how far points (..., 2) lie ahead and to the right of segments ``index``."""
        away = xy - self.middle[index, :2]
        unit = self.along[index]
        along = away[..., 0] * unit[..., 0] + away[..., 1] * unit[..., 1]
        return along, away[..., 0] * unit[..., 1] - away[..., 1] * unit[..., 0]


def _between(
    lane: Index, s: Array, first: tuple[Points, Points], last: tuple[Points, Points]
) -> Segments:
    """Return segments from edges (left, right) at their starts to edges at their ends."""
    start, end = (first[0] + first[1]) / 2.0, (last[0] + last[1]) / 2.0
    run = end - start
    length = np.linalg.norm(run[:, :2], axis=1)
    across = (first[1] - first[0] + last[1] - last[0]) / 2.0
    width = np.linalg.norm(across[:, :2], axis=1)
    return Segments(
        lane,
        s,
        (start + end) / 2.0,
        run[:, :2] / np.maximum(length, 1e-9)[:, None],
        length / 2.0,
        width / 2.0,
        run[:, 2] / np.maximum(length, 1e-3),
        across[:, 2] / np.maximum(width, 1e-3),
    )
