"""Pavements, medians and the kerbs around them, with driveways where kerbs are dropped.

    meshes = Kerbs(samples, height=0.12, grass=False, every=40.0, seed=1).meshes()

A kerb has a face towards the asphalt and a lighter top of `TOP` metres; behind it lies the
pavement, or grass. At a driveway the kerb comes down to `DROPPED` metres over a short ramp.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carla_bridge.world.land.ribbons import Runs, Samples
from carla_bridge.world.maps.lanes import Lane, Points
from carla_bridge.world.meshes import Mesh, make, quads, up
from carla_bridge.world.tags import Tag

Array = npt.NDArray[np.float64]

VERGE, PAVEMENT, KERB = 0.0, 1.0, 2.0
"""The ground shader's materials (third texture number)."""

TOP = 0.14
"""Metres across a kerb's top."""
ROOT = 0.12
"""Metres that faces reach below the asphalt."""
DROPPED = 0.02
RAMP = 1.0
"""Metres along and across over which a dropped kerb rises to its full height."""


class Kerbs:
    """The raised lanes among some samples; ``height`` metres above the road.

    ``grass``: medians of no known surface are green; ``every``: metres between driveways on
    average; ``seed``: what places them.
    """

    def __init__(
        self, samples: Samples, height: float, grass: bool, every: float, seed: int
    ) -> None:
        self._samples = samples
        self._height = height
        self._grass = grass
        self._every = every
        self._rng = np.random.default_rng(seed)

    def meshes(self) -> list[Mesh]:
        """Return pavements, medians, and strips of grass level with the road."""
        lanes = self._samples.lanes
        level = [not lane.paved and not lane.raised for lane in lanes]
        groups: dict[tuple[bool, bool, bool, bool], list[bool]] = {}
        low = np.zeros(len(self._samples.s))
        first = np.searchsorted(self._samples.lane, np.arange(len(lanes)))
        for i, lane in enumerate(lanes):
            if not lane.raised:
                continue
            driveways = self._driveways(lane)
            if len(driveways):
                low[first[i] : first[i] + len(lane.s)] = dropped(lane.s, driveways)
            walls = (not _flush(lane, "left"), not _flush(lane, "right"))
            key = (*walls, walls[0] != walls[1] and len(driveways) > 0, self._is_green(lane))
            groups.setdefault(key, [False] * len(lanes))[i] = True
        meshes = [self._level(level)]
        for (left, right, driveway, green), members in sorted(groups.items()):
            meshes += self._raised(members, (left, right), low if driveway else None, green)
        return meshes

    def _is_green(self, lane: Lane) -> bool:
        if lane.surface:
            return lane.surface == "grass"
        return self._grass and lane.kind not in ("Sidewalk", "Curb")

    def _driveways(self, lane: Lane) -> Array:
        """Draw middles and half widths (k, 2) in metres of the lane's s."""
        low, high = float(lane.s.min()), float(lane.s.max())
        count = int(self._rng.poisson(min((high - low) / self._every, 1000.0)))
        drawn = self._rng.uniform([low, 1.4], [high, 3.2], (count, 2))
        if lane.kind != "Sidewalk" or lane.junction:
            return drawn[:0]
        return drawn[(drawn[:, 0] > low + 5.0) & (drawn[:, 0] < high - 5.0)]

    def _level(self, members: list[bool]) -> Mesh:
        samples = self._samples
        runs = samples.runs(samples.per_lane(members))
        columns = [samples.left[runs.index] - up(0.02), samples.right[runs.index] - up(0.02)]
        return runs.mesh(columns, tag=Tag.TERRAIN)

    def _raised(
        self, members: list[bool], walls: tuple[bool, bool], low: Array | None, green: bool
    ) -> list[Mesh]:
        """Return raised lanes alike: their tops in bands, and kerbs on the sides of ``walls``."""
        samples = self._samples
        keep = samples.keep
        if low is not None:  # every sample of a ramp is needed
            keep = keep | (low > 0.0) | (np.roll(low, 1) > 0.0) | (np.roll(low, -1) > 0.0)
        runs = samples.runs(samples.per_lane(members), keep=keep)
        index = runs.index
        left, right, s = samples.left[index], samples.right[index], samples.s[index]
        width = np.linalg.norm(right - left, axis=1)
        across = (right - left) / np.maximum(width, 1e-3)[:, None]
        full = np.full(len(s), self._height)
        kerb = full if low is None else full - (self._height - DROPPED) * low[index]
        top, reach = np.minimum(TOP, 0.4 * width), np.minimum(RAMP, 0.45 * width)
        columns: list[tuple[Array, Array]] = [(0.0 * s, kerb if walls[0] else full)]
        if walls[0]:
            columns.append((top, kerb))
            if low is not None:
                columns.append((np.maximum(reach, top), full))
        if walls[1]:
            if low is not None:
                columns.append((width - np.maximum(reach, top), full))
            columns.append((width - top, kerb))
        columns.append((width, kerb if walls[1] else full))
        places = [left + across * away[:, None] + lift[:, None] * up(1.0) for away, lift in columns]
        last = len(columns) - 1
        inner = VERGE if green else PAVEMENT
        kinds = [inner] * last
        kinds[0] = KERB if walls[0] else inner
        kinds[-1] = KERB if walls[1] else kinds[-1]
        meshes = []
        for i, kind in enumerate(kinds):
            uvw = [_uvw(columns[k][0], s, kind) for k in (i, i + 1)]
            tag = Tag.TERRAIN if kind == VERGE else Tag.SIDEWALK
            meshes.append(runs.mesh(places[i : i + 2], uvw, tag=tag))
        if walls[0]:
            meshes.append(face(runs, places[0], left - up(ROOT), -across, s))
        if walls[1]:
            meshes.append(face(runs, right - up(ROOT), places[-1], across, s))
        return [*meshes, _ends(runs, places)]


