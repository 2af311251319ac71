"""Routes along the lanes of a map, and where a car is on one.

    route = plan_route(session.map, start, length_m=400.0, seed=7)
    where = route.locate(x_m, y_m, near_m=where.progress_m)
    where.cross_track_m, where.heading_deg       # right of the lane's centre positive
    route.guide(where, x_m, y_m, yaw_deg)        # the driver's `Guide` through a junction or corner

A route is the centre line of lanes, a point a metre, from a spawn point; where lanes part it
goes on at random, seeded. Coordinates are CARLA's, metres and degrees, y and yaw to the right;
a guide is in vehicle coordinates (x forward, y left), like everything of `carla_bridge.driving`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from carla_bridge.driving.driver import Guide
from edge_seg.errors import EdgeSegError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

STEP_M = 1.0
SHORTEST_M = 50.0
"""A shorter route says nothing: the car needs 20 m to get up to speed."""
ATTEMPTS = 20
"""Random walks tried for one that does not end at a dead end; the longest is taken."""
GUIDE_BEFORE_M, GUIDE_AFTER_M = 20.0, 4.0
"""Junctions have no markings and lanes part there: the map leads from here to there."""
CORNER_1PM = 1.0 / 15.0
"""A road that bends more sharply is led through too: its lane leaves the camera's field of view."""
SHARPEST_1PM = 1.0 / 3.5
"""Over `BEND_M`. Cars turn in circles of 10 to 12 m between walls, 4 to 5 m at the rear axle."""
GUIDE_AHEAD_M, GUIDE_BEHIND_M, GUIDE_BEYOND_M = 40.0, 10.0, 15.0
"""Of the centre line that a guide shows: around the car, and on into the lane it leads to."""
BEND_M = 4.0
"""Length over which a bend is measured: about a car."""
BEHIND_M, AHEAD_M = 5.0, 25.0
"""Of the route that is searched for the car: less than any loop, more than a tick's drive."""


@dataclass(frozen=True)
class Where:
    """A car's place: metres along the route, metres to the right of it, its yaw there."""

    progress_m: float
    cross_track_m: float
    heading_deg: float
    lane_width_m: float
    in_junction: bool
    guided: bool


@dataclass(frozen=True)
class Route:
    """A centre line: points (n, 2); at each its yaw, the lane's width, whether in a junction."""

    points: Floats
    yaw_deg: Floats
    lane_width_m: Floats
    junction: Bools
    along_m: Floats
    guided: Bools

    @classmethod
    def of_points(
        cls,
        points: npt.ArrayLike,
        yaw_deg: npt.ArrayLike,
        lane_width_m: npt.ArrayLike,
        junction: npt.ArrayLike,
    ) -> Route:
        """Return the route through ``points`` (n, 2), n > 1."""
        line = np.asarray(points, float)
        steps = np.hypot(*np.diff(line, axis=0).T)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        inside = np.asarray(junction, bool)
        return cls(
            line,
            np.asarray(yaw_deg, float),
            np.asarray(lane_width_m, float),
            inside,
            along,
            _around(along, inside | (_bends_1pm(np.asarray(yaw_deg, float), along) > CORNER_1PM)),
        )

    @property
    def length_m(self) -> float:
        """From the first point to the last."""
        return float(self.along_m[-1])

    @property
    def guided_m(self) -> float:
        """How many metres a guide leads."""
        steps = np.diff(self.along_m)
        return float(steps[self.guided[:-1]].sum())

    def locate(self, x_m: float, y_m: float, near_m: float) -> Where:
        """Return where a car at (x, y) is, searched around ``near_m`` along the route."""
        low = int(np.searchsorted(self.along_m, near_m - BEHIND_M))
        high = int(np.searchsorted(self.along_m, near_m + AHEAD_M)) + 1
        low = min(low, len(self.points) - 2)
        line = self.points[low : max(high, low + 2)]
        steps = np.diff(line, axis=0)
        lengths = np.maximum(np.hypot(steps[:, 0], steps[:, 1]), 1e-9)
        offsets = np.array([x_m, y_m]) - line[:-1]
        share = np.clip((offsets * steps).sum(axis=1) / lengths**2, 0.0, 1.0)
        misses = offsets - share[:, None] * steps
        best = int(np.argmin((misses**2).sum(axis=1)))
        dx, dy = steps[best] / lengths[best]
        index, part = low + best, float(share[best])
        # y points to the right, so the cross product is positive to the right of the line.
        aside = float(dx * offsets[best, 1] - dy * offsets[best, 0])
        distance = float(np.hypot(*misses[best]))
        near = index + round(part)
        return Where(
            progress_m=float(self.along_m[index] + part * lengths[best]),
            cross_track_m=math.copysign(distance, aside) if aside else distance,
            heading_deg=self._heading(index, part),
            lane_width_m=float(self.lane_width_m[near]),
            in_junction=bool(self.junction[near]),
            guided=bool(self.guided[near]),
        )

    def guide(self, where: Where, x_m: float, y_m: float, yaw_deg: float) -> Guide | None:
        """Return the route around a car in or at a junction or corner, as a navigation tells it.

        It shows the way through it and ``GUIDE_BEYOND_M`` into the lane behind it.
        """
        if not where.guided:
            return None
        at = min(int(np.searchsorted(self.along_m, where.progress_m)), len(self.points) - 1)
        ends = np.flatnonzero(~self.guided[at:])
        stop_m = self.along_m[at + ends[0] if len(ends) else -1] + GUIDE_BEYOND_M
        shown = self.along_m >= where.progress_m - GUIDE_BEHIND_M
        shown &= self.along_m <= min(where.progress_m + GUIDE_AHEAD_M, stop_m)
        ahead = shown & (self.along_m >= where.progress_m - STEP_M)
        return Guide(
            to_vehicle(self.points[shown], x_m, y_m, yaw_deg),
            sharpest_bend_1pm(self.yaw_deg[ahead], self.along_m[ahead]),
        )

    def _heading(self, index: int, part: float) -> float:
        turn = wrapped_deg(self.yaw_deg[index + 1] - self.yaw_deg[index])
        return float(wrapped_deg(self.yaw_deg[index] + part * turn))


