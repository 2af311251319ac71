"""One car that follows its lane: how fast it goes, and which way.

    car = Follower(lanes, track, at=12.0, blueprint="vehicle.audi.tt", seed=3)
    car.move(0.05, car.acceleration(gap_m=20.0, leader_mps=8.0))
    car.pose            # CARLA's coordinates

The speed is that of the intelligent driver model: Treiber, Hennecke and Helbing, "Congested
traffic states in empirical observations and microscopic simulations", Phys. Rev. E 62, 2000; only
a car that is too fast for the road ahead, which the model brakes without measure, slows down in
proportion instead. The middle of the car is always on the lane's centre, and it points along it.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from carla_bridge.world.dynamics import PARAMETERS
from carla_bridge.world.traffic.boxes import Body
from carla_bridge.world.traffic.lanes import Lanes
from carla_bridge.world.traffic.tracks import SLOWING, Track

GAIN, LOSS = 1.5, 2.0
"""Comfortable acceleration and deceleration, m/s^2: the papers' values for cars in towns."""
HEADWAY = 1.5
"""Seconds to the car ahead."""
STANDING_GAP = 2.0
"""Metres to the car ahead when both stand."""
RESPONSE = 0.5
"""Seconds in which a small excess of speed goes."""
HARDEST = 8.0
"""m/s^2 of braking at most."""
ROOM_BEHIND = 12.0
"""Metres of road between junctions on which a car could stand: its length and two gaps."""
AHEAD = 25.0
"""Metres of path that a standing car knows; a moving one knows its braking distance more."""


class Pose(NamedTuple):
    """Metres and degrees in CARLA's coordinates."""

    x: float
    y: float
    z: float
    pitch: float
    yaw: float
    roll: float


class Follower:
    """A car on a path of tracks, `at` metres into the first of them.

    ``pace`` is the share of each road's speed limit that it drives, unless ``speed_mps`` is set.
    """

    def __init__(
        self,
        lanes: Lanes,
        track: Track,
        at: float,
        blueprint: str,
        seed: int,
        speed_mps: float | None = None,
    ) -> None:
        self.lanes, self.blueprint = lanes, blueprint
        self.parameters = PARAMETERS[blueprint]
        self.half_length = self.parameters.length_m / 2.0
        self.half_width = self.parameters.width_m / 2.0
        self._random = random.Random(seed)
        self.pace = self._random.uniform(0.8, 1.0)
        self.cruise_mps = speed_mps
        self.standing_s = 0.0
        self.moves = 0
        """How often it was put elsewhere."""
        self.odometer_m = 0.0
        self.start(track, at)

    def start(self, track: Track, at: float) -> None:
        """Stand on a track."""
        self.path, self.at, self.speed_mps = [track], at, 0.0
        self.yaw_rate_rps = 0.0
        self.standing_s = 0.0
        self._place()

    def look_ahead(self) -> float:
        """Metres of path, from the middle of the car, that matter at its speed."""
        return AHEAD + self.speed_mps * HEADWAY + self.speed_mps**2 / LOSS

    def plan(self) -> None:
        """Choose the way on, at random where there are several: as far as it matters.

        A way never ends in a junction, nor so close behind one that the car could not stand there.
        """
        known = sum(track.length for track in self.path) - self.at
        while self.path[-1].following and (
            known < self.look_ahead() or behind_junction(self.path) < ROOM_BEHIND
        ):
            key = self._random.choice(self.path[-1].following)
            self.path.append(self.lanes.network.track(key))
            known += self.path[-1].length

    def acceleration(self, gap_m: float, leader_mps: float) -> float:
        """Return m/s^2 for a car ``gap_m`` behind a leader; infinity for a free road."""
        speed, goal = self.speed_mps, self._wanted()
        if speed <= goal:
            free = GAIN * (1.0 - (speed / goal) ** 4)
        else:
            free = max((goal - speed) / RESPONSE, -LOSS)
        if gap_m == math.inf:
            return free
        gap = max(gap_m, 0.1)
        closing = speed * (speed - leader_mps) / (2.0 * math.sqrt(GAIN * LOSS))
        wanted = STANDING_GAP + max(0.0, speed * HEADWAY + closing)
        return max(min(free, GAIN) - GAIN * (wanted / gap) ** 2, -HARDEST)

    def move(self, dt_s: float, acceleration: float, most_m: float = math.inf) -> None:
        """Go on for ``dt_s`` seconds, but no farther than ``most_m``."""
        speed = max(self.speed_mps + acceleration * dt_s, 0.0)
        way = 0.5 * (self.speed_mps + speed) * dt_s
        if way > most_m:
            way, speed = max(most_m, 0.0), 0.0
        self.at += way
        self.odometer_m += way
        while self.at > self.path[0].length and len(self.path) > 1:
            self.at -= self.path.pop(0).length
        before = self._yaw
        self.speed_mps = speed
        self.standing_s = self.standing_s + dt_s if speed < 0.1 else 0.0
        self._place()
        self.yaw_rate_rps = math.remainder(self._yaw - before, 2.0 * math.pi) / dt_s

    def _place(self) -> None:
        place = self.path[0].at(self.at)
        z, pitch, roll = self.lanes.lie(self.path[0], self.at)
        self._yaw = math.remainder(place.yaw, 2.0 * math.pi)
        self.pose = Pose(place.x, place.y, z, pitch, math.degrees(self._yaw), roll)

    @property
    def body(self) -> Body:
        """The car's outline in CARLA's coordinates."""
        x, y = self.pose.x, self.pose.y
        return Body(x, y, self._yaw, self.half_length, self.half_width, self.speed_mps)

    def limit_mps(self, track: Track | None = None) -> float:
        """Return the speed that it would drive on a track, its own by default, if that was straight
        and empty."""
        if self.cruise_mps is not None:
            return max(self.cruise_mps, 0.1)
        road = (track or self.path[0]).key.road
        return max(self.pace * self.lanes.network.speed_limit(road) / 3.6, 0.1)

    def _wanted(self) -> float:
        """Return the speed for the road and the bends ahead, each with room to slow down."""
        limit = self.limit_mps()
        wanted = min(limit * limit, self.path[0].squared_speed(self.at))
        offset = self.path[0].length - self.at
        for track in self.path[1:]:
            eased = 2.0 * SLOWING * offset
            if eased > wanted:
                break
            limit = self.limit_mps(track)
            wanted = min(wanted, min(limit * limit, track.squared_speed(0.0)) + eased)
            offset += track.length
        return math.sqrt(wanted)


def behind_junction(path: list[Track]) -> float:
    """Return metres of the path's end that are in no junction."""
    metres = 0.0
    for track in reversed(path):
        if track.junction != -1:
            return metres
        metres += track.length
    return math.inf
