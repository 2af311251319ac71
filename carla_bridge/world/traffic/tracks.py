"""Lane centres, sampled once from CARLA's waypoints, and which lane follows which.

    network = Network(carla_map)
    track = network.track(network.keys[0])
    track.at(12.5)                    # x, y, z, yaw in radians: CARLA's coordinates
    track.following                   # keys of the tracks that go on from its end

A track is one lane of one lane section, in driving direction. Asking the map for a waypoint at
every tick would do as well, but costs ten times as much as looking between two samples.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from carla_bridge.world.maps.check import Element, number, parse_opendrive

STEP = 0.5
"""Metres between samples: in a turn of 6 m radius the chord is 5 mm off the arc."""
END = 0.001
"""Metres from a section's end at which its last waypoint is asked: beyond lies the next one."""
FASTEST = 400.0
"""km/h: a limit beyond is none."""
STRETCH = 5.0
"""Metres over which a track's bend is measured."""
SIDEWAYS = 2.0
"""m/s^2 across a car in bends: what drivers find comfortable (AASHTO's Green Book, 3.3.2)."""
SLOWEST = 2.0
"""m/s below which no bend slows a car."""
SLOWING = 1.4
"""m/s^2 of braking for what is known long before: bends and limits."""


class Key(NamedTuple):
    """A lane of a lane section, by CARLA's ids."""

    road: int
    section: int
    lane: int


class Place(NamedTuple):
    """A point of a lane centre: metres, and the yaw (radians to the right) of CARLA."""

    x: float
    y: float
    z: float
    yaw: float


class Track:
    """The centre of one lane; ``junction`` is its junction's id, or -1."""

    def __init__(self, key: Key, waypoints: list[Any], following: tuple[Key, ...]) -> None:
        self.key = key
        self.following = following
        first = waypoints[0]
        self.junction: int = first.junction_id if first.is_junction else -1
        self.width = float(min(w.lane_width for w in waypoints))
        self._x, self._y, self._z, self._yaw, self._at = _samples(waypoints)
        # Towns hold sections of no length; they count as a millimetre.
        self.length = max(self._at[-1], 1e-3)
        self._bends = self._bend_speeds()
        self._eased = self._eased_speeds()

    def at(self, distance: float) -> Place:
        """Return the place that many metres from the track's start."""
        i = min(max(bisect_right(self._at, distance), 1), len(self._at) - 1) - 1
        gap = max(self._at[i + 1] - self._at[i], 1e-6)
        t = min(max((distance - self._at[i]) / gap, 0.0), 1.0)
        x, y, z, yaw = self._x, self._y, self._z, self._yaw
        return Place(
            x[i] + t * (x[i + 1] - x[i]),
            y[i] + t * (y[i + 1] - y[i]),
            z[i] + t * (z[i + 1] - z[i]),
            yaw[i] + t * (yaw[i + 1] - yaw[i]),
        )

    def points(self, gap: float) -> npt.NDArray[np.float64]:
        """Return x, y, z (n, 3) of places about ``gap`` metres apart, both ends among them."""
        count = max(2, math.ceil(self.length / gap) + 1)
        return np.array([self.at(self.length * i / (count - 1))[:3] for i in range(count)])

    def squared_speed(self, distance: float) -> float:
        """Return the squared speed (m^2/s^2) there from which its bends can be driven."""
        i = min(max(int(distance / self._stretch), 0), len(self._bends) - 1)
        ahead = max((i + 1) * self._stretch - distance, 0.0)
        return min(self._bends[i], self._eased[i + 1] + 2.0 * SLOWING * ahead)

    def _bend_speeds(self) -> list[float]:
        """Return the squared speed for each stretch, as for the next where that is the sharper."""
        count = max(1, math.ceil(self.length / STRETCH))
        self._stretch = self.length / count
        yaws = [self.at(i * self._stretch).yaw for i in range(count + 1)]
        bends = [abs(b - a) / self._stretch for a, b in pairwise(yaws)]
        sharper = [max(a, b) for a, b in pairwise([*bends, 0.0])]
        return [max(SIDEWAYS / max(bend, 1e-9), SLOWEST**2) for bend in sharper]

    def _eased_speeds(self) -> list[float]:
        """Return the squared speed where each stretch begins, with room to slow down."""
        eased = [math.inf]
        for squared in reversed(self._bends):
            eased.append(min(squared, eased[-1] + 2.0 * SLOWING * self._stretch))
        return eased[::-1]