def plan_route(carla_map: Any, start: Any, length_m: float, seed: int) -> Route:
    """Return the seeded route of ``length_m`` from a transform, shorter where the lanes end.

    Raises `EdgeSegError` where no lane is there, or it goes on for less than `SHORTEST_M`.
    """
    first = carla_map.get_waypoint(start.location)
    if first is None:
        raise EdgeSegError(
            f"no lane at spawn point ({start.location.x:.0f}, {start.location.y:.0f}): "
            "choose another route"
        )
    best: list[Any] = []
    for attempt in range(ATTEMPTS):
        walk = _drivable(_walk(first, length_m, random.Random(f"{seed}:{attempt}")))
        best = max(best, walk, key=len)
        if len(walk) > length_m / STEP_M:
            break
    if len(best) - 1 < min(SHORTEST_M, length_m) / STEP_M:
        raise EdgeSegError(
            f"the lane of spawn point ({start.location.x:.0f}, {start.location.y:.0f}) ends after "
            f"{len(best) - 1} m: choose another route"
        )
    return _route(best)


def _walk(first: Any, length_m: float, dice: random.Random) -> list[Any]:
    """Return waypoints a step apart; where lanes part, ``dice`` chooses."""
    walk = [first]
    while len(walk) <= length_m / STEP_M:
        ways = walk[-1].next(STEP_M)
        if not ways:
            break
        # The order in which CARLA's map lists them is not promised.
        ways.sort(key=lambda way: (way.road_id, way.section_id, way.lane_id))
        walk.append(dice.choice(ways))
    return walk


def _drivable(walk: list[Any]) -> list[Any]:
    """Return the walk up to a bend that no car gets round: some towns have corners of 2 m."""
    route = _route(walk)
    sharp = np.flatnonzero(_bends_1pm(route.yaw_deg, route.along_m) > SHARPEST_1PM)
    return walk[: max(int(sharp[0] - BEND_M / STEP_M), 1)] if len(sharp) else walk


def _route(walk: Sequence[Any]) -> Route:
    places = [waypoint.transform for waypoint in walk]
    return Route.of_points(
        [(place.location.x, place.location.y) for place in places],
        [place.rotation.yaw for place in places],
        [waypoint.lane_width for waypoint in walk],
        [waypoint.is_junction for waypoint in walk],
    )


def _around(along_m: Floats, junction: Bools) -> Bools:
    """Return which points are in a junction or corner, shortly before or behind one."""
    inside = along_m[junction]
    if not len(inside):
        return np.zeros(len(along_m), bool)
    after = np.searchsorted(inside, along_m)
    ahead = inside[np.minimum(after, len(inside) - 1)] - along_m
    behind = along_m - inside[np.maximum(after - 1, 0)]
    before = (ahead >= 0) & (ahead <= GUIDE_BEFORE_M)
    return np.asarray(junction | before | ((behind >= 0) & (behind <= GUIDE_AFTER_M)))


def sharpest_bend_1pm(yaw_deg: Floats, along_m: Floats) -> float:
    """Return the largest curvature of a line, turns measured over `BEND_M`.

    >>> sharpest_bend_1pm(np.degrees(np.arange(9.0) / 20.0), np.arange(9.0))  # a 20 m circle
    0.05
    """
    return round(float(np.max(_bends_1pm(yaw_deg, along_m), initial=0.0)), 6)


def _bends_1pm(yaw_deg: Floats, along_m: Floats) -> Floats:
    """Return the curvature (n,) at each point, 0 where too little of the line lies before it."""
    if not len(along_m):
        return np.zeros(0)
    headings = np.unwrap(np.radians(yaw_deg))
    before = np.maximum(along_m - BEND_M, along_m[0])
    lengths = along_m - before
    turns = np.abs(headings - np.interp(before, along_m, headings))
    return np.where(lengths >= BEND_M / 2.0, turns / np.maximum(lengths, 1e-9), 0.0)


def to_vehicle(points: Floats, x_m: float, y_m: float, yaw_deg: float) -> Floats:
    """Return CARLA points (n, 2) as seen from a car: x forward, y left."""
    cosine, sine = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    dx, dy = (points - [x_m, y_m]).T
    return np.stack([dx * cosine + dy * sine, dx * sine - dy * cosine], axis=1)


def wrapped_deg(angle: float) -> float:
    """Return the same angle in -180 < a <= 180.

    >>> wrapped_deg(350.0), wrapped_deg(-180.0)
    (-10.0, 180.0)
    """
    return 180.0 - (180.0 - angle) % 360.0
