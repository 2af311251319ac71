"""Along the roads: stretches of roadside, each with a setting, and what is free there.

    site = Site(land, dice.stream("buildings"))
    for side in site.sides:
        place, heading = site.spots(side, s=np.arange(0.0, side.length, 8.0), away=2.5)

A stretch is followed so that the road is on the right: its local frame has x along it and y
away from the road. Settings (shops, houses, park, wood, ...) are drawn whatever the strengths
of the terms are, so that a street without buildings has its trees where it had them before.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from carla_bridge.world.land.ground import Land
from carla_bridge.world.maps.lanes import DRIVABLE, Roads, stretches
from carla_bridge.world.meshes import Array
from carla_bridge.world.things.distance import DistanceMap

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[Any]
"""Arrays of numbers, whole or not."""

CARRIAGEWAY = {"Driving", "Bidirectional", "Entry", "Exit", "OffRamp", "OnRamp"}
"""Lane types that vehicles drive on: nothing else may stand there."""
SETTINGS = {  # the kind of road: its settings and how common they are
    "street": {"terrace": 0.2, "shops": 0.27, "blocks": 0.19, "houses": 0.17, "park": 0.12,
               "industry": 0.05},
    "rural": {"field": 0.4, "wood": 0.25, "farm": 0.2, "avenue": 0.15},
    "median": {"median": 1.0},
    "motorway": {"scrub": 0.34, "open": 0.24, "wood": 0.18, "screen": 0.14, "outskirts": 0.1},
}  # fmt: skip
SETBACKS = {"terrace": (0.8, 3.6), "shops": (0.8, 1.4), "blocks": (0.8, 9.0), "houses": (4.0, 10.0),
            "industry": (6.0, 18.0), "farm": (14.0, 30.0), "outskirts": (28.0, 60.0)}  # fmt: skip
"""Metres from the edge to the fronts of buildings; settings without one have none in front."""
SHORTEST = 18.0
"""Metres: shorter edges lie in junctions."""
MANY, CLOSE, THIN = 3500.0, 130.0, 0.25
"""Metres of lanes from which on what is further than so many metres from the middle of the roads
gets only this share of its things: a town's 15 km of streets would be too much to draw.
"""
NARROWEST = 0.5
"""Metres of the narrowest median that something stands on."""


@dataclass(frozen=True)
class Side:
    """A stretch of roadside: ``points`` and unit ``outward`` (n, 3), ``s`` (n,) metres from 0.

    ``right``: it lies on the right of its traffic; ``pavement``: metres of pavement inside the
    edge, 0 without; ``setback``: metres to building fronts (40 where none are planned);
    ``parked``: cars stand half on its pavement; ``detail``: the share of small things it gets,
    below 1 far off in a large town. A median's line is its middle, its ``pavement``
    its width, and its outward the left of one direction.
    """

    points: Array
    outward: Array
    s: Array
    place: str
    right: bool
    pavement: float
    setting: str
    setback: float
    parked: bool
    detail: float

    @property
    def length(self) -> float:
        """Metres."""
        return float(self.s[-1])

    @property
    def drive(self) -> float:
        """Radians from the local x axis to the direction of traffic."""
        return float(np.pi) if self.right else 0.0

    def at(self, s: npt.ArrayLike, away: npt.ArrayLike) -> tuple[Array, Array]:
        """Return places (k, 3) at the edge's height and headings (k,) of the local x axis."""
        s = np.asarray(s, float)
        columns = np.hstack([self.points, self.outward])
        x, y, z, out_x, out_y, _ = (np.interp(s, self.s, column) for column in columns.T)
        away = np.broadcast_to(np.asarray(away, float), s.shape)
        return np.stack([x + out_x * away, y + out_y * away, z], 1), np.arctan2(-out_x, out_y)


