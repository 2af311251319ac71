"""Many strips at once: all samples of all lanes in a row, thinned where roads are straight.

    samples = Samples(roads.lanes)
    run = samples.runs(samples.per_lane(paved) & samples.keep)
    mesh = run.mesh(samples.left, samples.right, uvw, tag=Tag.ROAD)

A town has a thousand strips within sight; made one by one in Python they would take
seconds, as arrays they take milliseconds. Lanes of one road are thinned alike, so that
their common edges still meet point for point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.world.maps.lanes import Flags, Lane, Points
from carla_bridge.world.meshes import Mesh, make

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

SAG = 0.012
"""Metres by which a chord may leave a bend."""
BLOCK = 24.0
"""Metres along a road that are thinned alike; their ends are kept."""
LONGEST = 12.0
"""Metres between samples that are kept."""


class Samples:
    """The samples of lanes one after the other: ``left``, ``right`` (n, 3), ``s`` (n,) metres.

    ``lane`` (n,) is the lane's number; ``keep`` (n,) says which samples its shape needs.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = lanes
        counts = np.array([len(lane.s) for lane in lanes], dtype=np.int64)
        self.lane: Index = np.repeat(np.arange(len(lanes)), counts)
        self.left = np.concatenate([np.zeros((0, 3)), *(lane.left for lane in lanes)])
        self.right = np.concatenate([np.zeros((0, 3)), *(lane.right for lane in lanes)])
        self.s = np.concatenate([np.zeros(0), *(lane.s for lane in lanes)])
        self._road = np.array([lane.road for lane in lanes], dtype=np.int64)[self.lane]
        self.keep = self._needed()

    def per_lane(self, values: Sequence[bool]) -> Flags:
        """Return a flag of each lane as one of each sample (n,)."""
        return np.array(values, dtype=bool)[self.lane]

    def flags(self, name: str, default: Sequence[bool]) -> Flags:
        """Return the lanes' flags of that name (n,); ``default`` where a lane has none."""
        result = self.per_lane(default)
        first = np.searchsorted(self.lane, np.arange(len(self.lanes)))
        for begin, lane in zip(first.tolist(), self.lanes, strict=True):
            value = getattr(lane, name)
            if value is not None:
                result[begin : begin + len(value)] = value
        return result

    def _needed(self) -> Flags:
        if not len(self.s):
            return np.zeros(0, dtype=bool)
        same = self.lane[1:] == self.lane[:-1]
        run = np.maximum(np.abs(np.diff(self.s)), 1e-6)
        bend = np.zeros(len(self.s))
        for edge in (self.left, self.right):
            direction = np.diff(edge, axis=0) / run[:, None]
            turn = np.linalg.norm(np.diff(direction, axis=0), axis=1)
            inside = same[1:] & same[:-1]
            bend[1:-1] = np.maximum(bend[1:-1], turn / (run[1:] + run[:-1]) * 2.0 * inside)
        block = np.floor(self.s / BLOCK).astype(np.int64)
        _, group = np.unique(self._road * 1_000_003 + block, return_inverse=True)
        sharpest = np.zeros(int(group.max()) + 1)
        np.maximum.at(sharpest, group, bend)
        stride = np.clip(np.sqrt(8.0 * SAG / np.maximum(sharpest, 1e-6)), 1.0, LONGEST)[group]
        part = np.floor((self.s - block * BLOCK) / stride).astype(np.int64)
        changes = (np.diff(part) != 0) | (np.diff(block) != 0)
        # The same samples whichever way a lane runs: the later ones along the road.
        rises = np.diff(self.s) > 0.0
        keep = np.zeros(len(self.s), dtype=bool)
        keep[1:] |= changes & rises & same
        keep[:-1] |= changes & ~rises & same
        keep[0] = keep[-1] = True
        keep[1:] |= ~same
        keep[:-1] |= ~same
        return keep

    def runs(self, inside: Flags, material: Array | None = None, keep: Flags | None = None) -> Runs:
        """Return the runs of samples that are ``inside`` (n,), thinned to those of ``keep``.

        A run ends where the lane does, or where ``material`` (n,), of the piece after each
        sample, changes; the next one starts at the same sample.
        """
        keep = self.keep if keep is None else keep
        same = self.lane[1:] == self.lane[:-1]
        joined = same & inside[1:] & inside[:-1]
        if material is None:
            cut = np.zeros(len(joined) + 1, dtype=bool)
        else:
            changes = np.concatenate([[False], material[1:] != material[:-1]])
            cut = changes & np.append(joined, False) & np.insert(joined, 0, False)
        begins = np.insert(~joined, 0, True) & np.append(joined, False)
        ends = np.append(~joined, True) & np.insert(joined, 0, False)
        touched = np.append(joined, False) | np.insert(joined, 0, False)
        chosen = np.flatnonzero(touched & (keep | begins | ends | cut))
        twice = 1 + cut[chosen].astype(np.int64)
        index = np.repeat(chosen, twice)
        starts = begins[index].copy()
        starts[np.cumsum(twice)[cut[chosen]] - 1] = True
        return Runs(index, starts)


