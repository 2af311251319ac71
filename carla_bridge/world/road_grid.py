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

from carla_bridge.world.lanes import Roads
from carla_bridge.world.segments import Index, Segments

Array = npt.NDArray[np.float64]

CELL = 1.0
"""Metres of a cell, at least."""
SIDE = 2500
"""Cells along a side, at most: a larger map has larger cells."""
MARGIN = 12.0


@dataclass(frozen=True)
class Nearest:
    """For n points: the distance in metres to the nearest lane's edge, negative on a lane,
    the height of that edge with and without the kerb, and which segment it is.
    """

    distance: Array
    height: Array
    road_height: Array
    segment: Index


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
        low, high = segments.middle[:, :2].min(axis=0), segments.middle[:, :2].max(axis=0)
        self.cell = max(CELL, float((high - low).max()) / SIDE)
        self._low = low - MARGIN
        self._size = np.ceil((high - low + 2 * MARGIN) / self.cell).astype(int)
        self._closest = self._raster()

    def _raster(self) -> Index:
        """Return (rows, columns) of the nearest segment to each cell."""
        ids = np.full((self._size[1], self._size[0]), -1, dtype=np.int64)
        segments = self.segments
        # Where lanes cross at different heights, the lowest is the one that lies on the ground.
        order = np.argsort(-segments.middle[:, 2], kind="stable")
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
        cell = np.clip(((place - self._low) / self.cell).astype(int), 0, self._size - 1)
        ids[cell[:, 1], cell[:, 0]] = segment
        taken = ids >= 0
        _, labels = cv2.distanceTransformWithLabels(
            (~taken).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        names = np.zeros(int(labels.max()) + 1, dtype=np.int64)
        names[labels[taken]] = ids[taken]
        return np.asarray(names[labels])

    def nearest(self, xy: Array) -> Nearest:
        """Return what is nearest to points (n, 2)."""
        at = np.clip((xy - self._low) / self.cell - 0.5, 0.0, self._size - 1.001)
        column, row = np.floor(at).astype(int).T
        column_after = np.minimum(column + 1, self._size[0] - 1)
        row_after = np.minimum(row + 1, self._size[1] - 1)
        segment = self._closest[
            np.stack([row, row, row_after, row_after], 1),
            np.stack([column, column_after, column, column_after], 1),
        ]
        parts = self.segments
        along, across = parts.local(xy[:, None], segment)
        beside = np.abs(across) - parts.half_width[segment]
        beyond = np.abs(along) - parts.half_length[segment]
        outside = np.hypot(np.maximum(beside, 0.0), np.maximum(beyond, 0.0))
        distance = np.where(outside > 0.0, outside, beside)
        best = distance.argmin(axis=1)
        rows = np.arange(len(xy))
        segment, along, across = segment[rows, best], along[rows, best], across[rows, best]
        half_length, half_width = parts.half_length[segment], parts.half_width[segment]
        road = (
            parts.middle[segment, 2]
            + parts.rise[segment] * np.clip(along, -half_length, half_length)
            + parts.fall[segment] * np.clip(across, -half_width, half_width)
        )
        lift = self._lift[segment, (across > 0.0).astype(int)]
        on_lane = distance[rows, best] <= 0.0
        lift = np.where(on_lane & ~self._raised[segment], 0.0, lift)
        return Nearest(distance[rows, best], road + lift, road, segment)