@dataclass(frozen=True)
class Plots:
    """Ground that buildings are planned on: rectangles from their front's middle."""

    place: Array
    heading: Array
    width: Array
    depth: Array

    def hold(self, xy: Array, margin: float) -> Bools:
        """Return whether points (n, 2) are on a plot grown by ``margin`` metres."""
        gap = xy[:, None] - self.place[None, :, :2]
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        along = gap[..., 0] * cos + gap[..., 1] * sin
        back = gap[..., 1] * cos - gap[..., 0] * sin
        inside = np.abs(along) < self.width / 2.0 + margin
        inside &= np.abs(back - self.depth / 2.0) < self.depth / 2.0 + margin
        return np.asarray(inside.any(axis=1))


NO_PLOTS = Plots(np.empty((0, 3)), np.empty(0), np.empty(0), np.empty(0))


class Site:
    """The land with its stretches of roadside, and what is known of free ground."""

    def __init__(self, land: Land, rng: np.random.Generator) -> None:
        self.land = land
        self.motorway = not land.urban and not _two_way(land.roads)
        lanes = [lane for lane in land.roads.lanes if lane.kind in CARRIAGEWAY]
        every = np.concatenate([lane.left[:, :2] for lane in land.roads.lanes])
        self._middle = (every.min(axis=0) + every.max(axis=0)) / 2.0
        self._large = sum(len(lane.s) for lane in lanes) > MANY
        rows = [np.hstack([lane.centre, np.gradient(lane.centre, axis=0)])[::3] for lane in lanes]
        self._traffic = np.concatenate([*rows, np.zeros((0, 6))])
        self._any = DistanceMap(land.roads)
        self._driven = DistanceMap(land.roads, CARRIAGEWAY)
        self._paved = DistanceMap(land.roads, DRIVABLE)
        favour = {setting: rng.gamma(0.6) for group in SETTINGS.values() for setting in group}
        self.sides: list[Side] = []
        place = "street" if land.urban else "motorway" if self.motorway else "rural"
        for lane in land.roads.lanes:
            width = float(np.median(lane.width))
            if lane.kind == "Median" and width > NARROWEST:
                middle = lane.centre
                self.sides += self._split(middle, "median", width, favour, rng)
            walk = width if lane.kind == "Sidewalk" else 0.0
            for outer, free, points, turn in (
                (lane.outer_right, lane.free_right, lane.right, -1),
                (lane.outer_left, lane.free_left, lane.left, 1),
            ):
                flags = np.ones(len(points), bool) if free is None else free
                for run in stretches(flags) if outer and not lane.junction else ():
                    self.sides += self._split(points[run][::turn], place, walk, favour, rng)
        self.plots = NO_PLOTS
        self.crossings = _crossings(land, rng)

    def _split(
        self, points: Array, place: str, width: float, favour: dict[str, float],
        rng: np.random.Generator,
    ) -> list[Side]:  # fmt: skip
        """Cut an edge into stretches and draw their settings."""
        step = np.gradient(points, axis=0)[:, :2]
        outward = np.column_stack([-step[:, 1], step[:, 0], np.zeros(len(step))])
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
        s = np.cumsum(np.linalg.norm(np.diff(points, axis=0, prepend=points[:1]), axis=1))
        if s[-1] < SHORTEST:
            return []
        weights = {name: w * favour[name] for name, w in SETTINGS[place].items()}
        names, shares = list(weights), np.array(list(weights.values()))
        count = max(1, round(float(s[-1] / rng.uniform(70.0, 200.0))))
        cuts = np.linspace(0.0, float(s[-1]), count + 1)
        cuts[1:-1] += rng.uniform(-0.25, 0.25, count - 1) * (cuts[1] - cuts[0])
        parked = bool(rng.random() < 0.4) and width > 2.2 and place != "median"
        sides = []
        for begin, end in itertools.pairwise(cuts):
            setting = str(rng.choice(names, p=shares / shares.sum()))
            low, high = SETBACKS.get(setting, (40.0, 40.0))
            setback = low + (high - low) * float(rng.random())
            # Without a pavement fronts leave room for what sticks out of them.
            setback += 1.5 if place == "street" and not width else 0.0
            inside = (s > begin - 1e-6) & (s < end + 1e-6)
            if np.count_nonzero(inside) > 2 and s[inside][-1] - s[inside][0] > 8.0:
                sides.append(
                    Side(
                        points[inside],
                        outward[inside],
                        s[inside] - s[inside][0],
                        place,
                        self._on_right(points[len(points) // 2], outward[len(points) // 2]),
                        width,
                        setting,
                        setback,
                        parked,
                        self.detail(points[inside]),
                    )
                )
        return sides

    def detail(self, points: Array) -> float:
        """Return the share of small things (cars, people, plants) that a stretch gets."""
        gap = np.linalg.norm(points[:, :2] - self._middle, axis=1)
        return THIN if self._large and float(gap.min()) > CLOSE else 1.0

    def traffic(self, xy: Array) -> Array:
        """Return the direction (n, 2) of the traffic nearest to points (n, 2), zeros without any.

        About a metre long.
        """
        if not len(self._traffic):
            return np.zeros((len(xy), 2))
        gap = np.abs(self._traffic[None, :, :2] - xy[:, None]).sum(axis=2)
        return np.asarray(self._traffic[gap.argmin(axis=1), 3:5])

    def _on_right(self, place: Array, outward: Array) -> bool:
        """Return whether an edge lies on the right of the traffic nearest to it."""
        ((x, y),) = self.traffic(place[None, :2])
        return bool(x * outward[1] - y * outward[0] <= 0.0)

    def spots(self, side: Side, s: npt.ArrayLike, away: npt.ArrayLike) -> tuple[Array, Array]:
        """Return places (k, 3) on the ground beside a road and headings (k,) along it."""
        place, heading = side.at(s, away)
        if len(place):
            place[:, 2] = self.land.height(place[:, :2])
        return place, heading

    def off_road(self, xy: Array) -> Array:
        """Return the distance (n,) from points (n, 2) to the nearest lane of any kind."""
        return self._any.at(xy)

    def off_lane(self, xy: Array) -> Array:
        """Return the distance (n,) from points (n, 2) to the nearest lane that is driven on."""
        return self._driven.at(xy)

    def off_paved(self, xy: Array) -> Array:
        """Return the distance (n,) from points (n, 2) to whatever is paved for vehicles."""
        return self._paved.at(xy)

    def free(self, place: Array, margin: float, gap: float = 0.2) -> Bools:
        """Return which places (n, 3) are ``gap`` metres beside what is paved for vehicles.

        And ``margin`` beside planned buildings; on a pavement is allowed.
        """
        if not len(place):
            return np.zeros(0, bool)
        clear = self.off_paved(place[:, :2]) > gap
        return np.asarray(clear & ~self.plots.hold(place[:, :2], margin))


def _crossings(land: Land, rng: np.random.Generator) -> Array:
    """Return where people may step onto the road, (n, 5): place, and the lane's direction.

    Vehicles leave these places free whether or not someone is there.
    """
    count = int(rng.integers(0, 4 if land.urban else 2))
    lanes = [lane for lane in land.roads.driving() if not lane.junction]
    rows = []
    for pick, where, aside in rng.random((count, 3)):
        if lanes:
            lane = lanes[int(pick * len(lanes))]
            i = int((0.1 + 0.8 * where) * (len(lane.s) - 2))
            place = lane.left[i] + (lane.right[i] - lane.left[i]) * (0.15 + 0.7 * aside)
            rows.append([*place, *(lane.left[i + 1] - lane.left[i])[:2]])
    return np.array(rows).reshape(-1, 5)


def children(
    sides: list[Side], rng: np.random.Generator
) -> Iterator[tuple[Side, np.random.Generator]]:
    """Return each side with a generator of its own, so that no side shifts another's draws."""
    seeds = rng.integers(2**62, size=len(sides))
    return ((side, np.random.default_rng(seed)) for side, seed in zip(sides, seeds, strict=True))


def _two_way(roads: Roads) -> bool:
    """Return whether lanes of opposite directions touch: they share their left edges."""
    lanes = roads.driving()
    if not lanes:
        return False
    starts = np.array([lane.left[0, :2] for lane in lanes])
    ends = np.array([lane.left[-1, :2] for lane in lanes])
    return bool((np.linalg.norm(starts[:, None] - ends[None], axis=2) < 1.0).any())