def _flush(lane: Lane, side: str) -> bool:
    """Whether a raised lane needs no kerb on a side: what lies there is as high."""
    if getattr(lane, f"outer_{side}"):
        free = getattr(lane, f"free_{side}")
        return bool(free is None or free.mean() > 0.5)
    beside = getattr(lane, f"beside_{side}")
    return beside in ("Sidewalk", "Curb") or (
        beside in ("Grass", "Median") and not getattr(lane, f"kerb_{side}")
    )


def _uvw(away: Array, s: Array, kind: float) -> Array:
    return np.stack([away, s, np.full_like(s, kind)], axis=1)


def face(runs: Runs, left: Points, right: Points, normal: Array, s: Array) -> Mesh:
    """Return upright strips of kerb that face along ``normal`` (n, 3)."""
    uvw = _uvw(np.zeros_like(s), s, KERB)
    tilted = np.concatenate([normal, normal]) * 0.9 + up(0.45)
    return runs.mesh([left, right], [uvw, uvw], tilted, Tag.SIDEWALK)


def _ends(runs: Runs, places: list[Points]) -> Mesh:
    """Return the upright ends of raised strips, seen where they stop."""
    corners, normals = [], []
    for at, step in ((np.flatnonzero(runs.starts), 1), (np.flatnonzero(runs.ends), -1)):
        first, second = places[0][at], places[-1][at]
        out = first - places[0][at + step]
        out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
        near, far = (second, first) if step > 0 else (first, second)
        corners.append(np.stack([near, far, far - up(0.3), near - up(0.3)], axis=1))
        normals.append(np.repeat(out * 0.9 + up(0.45), 4, axis=0))
    place = np.concatenate(corners).reshape(-1, 3)
    return make(
        place,
        quads(len(place) // 4),
        normal=np.concatenate(normals),
        uvw=(0.0, 0.0, KERB),
        tag=Tag.SIDEWALK,
    )


def dropped(s: Array, driveways: Array) -> Array:
    """Return how far (n,) a kerb has come down at each s: 0 not at all, 1 to `DROPPED`."""
    gap = np.abs(s[:, None] - driveways[None, :, 0]) - driveways[None, :, 1]
    return np.asarray(np.clip(1.0 - gap / RAMP, 0.0, 1.0).max(axis=1))