def _samples(waypoints: list[Any]) -> tuple[list[float], ...]:
    """Return x, y, z, yaw without jumps, and the distance from the first, of waypoints."""
    x: list[float] = []
    y: list[float] = []
    z: list[float] = []
    yaw: list[float] = []
    at: list[float] = []
    for waypoint in waypoints:
        place, rotation = waypoint.transform.location, waypoint.transform.rotation
        turn = math.radians(rotation.yaw)
        if x:
            turn = yaw[-1] + math.remainder(turn - yaw[-1], 2.0 * math.pi)
            at.append(at[-1] + math.hypot(place.x - x[-1], place.y - y[-1]))
        else:
            at.append(0.0)
        x.append(place.x)
        y.append(place.y)
        z.append(place.z)
        yaw.append(turn)
    return x, y, z, yaw, at


class Network:
    """All driving lanes of a map; tracks are sampled when they are first asked for."""

    def __init__(self, carla_map: Any) -> None:
        self._map = carla_map
        text = carla_map.to_opendrive()
        root = parse_opendrive(text, carla_map.name)
        self._sections: dict[int, list[float]] = {}
        for road in root.findall("road"):
            starts = sorted(number(e, "s", 0.0) for e in road.findall("lanes/laneSection"))
            self._sections[_road_id(road)] = [*starts, number(road, "length")]
        self._limits = _speed_limits(root)
        waypoints = carla_map.generate_waypoints(2.0)
        self._any = {Key(w.road_id, w.section_id, w.lane_id): w for w in waypoints}
        self.keys = sorted(self._any)
        self.track = lru_cache(maxsize=None)(self._sampled)

    def speed_limit(self, road: int) -> float:
        """Return a road's limit in km/h; 30, CARLA's own default, where it has none."""
        return self._limits.get(road, 30.0)

    def _span(self, key: Key) -> tuple[float, float]:
        starts = self._sections.get(key.road, [])
        if key.section + 1 < len(starts):
            return starts[key.section], starts[key.section + 1]
        s = float(self._any[key].s)  # sections that CARLA counts in another way
        return s, s

    def _sampled(self, key: Key) -> Track:
        begin, end = self._span(key)
        near = min(END, (end - begin) / 4.0)
        begin, end = begin + near, end - near
        if key.lane > 0:
            begin, end = end, begin
        count = max(2, math.ceil(abs(end - begin) / STEP) + 1)
        found = [
            self._map.get_waypoint_xodr(key.road, key.lane, begin + (end - begin) * i / (count - 1))
            for i in range(count)
        ]
        waypoints = [w for w in found if w is not None] or [self._any[key]]
        waypoints = waypoints * 2 if len(waypoints) == 1 else waypoints
        ahead = waypoints[-1].next(2.0 * near + 0.05)
        following = {Key(w.road_id, w.section_id, w.lane_id) for w in ahead}
        return Track(key, waypoints, tuple(sorted(following - {key})))


def _speed_limits(root: Element) -> dict[int, float]:
    """Return the limit in km/h of each road that has one: of its type, or of any lane."""
    factors = {"km/h": 1.0, "mph": 1.609344, "m/s": 3.6}
    limits = {}
    for road in root.findall("road"):
        for element in [*road.findall("type/speed"), *road.iter("speed")]:
            text = element.get("max", "")
            try:
                limit = float(text) * factors[element.get("unit", "m/s")]
            except (ValueError, KeyError):  # "no limit", "undefined", ...
                continue
            if 0.0 < limit < FASTEST:
                limits[_road_id(road)] = limit
                break
    return limits


def _road_id(road: Element) -> int:
    """Return a road's id as CARLA's reader takes it: what is no number counts as 0."""
    text = road.get("id", "")
    return int(text) if text.isascii() and text.isdigit() else 0
