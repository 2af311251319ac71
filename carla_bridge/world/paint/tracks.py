"""Where paint goes: painted lines and paved lanes as curved axes of their own.

    tracks = Tracks.of(roads)                    # the lines first, then the paved lanes
    points = tracks.at(track, along, across)     # metres along, metres to the right

A place on the road is (track, metres along it, metres to its right). A lane's axis lies
halfway between its edges and a line's on the line, and "to the right" follows the road's
cross slope, so that whatever is laid in these coordinates lies on the road. All tracks are
laid end to end in one table, so that any number of places is looked up in one go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.world.maps.roads import Lane, Points, Roads

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

BETWEEN = 1.0
"""Metres between one track's end and the next one's start in the table."""
CHORD = 0.01
"""Metres by which a straight piece of paint may leave a bend."""
SINK = 0.0025
"""Metres by which one may rise above or sink below a crest or a sag."""
NARROW = 1.8
"""Metres of a strip too narrow for a second line: a gutter."""
BITS = 22
"""Bits for the index of a lane's edge point among all of them."""
LONGEST = 3.0
"""Metres of the longest piece; wear and cover vary within less than ten."""


@dataclass(frozen=True)
class Tracks:
    """Axes laid end to end: ``middle`` and ``side`` (n, 3), one row a sample.

    ``side`` leads a metre to the right, horizontally, and up or down with the cross slope;
    ``address`` (n,) is where a sample lies in the table and ``half`` (n,) half the lane's
    width (infinite for a line). By track (t,): ``base`` the address of its start, ``last`` the
    row of its last sample, ``length`` in metres, ``step`` the longest straight piece of paint
    that follows it, ``room`` -1 where a line has a lane on its left alone, 1 on its right
    alone, 0 both or unknown. ``lanes`` are the paved lanes; lane i is track ``first_lane + i``.
    """

    middle: Array
    side: Array
    address: Array
    half: Array
    base: Array
    last: Index
    length: Array
    step: Array
    room: Array
    lanes: list[Lane]
    first_lane: int

    @classmethod
    def of(cls, roads: Roads) -> Tracks:
        """Lay out all painted lines and all paved lanes."""
        lanes = [lane for lane in roads.lanes if lane.paved and len(lane.s) > 1]
        lines = [line.points for line in roads.lines]
        left = _stacked([lane.left for lane in lanes])
        right = _stacked([lane.right for lane in lanes])
        middle = np.concatenate([_stacked(lines), (left + right) / 2.0])
        counts = np.array([len(points) for points in (*lines, *(lane.s for lane in lanes))], int)
        starts = np.cumsum(counts) - counts
        track = np.repeat(np.arange(len(counts)), counts)
        step = np.diff(middle, axis=0)
        step[np.diff(track) > 0] = 0.0
        gone = np.linalg.norm(step, axis=1)
        run = np.concatenate([np.zeros(min(1, len(middle))), np.cumsum(gone)])
        along = run - run[starts][track] if len(counts) else run
        ahead = _tangents(step, gone)
        flat = np.stack([ahead[:, 1], -ahead[:, 0], np.zeros(len(ahead))], axis=1)
        flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
        # A lane's own edges say where its right is; a line borrows the slope of the edge it is on.
        across = right - left
        wide = np.maximum(np.hypot(across[:, 0], across[:, 1]), 1e-6)
        on_lines = len(middle) - len(left)
        side = np.concatenate([flat[:on_lines], across / wide[:, None]])
        slope, room, hit = _borrowed(middle[:on_lines], flat[:on_lines], left, right, across, wide)
        # A sample off every edge keeps the slope of the one before it on its line.
        held = np.maximum.accumulate(np.where(hit, np.arange(on_lines), 0))
        side[:on_lines, 2] = np.where(track[held] == track[:on_lines], slope[held], 0.0)
        half = np.concatenate([np.full(on_lines, np.inf), wide / 2.0])
        length = np.maximum.reduceat(along, starts) if len(counts) else along
        base = np.cumsum(length + BETWEEN) - length
        return cls(
            middle=middle,
            side=side,
            address=along + (base[track] if len(counts) else 0.0),
            half=half,
            base=base,
            last=starts + counts - 1,
            length=length,
            step=_steps(ahead, gone, track, starts),
            room=room[starts[: len(lines)]],
            lanes=lanes,
            first_lane=len(lines),
        )

    def at(self, track: npt.ArrayLike, along: npt.ArrayLike, across: npt.ArrayLike) -> Array:
        """Return points (..., 3) on the road; ``along`` stops at a track's ends."""
        row, part = self._row(track, along)
        middle = self.middle[row] + (self.middle[row + 1] - self.middle[row]) * part
        side = self.side[row] + (self.side[row + 1] - self.side[row]) * part
        return np.asarray(middle + side * np.asarray(across, float)[..., None])

    def spot(self, track: int, along: float) -> tuple[Array, Array, float]:
        """Return one place: the point (3,), what leads a metre to the right, half the width."""
        where = self.base[track] + min(max(along, 0.0), self.length[track])
        row = int(self.address.searchsorted(where, side="right")) - 1
        row = min(row, int(self.last[track]) - 1)
        first = self.address[row]
        part = float((where - first) / max(self.address[row + 1] - first, 1e-9))
        half = float(self.half[row])
        if half < np.inf:
            half += (float(self.half[row + 1]) - half) * part
        middle = self.middle[row] + (self.middle[row + 1] - self.middle[row]) * part
        return middle, self.side[row] + (self.side[row + 1] - self.side[row]) * part, half

    def half_width(self, track: npt.ArrayLike, along: npt.ArrayLike) -> Array:
        """Return half the lane's width in metres (...); infinite on a line."""
        row, part = self._row(track, along)
        low, high, share = self.half[row], self.half[row + 1], part[..., 0]
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(np.isinf(low), np.inf, low + (high - low) * share))

    def _row(self, track: npt.ArrayLike, along: npt.ArrayLike) -> tuple[Index, Array]:
        track = np.asarray(track)
        where = np.clip(along, 0.0, self.length[track]) + self.base[track]
        # The last sample of a track counts as the end of the piece before it.
        row = np.searchsorted(self.address, where, side="right") - 1
        row = np.minimum(row, self.last[track] - 1)
        gap = np.maximum(self.address[row + 1] - self.address[row], 1e-9)
        return row, np.clip((where - self.address[row]) / gap, 0.0, 1.0)[..., None]


