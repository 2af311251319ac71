"""Cars that follow lanes: the world's own traffic, and cars that clients hand over.

    autopilots = Autopilots(town, seed=0)
    autopilots.populate(population, count=10)    # as many of them as have room
    autopilots.take(car)                         # set_actor_autopilot(True)
    autopilots.step(0.05, others)                # moves them all
    autopilots.release(car)                      # back to its driver, at its speed

Where a car is put first, and which way it takes, is drawn from the seed. The first spawn points
of a map stay free, since that is where scripts put their own cars.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from carla_bridge.world.dynamics import PARAMETERS
from carla_bridge.world.server.blueprints import BLUEPRINTS
from carla_bridge.world.server.cars import Car
from carla_bridge.world.server.collisions import Footprint
from carla_bridge.world.server.envelope import CallError
from carla_bridge.world.server.population import Population
from carla_bridge.world.server.poses import Pose
from carla_bridge.world.server.towns import Town
from carla_bridge.world.traffic import Body, Follower, Traffic
from carla_bridge.world.traffic.tracks import Key, Track

LEFT_FREE = 10
"""Spawn points that traffic keeps away from, the first ones; never more than half of them."""
APART_M = 15.0
"""Between the places where traffic starts."""


class Autopilots:
    """All cars of a level that drive by themselves."""

    def __init__(self, town: Town, seed: int) -> None:
        self._town = town
        self._dice = random.Random(seed)
        self._traffic = Traffic(town.lanes, 0, seed)
        self._cars: dict[int, Car] = {}

    def populate(self, population: Population, count: int) -> None:
        """Put up to ``count`` cars on the road."""
        starts = self._town.lanes.starts()
        taken = list(self._town.spawn_points[: min(LEFT_FREE, len(starts) // 2)])
        for track, at in self._dice.sample(starts, len(starts)):
            place = track.at(at)
            if count == len(self._cars):
                return
            if all(math.hypot(place.x - p.x, place.y - p.y) >= APART_M for p in taken):
                taken.append(Pose(place.x, place.y))
                self._add(population, track, at)

    def _add(self, population: Population, track: Track, at: float) -> None:
        kind = self._dice.choice(sorted(PARAMETERS))
        follower = self._follower(track, at, kind)
        values = {key: a.value for key, a in BLUEPRINTS[kind].attributes.items()}
        colours = BLUEPRINTS[kind].attributes["color"].recommended
        values |= {"role_name": "autopilot", "color": self._dice.choice(colours)}
        car = population.spawn(kind, values, Pose(*follower.pose))
        assert isinstance(car, Car)
        self._hand_over(car, follower)

    def take(self, car: Car) -> None:
        """Have a car follow the lane that it is nearest to; `CallError` where there is none."""
        if car.follower is not None:
            return
        pose = car.place
        lane = self._town.lanes.nearest(pose.x, pose.y, pose.z)
        if lane is None:
            raise CallError(f"vehicle {car.id} has no lane to follow")
        track = self._town.lanes.network.track(Key(lane.road, lane.section, lane.lane))
        follower = self._follower(track, _along(track, pose), car.kind)
        follower.speed_mps = max(0.0, car.body.speed_mps)
        self._hand_over(car, follower)

    def release(self, car: Car) -> None:
        """Give a car back to its driver; one that has its driver stays as it is."""
        if self._cars.pop(car.id, None) is not None and car.follower is not None:
            self._traffic.followers.remove(car.follower)
            car.follow(None)

    def step(self, delta_s: float, others: Sequence[Footprint]) -> None:
        """Move all of them on; they keep clear of each other and of ``others``."""
        if self._cars:
            self._traffic.step(delta_s, [_body(box) for box in others])

    def _follower(self, track: Track, at: float, kind: str) -> Follower:
        return Follower(self._town.lanes, track, at, kind, self._dice.randrange(2**32))

    def _hand_over(self, car: Car, follower: Follower) -> None:
        self._traffic.followers.append(follower)
        self._cars[car.id] = car
        car.follow(follower)


def _along(track: Track, pose: Pose) -> float:
    """Return how far along a track (m) a place is, to half a metre."""
    steps = [i * 0.5 for i in range(int(track.length / 0.5) + 1)]
    places = [(track.at(at), at) for at in steps]
    return min(places, key=lambda p: math.hypot(p[0].x - pose.x, p[0].y - pose.y))[1]


def _body(box: Footprint) -> Body:
    yaw = math.radians(box.yaw_deg)
    return Body(box.x, box.y, yaw, box.half_length, box.half_width, box.speed_mps)
