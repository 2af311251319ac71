"""Where the lanes of different roads lie over each other, as they do in every junction.

    lanes = settle(lanes)                    # pavements are cut where asphalt crosses them
    lanes = with_free_edges(lanes, fills)    # the outline of each junction is known

In a junction a lane of its own leads from each arm to each other one. Their asphalt is one
surface: it must look the same whichever strip is drawn, and only its outline has kerbs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from carla_bridge.world.maps.lanes import Flags, Lane, Points, stretches
from carla_bridge.world.maps.segments import Segments
from edge_seg.errors import EdgeSegError

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Found = dict[int, Flags]
"""Flags (n,) for the samples of lanes, by the lane's number."""

CELL = 3.0
"""Metres of a grid cell."""
LEVEL = 1.5
"""Metres of height within which surfaces meet; a bridge is farther above what it crosses."""
BEYOND = 0.12
"""Metres outside an edge where nothing may lie for the edge to be free."""
FILL = -2
"""The road number of fills."""
_ENDS = np.array([0.0, 1.0])
JOINT = 0.06
"""Metres by which roads may run over each other's ends."""
LEAST = 4
"""Samples of what is left of a raised lane that was cut; less is a crumb on the asphalt."""
APART = 15.0
"""Metres along a road beyond which it may lie over itself."""
MOST_CELLS = 20_000_000
"""Entries of the grid; a town of 60 km of lanes has 200,000."""
MOST_PAIRS = 150_000_000
"""Comparisons of a point and a quad; Town04 takes 5 million."""


