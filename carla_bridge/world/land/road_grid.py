"""The nearest lane to any place, by a raster that knows it for each square metre.

    grid = RoadGrid(roads, lift=0.12)
    found = grid.nearest(xy)
    found.distance, found.height       # metres to the lane's edge, and its height there

A distance transform (Felzenszwalb and Huttenlocher, "Distance transforms of sampled
functions", 2012; here OpenCV's) finds the nearest raster cell with a lane once for all; a
place then asks the four cells around it, and measures those pieces of lanes exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from carla_bridge.world.maps.lanes import Roads
from carla_bridge.world.maps.segments import Index, Segments

Array = npt.NDArray[np.float64]

CELL = 1.0
"""Metres of a cell, at least."""
SIDE = 2500
"""Cells along a side, at most: a larger map has larger cells."""
MARGIN = 16.0
FAR = 8.0
"""Metres from which one candidate will do: the lanes beside it are as far."""
UNDERGROUND = 1e7
"""Metres: more than any road is high."""


@dataclass(frozen=True)
class Nearest:
    """For n points: the distance in metres to the nearest lane's edge, negative on a lane,
    the height of that edge with and without the kerb, and the lane's number (a fill's is -1).
    """

    distance: Array
    height: Array
    road_height: Array
    lane: Index


class RoadGrid:
    """All lanes of some roads; raised ones and kerbs stand ``lift`` metres above the road."""

    def __init__(self, roads: Roads, lift: float) -> None:
        segments = Segments.of(roads.lanes)
        if len(roads.fills):
            segments = segments.joined(Segments.of_quads(roads.fills))
        self.segments = segments
        raised = np.array([lane.raised for lane in roads.lanes] + [False])
        kerbs = np.array(
            [(x.kerb_left and x.outer_left, x.kerb_right and x.outer_right) for x in roads.lanes]
            + [(False, False)]
        )
        self._lift = lift * (raised[:, None] | kerbs)[segments.lane]
        self._raised = raised[segments.lane]
        # The pieces of a lane follow each other; a fill stands alone.
        number = np.arange(len(segments.s))
        starts = np.flatnonzero(np.diff(segments.lane, prepend=-2) | (segments.lane < 0))
        which = np.searchsorted(starts, number, side="right") - 1
        self._first, self._last = starts[which], np.append(starts[1:], len(number))[which] - 1
        low, high = segments.middle[:, :2].min(axis=0), segments.middle[:, :2].max(axis=0)
        self.cell = max(CELL, float((high - low).max()) / SIDE)
        self._low = low - MARGIN
        self._size = np.ceil((high - low + 2 * MARGIN) / self.cell).astype(int)
        self._closest = self._raster()

    def _raster(self) -> Index:
        """Return (rows, columns) of the nearest segment to each cell."""
        ids = np.full((self._size[1], self._size[0]), -1, dtype=np.int64)
        segments = self.segments
        # Where lanes cross at different heights, the lowest is the one that lies on the ground;
        # of lanes side by side in a cell, the narrowest has no other.
        order = np.lexsort((-segments.half_width, -np.round(segments.middle[:, 2])))
        many = np.ceil(2.0 * segments.half_width[order] / (0.8 * self.cell)).astype(int) + 1
        segment = np.repeat(order, many)
        part = np.arange(len(segment)) - np.repeat(np.cumsum(many) - many, many)
        across = (2.0 * part / np.maximum(np.repeat(many, many) - 1, 1) - 1.0) * np.repeat(
            segments.half_width[order], many
        )
        unit = segments.along[segment]
        place = segments.middle[segment, :2] + across[:, None] * np.stack(
            [unit[:, 1], -unit[:, 0]], axis=1
        )
        column, row = self._cells(place).T
        ids[row, column] = segment
        taken = ids >= 0
        self._distance, labels = cv2.distanceTransformWithLabels(
            (~taken).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        self._levels = np.where(taken, segments.middle[ids, 2], np.inf).astype(np.float32)
        names = np.zeros(int(labels.max()) + 1, dtype=np.int64)
        names[labels[taken]] = ids[taken]
        return np.asarray(names[labels])

    def _cells(self, xy: Array) -> Index:
        """Return (column, row) of points (n, 2), those outside at the rim."""
        cell = np.clip(np.floor((xy - self._low) / self.cell), 0, self._size - 1)
        return np.asarray(cell.astype(np.int64))

    def lowest(self, xy: Array, reach: float) -> Array:
        """Return the height of the lowest road within ``reach`` metres along x or y, or inf."""
        cells = int(np.ceil(reach / self.cell))
        kernel = np.ones((2 * cells + 1, 2 * cells + 1), np.uint8)
        column, row = self._cells(xy).T
        return np.asarray(cv2.erode(self._levels, kernel)[row, column], dtype=np.float64)

    def nearest(self, xy: Array) -> Nearest:
        """Return what is nearest to points (n, 2)."""
        segment = np.empty(len(xy), dtype=np.int64)
        distance = np.empty(len(xy))
        column, row = self._cells(xy).T
        far = self._distance[row, column] * self.cell > FAR
        if far.any():
            closest = self._closest[row[far], column[far], None]
            segment[far], distance[far] = self._best(xy[far], closest)
        near = ~far
        segment[near], distance[near] = self._best(xy[near], self._around(xy[near], 1))
        unsure = near & (distance > 0.0) & (distance < self.cell)
        if unsure.any():  # a narrow lane between others may not have a cell of its own there
            segment[unsure], distance[unsure] = self._best(xy[unsure], self._around(xy[unsure], 2))
        parts = self.segments
        along, across = parts.local(xy, segment)
        half_length, half_width = parts.half_length[segment], parts.half_width[segment]
        road = (
            parts.middle[segment, 2]
            + parts.rise[segment] * np.clip(along, -half_length, half_length)
            + parts.fall[segment] * np.clip(across, -half_width, half_width)
        )
        lift = self._lift[segment, (across > 0.0).astype(int)]
        lift = np.where((distance <= 0.0) & ~self._raised[segment], 0.0, lift)
        return Nearest(distance, road + lift, road, parts.lane[segment])

    def _around(self, xy: Array, reach: int) -> Index:
        """Return what is closest to the 2 x 2 or 4 x 4 cells (n, 4 or 16) around points."""
        at = np.clip((xy - self._low) / self.cell - 0.5, 0.0, self._size - 1.001)
        cell = np.floor(at).astype(np.int64)
        steps = np.arange(1 - reach, 1 + reach)
        column = np.clip(cell[:, :1] + np.tile(steps, len(steps)), 0, self._size[0] - 1)
        row = np.clip(cell[:, 1:] + np.repeat(steps, len(steps)), 0, self._size[1] - 1)
        return np.asarray(self._closest[row, column])

    def _best(self, xy: Array, segment: Index) -> tuple[Index, Array]:
        """Return the nearest segment (n,) among candidates (n, k), and its distance."""
        parts = self.segments
        # The raster's distances are a few per cent off: one step along each lane mends that.
        along, _ = parts.local(xy[:, None], segment)
        step = np.rint(along / np.maximum(2.0 * parts.half_length[segment], 0.3)).astype(np.int64)
        stepped = np.clip(segment + step, self._first[segment], self._last[segment])
        segment = np.concatenate([segment, stepped], axis=1)
        along, across = parts.local(xy[:, None], segment)
        beside = np.abs(across) - parts.half_width[segment]
        beyond = np.abs(along) - parts.half_length[segment]
        outside = np.hypot(np.maximum(beside, 0.0), np.maximum(beyond, 0.0))
        distance = np.where(outside > 0.0, outside, beside)
        # Of several lanes above each other the lowest counts.
        rank = np.where(distance <= 0.0, parts.middle[segment, 2] - UNDERGROUND, distance)
        best = rank.argmin(axis=1)
        rows = np.arange(len(xy))
        return segment[rows, best], distance[rows, best]