@dataclass(frozen=True)
class Runs:
    """Runs of samples: ``index`` (m,) into the samples, ``starts`` (m,) where a run begins."""

    index: Index
    starts: Flags

    @property
    def ends(self) -> Flags:
        """(m,) where a run ends."""
        return np.append(self.starts[1:], True)[: len(self.index)]

    def faces(self, rows: int = 2) -> npt.NDArray[np.int64]:
        """Return triangles between ``rows`` polylines of all runs, one polyline after the other.

        They face up where each polyline is to the right of the one before.
        """
        m = len(self.index)
        first = np.flatnonzero(~self.starts[1:])
        a = (np.arange(rows - 1)[:, None] * m + first).ravel()
        return np.concatenate(
            [np.stack([a, a + m, a + m + 1], 1), np.stack([a, a + m + 1, a + 1], 1)]
        )

    def mesh(
        self,
        columns: Sequence[Points],
        uvw: Sequence[Array] | None = None,
        normal: npt.ArrayLike = (0.0, 0.0, 1.0),
        tag: int = 0,
        colour: npt.ArrayLike = (255, 255, 255),
    ) -> Mesh:
        """Return the bands between polylines (m, 3) that lie side by side, from the left."""
        if not len(self.index):
            return make(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
        texture = (0.0, 0.0, 0.0) if uvw is None else np.concatenate(uvw)
        return make(np.concatenate(columns), self.faces(len(columns)), colour, normal, texture, tag)

    def extended(self, values: Array, reach: Array) -> Array:
        """Return values (m, k) with one more at both ends of each run, run on straight.

        ``reach`` (m,) is how far, as a share of the step to the neighbour.
        """
        before, after = self._extension()
        slots = (
            np.arange(len(self.index)) + np.cumsum(self.starts) + np.cumsum(self.ends) - self.ends
        )
        result = np.empty((len(self.index) + len(before) + len(after), *values.shape[1:]))
        result[slots] = values
        share = reach.reshape(-1, *([1] * (values.ndim - 1)))
        step = values[before] - values[before + 1]
        result[slots[before] - 1] = values[before] + step * share[before]
        step = values[after] - values[after - 1]
        result[slots[after] + 1] = values[after] + step * share[after]
        return result

    def longer(self) -> Runs:
        """Return the runs that `extended` values belong to; ``index`` is of no use then."""
        count = len(self.index) + 2 * int(self.starts.sum())
        starts = np.zeros(count, dtype=bool)
        before, _ = self._extension()
        slots = (
            np.arange(len(self.index)) + np.cumsum(self.starts) + np.cumsum(self.ends) - self.ends
        )
        starts[slots[before] - 1] = True
        return Runs(np.arange(count), starts)

    def _extension(self) -> tuple[Index, Index]:
        return np.flatnonzero(self.starts), np.flatnonzero(self.ends)

    def split(self, values: Array) -> list[Array]:
        """Return values (m, ...) run by run."""
        return np.split(values, np.flatnonzero(self.starts)[1:]) if len(self.index) else []