class Quads:
    """The quads between successive samples of all lanes, in a grid for looking up."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        quads = Segments.of(lanes)
        self.road = np.array([lane.road for lane in lanes], dtype=np.int64)[quads.lane]
        self.quads = quads
        self._key, self._quad = _cells(*quads.boxes())
        order = np.argsort(self._key, kind="stable")
        self._key, self._quad = self._key[order], self._quad[order]

    def crowded(self) -> npt.NDArray[np.int64]:
        """Return the keys of the cells where more than one road lies, or one over itself."""
        if not len(self._key):
            return self._key
        begin = np.flatnonzero(np.diff(self._key, prepend=self._key[0] - 1))
        road, s = self.road[self._quad], self.quads.s[self._quad]
        several = np.minimum.reduceat(road, begin) != np.maximum.reduceat(road, begin)
        spread = np.maximum.reduceat(s, begin) - np.minimum.reduceat(s, begin)
        return np.asarray(self._key[begin[several | (spread > APART)]])

    def covered(
        self, points: Points, road: Index, s: Array, counts: Flags, first: Index, slack: float
    ) -> Flags:
        """Return whether points (n, 3) lie inside quads of another road, at their level.

        ``road`` and ``s`` (n,) are the points' own; ``counts`` (lanes,) says which lanes
        count, or, where ``first`` (n,) is not negative, only lanes of a lower number. Quads
        count as longer by ``slack`` metres at each end.
        """
        result = np.zeros(len(points), dtype=bool)
        key = _key(np.floor(points[:, :2] / CELL).astype(np.int64))
        chosen = np.flatnonzero(np.isin(key, self.crowded()))
        begins = np.searchsorted(self._key, key[chosen])
        counted = np.searchsorted(self._key, key[chosen], side="right") - begins
        total = np.cumsum(counted)
        if len(total) and total[-1] > MOST_PAIRS:
            raise EdgeSegError("too many roads lie over each other: are roads there twice?")
        cuts = np.searchsorted(total, np.arange(0, total[-1] if len(total) else 0, 1_000_000))
        for rows in np.split(np.arange(len(chosen)), cuts[1:]):
            part, begin, many = chosen[rows], begins[rows], counted[rows]
            point = np.repeat(part, many)
            offset = np.arange(len(point)) - np.repeat(np.cumsum(many) - many, many)
            quad = self._quad[np.repeat(begin, many) + offset]
            lane = self.quads.lane[quad]
            keep = counts[lane] & ((first[point] < 0) | (lane < first[point]))
            apart = np.abs(self.quads.s[quad] - s[point]) > APART
            keep &= (self.road[quad] != road[point]) | apart
            point, quad = point[keep], quad[keep]
            along, across = self.quads.local(points[point, :2], quad)
            inside = np.abs(along) < self.quads.half_length[quad] + slack
            inside &= np.abs(across) < self.quads.half_width[quad] + 0.005
            rise = np.abs(points[point, 2] - self.quads.middle[quad, 2])
            result[point[inside & (rise < LEVEL)]] = True
        return result


def _key(cell: Index) -> Index:
    return np.asarray(cell[..., 0] * 4_000_037 + cell[..., 1])


def _cells(low: Array, high: Array) -> tuple[Index, Index]:
    """Return (key, number) of each cell that boxes (n, 2) touch."""
    first, last = np.floor(low / CELL).astype(np.int64), np.floor(high / CELL).astype(np.int64)
    size = last - first + 1
    many = size[:, 0] * size[:, 1]
    if many.sum() > MOST_CELLS:
        raise EdgeSegError("the lanes cover too large an area: cut the map")
    box = np.repeat(np.arange(len(low)), many)
    offset = np.arange(len(box)) - np.repeat(np.cumsum(many) - many, many)
    cell = first[box] + np.stack([offset % size[box, 0], offset // size[box, 0]], axis=1)
    return _key(cell), box


def settle(lanes: list[Lane]) -> list[Lane]:
    """Cut raised lanes where other roads cross them, and mark the asphalt that is shared."""
    if not lanes:
        return lanes
    lanes = _cut_raised(lanes)
    _, paved = _flags(lanes)
    shared = _look_up(Quads(lanes), lanes, _across, paved, paved)
    return [
        replace(lane, shared=shared[i]) if i in shared and shared[i].any() else lane
        for i, lane in enumerate(lanes)
    ]


def with_free_edges(lanes: list[Lane], fills: Points) -> list[Lane]:
    """Mark the edges beyond which there is neither another lane nor a fill (m, 4, 3)."""
    if not lanes:
        return lanes
    patches = [
        Lane("NONE", quad[[3, 2]], quad[[0, 1]], _ENDS, True, True, road=FILL) for quad in fills
    ]
    quads = Quads([*lanes, *patches])
    everything = np.ones(len(lanes) + len(patches), dtype=bool)
    outer = np.array([(lane.outer_left, lane.outer_right) for lane in lanes])
    left = _look_up(quads, lanes, lambda x: [_out(x, -1)], outer[:, 0], everything)
    right = _look_up(quads, lanes, lambda x: [_out(x, 1)], outer[:, 1], everything)
    return [
        replace(
            lane,
            free_left=~left[i] if i in left else None,
            free_right=~right[i] if i in right else None,
        )
        for i, lane in enumerate(lanes)
    ]


def _cut_raised(lanes: list[Lane]) -> list[Lane]:
    """Return the lanes; raised ones without what asphalt or an earlier pavement covers."""
    if not any(lane.raised for lane in lanes):
        return lanes
    # Where roads only join, end to end, nothing is covered.
    raised, paved = _flags(lanes)
    lanes = _without(lanes, _look_up(Quads(lanes), lanes, _across, raised, paved, slack=-JOINT))
    raised, _ = _flags(lanes)
    double = _look_up(
        Quads(lanes), lanes, lambda lane: [lane.centre], raised, raised, True, slack=-JOINT
    )
    for i, flags in double.items():
        padded = np.pad(flags, 1, mode="edge")  # two pavements may well overlap by a sample
        double[i] = padded[:-2] & flags & padded[2:]
    return _without(lanes, double)


def _flags(lanes: list[Lane]) -> tuple[Flags, Flags]:
    return np.array([x.raised for x in lanes]), np.array([x.paved for x in lanes])


def _without(lanes: list[Lane], hidden: Found) -> list[Lane]:
    result: list[Lane] = []
    for i, lane in enumerate(lanes):
        if i in hidden and hidden[i].any():
            result += [lane.cut(rows) for rows in stretches(~hidden[i], LEAST)]
        else:
            result.append(lane)
    return result


def _look_up(
    quads: Quads,
    lanes: list[Lane],
    points: Callable[[Lane], list[Points]],
    which: Flags,
    counts: Flags,
    earlier: bool = False,
    slack: float = 0.02,
) -> Found:
    """Return, by lane, whether any of its ``points`` lies inside a lane of another road."""
    asked = np.flatnonzero(which).tolist()
    if not asked:
        return {}
    rows = {i: points(lanes[i]) for i in asked}
    several = len(rows[asked[0]])
    lane = np.concatenate([np.full(len(lanes[i].s) * several, i) for i in asked])
    road = np.array([x.road for x in lanes])[lane]
    s = np.concatenate([np.tile(lanes[i].s, several) for i in asked])
    first = lane if earlier else np.full(len(lane), -1)
    place = np.concatenate([p for i in asked for p in rows[i]])
    found = quads.covered(place, road, s, counts, first, slack)
    result: Found = {}
    begin = 0
    for i in asked:
        count = len(lanes[i].s)
        result[i] = found[begin : begin + several * count].reshape(several, count).max(axis=0)
        begin += several * count
    return result


def _across(lane: Lane) -> list[Points]:
    """Return three points across the lane at each sample."""
    return [lane.left + (lane.right - lane.left) * part for part in (0.1, 0.5, 0.9)]


def _out(lane: Lane, side: int) -> Points:
    """Return points just outside the right (1) or left (-1) edge."""
    across = lane.right - lane.left
    unit = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    return np.asarray((lane.right if side > 0 else lane.left) + side * BEYOND * unit)
