"""Where symbols belong: lanes that run into a junction, and all lanes across at one place.

    places = Places(tracks)
    for lane, along in places.mouths: ...     # a junction begins there, in driving direction
    section = places.section(lane, along)     # the carriageway there, from edge to edge

OpenDRIVE's junctions do not reach this far, so they are found again on a raster of the
lanes' directions: where directions that differ share a cell, roads cross.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.world.paint.tracks import Array, Index, Tracks

CELL = 2.0
"""Metres of a raster cell: less than any lane is wide."""
AGREEMENT = 0.9
"""Length of the mean of doubled directions below which a cell counts as a crossing's."""
AHEAD = (3.0, 5.0, 7.0, 9.0)
"""Metres beyond a lane's end at which a junction is looked for."""
APPROACH = 15.0
"""Metres of free lane that a junction's mouth has before it."""
REACH = 30.0
"""Metres to each side within which a carriageway's strips are looked for."""
TOUCH = 0.35
"""Metres between two strips that still count as neighbours."""


@dataclass(frozen=True)
class Section:
    """The carriageway across one place of a lane, seen along it; strips run from left to right.

    ``lane`` (n,) indices, ``along`` (n,) metres along each, ``low`` and ``high`` (n,) metres to
    the right of the place, ``same`` (n,) whether the strip runs the same way, ``driving`` (n,)
    whether it is a lane for cars; ``own`` is the row of the lane itself.
    """

    lane: Index
    along: Array
    low: Array
    high: Array
    same: npt.NDArray[np.bool_]
    driving: npt.NDArray[np.bool_]
    own: int

    @property
    def here(self) -> tuple[int, float]:
        """The lane itself, and metres along it."""
        return int(self.lane[self.own]), float(self.along[self.own])

    def rows(self, mine: bool) -> Index:
        """Return the driving lanes about the own one: those of its direction, or all of them."""
        fits = self.driving & self.same if mine else self.driving
        first = last = self.own
        while first > 0 and fits[first - 1]:
            first -= 1
        while last < len(fits) - 1 and fits[last + 1]:
            last += 1
        return np.arange(first, last + 1)

    def span(self, rows: Index) -> tuple[float, float]:
        """Return where strips begin and end, in metres to the right of the place."""
        return float(self.low[rows[0]]), float(self.high[rows[-1]])