def _stacked(parts: Sequence[Points]) -> Array:
    return np.concatenate(parts) if parts else np.zeros((0, 3))


def _tangents(step: Array, gone: Array) -> Array:
    """Return unit directions (n, 3): between the neighbours, one-sided at a track's ends."""
    unit = step / np.maximum(gone, 1e-9)[:, None]
    none = np.zeros((1, 3))
    total = np.concatenate([none, unit]) + np.concatenate([unit, none]) if len(unit) else none
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9))


def _borrowed(
    points: Array, flat: Array, left: Array, right: Array, across: Array, wide: Array
) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Return, for lines' samples, the rise per metre to their right and where a lane lies.

    A line's samples are those of the edge that it is painted on; the third result says which
    of them were found there.
    """
    if not len(left) or not len(points):
        none = np.zeros(len(points))
        return none, none, none > 0.0
    # Places and indices in one number: sorting those is faster, and leaves no ties to chance.
    place = np.concatenate([_key(right), _key(left)])
    keys = np.sort(place << BITS | np.arange(len(place)))
    order = keys & ((1 << BITS) - 1)
    wanted = _key(points) << BITS
    first, beyond = np.searchsorted(keys, wanted), np.searchsorted(keys, wanted + (1 << BITS))
    first, beyond = np.minimum(first, len(order) - 1), np.maximum(beyond, first)
    over = across / wide[:, None]
    nearest = over[order[np.where(beyond > first, first, 0)] % len(left)]
    same = np.sign(np.einsum("nk,nk->n", nearest[:, :2], flat[:, :2]))
    slope = np.where(beyond > first, nearest[:, 2] * same, 0.0)
    # Ways into the lanes that share a place cancel out where there is one on either side.
    into = np.concatenate([-over[:, :2], over[:, :2]]) * (np.tile(wide, 2) > NARROW)[:, None]
    total = np.concatenate([np.zeros((1, 2)), np.cumsum(into[order], axis=0)])
    room = np.einsum("nk,nk->n", total[beyond] - total[first], flat[:, :2])
    return slope, np.where(np.abs(room) > 0.5, np.sign(room), 0.0), beyond > first


def _key(points: Array) -> npt.NDArray[np.int64]:
    """Return one number (n,) a place, short of `BITS`; places a millimetre apart have two."""
    grid = np.round(points * 1000.0).astype(np.int64)
    number = grid[:, 0] * 73_856_093 + grid[:, 1] * 19_349_663 + grid[:, 2] * 83_492_791
    return np.asarray(number & ((1 << (62 - BITS)) - 1))


def _steps(ahead: Array, gone: Array, track: Index, starts: Index) -> Array:
    """Return the longest straight piece of each track: chord and sag stay within tolerance."""
    if not len(starts):
        return np.zeros(0)
    between = np.maximum(gone, 0.5)
    turn = np.abs(np.diff(ahead, axis=0))
    bend, crest = np.hypot(turn[:, 0], turn[:, 1]) / between, turn[:, 2] / between
    bend[np.diff(track) > 0] = crest[np.diff(track) > 0] = 0.0
    # A chord of length c is c * c / 8 times the curvature away from its arc.
    with np.errstate(divide="ignore"):
        fits = np.minimum(np.sqrt(8.0 * CHORD / bend), np.sqrt(8.0 * SINK / crest))
    fits = np.append(fits, np.inf)
    return np.asarray(np.clip(np.minimum.reduceat(fits, starts), 0.8, LONGEST))