class Places:
    """What of the paved lanes lies where."""

    def __init__(self, tracks: Tracks) -> None:
        self.tracks = tracks
        lanes = tracks.lanes
        self.counts = np.array([len(lane.s) for lane in lanes], int)
        self.starts = np.cumsum(self.counts) - self.counts
        first = len(tracks.middle) - int(self.counts.sum())
        self._lane = np.repeat(np.arange(len(lanes)), self.counts)
        self._middle, self._side = tracks.middle[first:], tracks.side[first:]
        self._half = tracks.half[first:]
        base = tracks.base[tracks.first_lane :]
        self._along = tracks.address[first:] - base[self._lane]
        self.driving = np.array([lane.kind == "Driving" for lane in lanes], bool)
        self.length = tracks.length[tracks.first_lane :]
        self._forward = np.stack([-self._side[:, 1], self._side[:, 0]], axis=1)
        self.crossing = self._crossings()
        """(n,) bool, by sample of the lanes: another road crosses there."""
        total = np.concatenate([[0], np.cumsum(self.crossing)])
        self.crossed = (total[self.starts + self.counts] - total[self.starts]) / self.counts
        """The share of each lane that lies where roads cross."""
        self.inside = np.array([lane.junction for lane in lanes], bool)
        self.open = (self.crossed < 0.2) & ~self.inside
        """Whether a lane is free of junctions, so that symbols may stand on it."""
        self._eastward = np.argsort(self._middle[:, 0], kind="stable")
        self._east = self._middle[self._eastward, 0]
        self.mouths = self._mouths()
        """(lane, metres along) where lanes run into junctions."""

    def section(self, lane: int, along: float) -> Section:
        """Return the strips beside each other at a place of a lane, out to the road's edges."""
        place, side, _ = self.tracks.spot(self.tracks.first_lane + lane, along)
        right, forward = side[:2], np.array([-side[1], side[0]])
        window = np.searchsorted(self._east, [place[0] - REACH, place[0] + REACH])
        near = self._eastward[window[0] : window[1]]
        near = near[np.abs(self._middle[near, 1] - place[1]) < REACH]
        away = self._middle[near, :2] - place[:2]
        ahead, aside = away @ forward, away @ right
        turned = self._forward[near] @ forward
        level = np.abs(self._middle[near, 2] - place[2]) < 0.5 + 0.12 * np.abs(aside)
        abreast = np.flatnonzero((np.abs(ahead) < 0.8) & level & (np.abs(turned) > 0.9))
        # One sample a lane: the one that is most nearly abreast.
        abreast = abreast[np.argsort(np.abs(ahead[abreast]), kind="stable")]
        abreast = abreast[np.sort(np.unique(self._lane[near[abreast]], return_index=True)[1])]
        near, ahead, turned = near[abreast], ahead[abreast], turned[abreast]
        low, high = aside[abreast] - self._half[near], aside[abreast] + self._half[near]
        own = int(np.flatnonzero(self._lane[near] == lane)[0])
        chain = _chain(low, high, own)
        near, same = near[chain], turned[chain] > 0.0
        return Section(
            lane=self._lane[near],
            # Where the place lies between the sample and its neighbours.
            along=self._along[near] - np.where(same, ahead[chain], -ahead[chain]),
            low=low[chain],
            high=high[chain],
            same=same,
            driving=self.driving[self._lane[near]],
            own=int(np.flatnonzero(chain == own)[0]),
        )

    def _crossings(self) -> npt.NDArray[np.bool_]:
        cars = self.driving[self._lane]
        if not cars.any():
            return np.zeros(len(self._lane), bool)
        spread = np.array([-0.5, 0.0, 0.5])[:, None, None] * self._half[cars, None]
        points = (self._middle[cars, :2] + spread * self._side[cars, :2]).reshape(-1, 2)
        self._corner = points.min(axis=0) - 2.0 * CELL
        self._shape = np.ceil((points.max(axis=0) - self._corner) / CELL).astype(int) + 3
        cell = self._cell(points)
        c, s = np.tile(self._forward[cars].T, 3)
        z = np.tile(self._middle[cars, 2], 3)
        size = int(self._shape.prod())

        def total(value: Array | None) -> Array:
            return np.bincount(cell, value, minlength=size).astype(float)

        count = np.maximum(total(None), 1.0)
        agreement = np.hypot(total(c * c - s * s), total(2.0 * c * s)) / count
        self._crossed = (agreement < AGREEMENT) & (count > 1.5)
        if np.ptp(z) > 3.0:  # roads may be bridges
            self._crossed &= total(z * z) / count - (total(z) / count) ** 2 < 0.6
        return np.asarray(self._crossed[self._cell(self._middle[:, :2])])

    def _cell(self, points: Array) -> Index:
        grid = ((points - self._corner) / CELL).astype(np.intp)
        grid = np.clip(grid, 0, self._shape - 1)
        return np.asarray(grid[:, 0] * self._shape[1] + grid[:, 1])

    def _mouths(self) -> list[tuple[int, float]]:
        found: list[tuple[int, float]] = []
        if not self.crossing.any():
            return found
        ends = self.starts + self.counts - 1
        beyond = np.array(AHEAD)[:, None, None] * self._forward[ends] + self._middle[ends, :2]
        crossed = self._crossed[self._cell(beyond.reshape(-1, 2))].reshape(len(AHEAD), -1)
        fit = self.driving & (self.length > APPROACH + 5.0) & (self.crossed <= 0.3)
        fit &= ~self.inside
        for lane in np.flatnonzero(fit & ((self.crossed > 0.0) | crossed.any(axis=0))):
            begin = self.starts[lane]
            along = self._along[begin : begin + self.counts[lane]]
            bad = self.crossing[begin : begin + self.counts[lane]]
            places = along[np.flatnonzero(bad)]
            if crossed[:, lane].any() and not bad[-5:].any():
                places = np.append(places, along[-1] + AHEAD[int(crossed[:, lane].argmax())])
            before = np.diff(np.concatenate([[0.0], places]))
            for place in places[before > APPROACH]:
                found.append((int(lane), float(min(place - 2.0, along[-1] - 0.5))))
        return found


def _chain(low: Array, high: Array, own: int) -> Index:
    """Return the rows that join on to ``own`` on either side, from left to right."""
    rows = [own]
    for edge, other, end in ((high, low, -1), (low, high, 0)):
        while True:
            gap = np.abs(other - edge[rows[end]])
            gap[rows] = np.inf
            best = int(gap.argmin())
            if gap[best] > TOUCH:
                break
            rows.insert(len(rows) if end else 0, best)
    return np.array(rows, np.intp)
