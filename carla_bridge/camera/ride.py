"""A car that goes along its lane at one speed, for its camera's sake.

ride = Ride(session, speed_mps=8.3, seed=0)
ride.move(0.05)                # 0.42 m on; seen by the cameras of the next tick
session.tick()

The car is put from place to place, its physics off: it is where the lane is on any map and any
server, and takes no time. How a car drives by masks is `carla_bridge.evaluation`'s to find out.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from carla_bridge.client.errors import SimulatorError
from carla_bridge.client.session import Session
from edge_seg.errors import EdgeSegError

STEP_M = 1.0
"""Between the places that the map is asked for; a place between two is on the line."""
PLACES_TRIED = 20
"""Spawn points, where other cars stand on some."""


class Ride:
    """The car. Where lanes part a seeded choice is made; where one ends another ride begins."""

    def __init__(self, session: Session, speed_mps: float, seed: int) -> None:
        self._session, self._speed_mps = session, speed_mps
        self._dice = random.Random(seed)
        self.car = self._spawned()
        self.car.set_simulate_physics(False)
        self._places = self._along_lanes(self.car.get_location())
        self._last, self._next = next(self._places), next(self._places)
        self._past_m = 0.0
        self.move(0.0)

    def move(self, seconds: float) -> None:
        """Put the car where it is so much later."""
        self._past_m += self._speed_mps * seconds
        while self._past_m >= STEP_M:
            self._past_m -= STEP_M
            self._last, self._next = self._next, next(self._places)
        share = self._past_m / STEP_M
        if self._last.location.distance(self._next.location) > 2.0 * STEP_M:
            share = 0.0  # it goes on elsewhere
        self.car.set_transform(self._between(share))

    def _spawned(self) -> Any:
        points = self._session.map.get_spawn_points()
        self._dice.shuffle(points)
        refused = EdgeSegError(f"the map {self._session.map_name} has no spawn point")
        for point in points[:PLACES_TRIED]:
            try:
                return self._session.spawn_car(point)
            except SimulatorError:
                raise
            except EdgeSegError as error:
                refused = error
        raise refused

    def _along_lanes(self, start: Any) -> Iterator[Any]:
        """Yield transforms a step apart, without end."""
        carla_map = self._session.map
        starts = [point.location for point in carla_map.get_spawn_points()]
        while True:
            way = carla_map.get_waypoint(start)
            while way is not None:
                yield way.transform
                ways = way.next(STEP_M)
                # The order in which CARLA's map lists them is not promised.
                ways.sort(key=lambda way: (way.road_id, way.section_id, way.lane_id))
                way = self._dice.choice(ways) if ways else None
            start = self._dice.choice(starts)

    def _between(self, share: float) -> Any:
        carla = self._session.carla
        here, there = self._last, self._next
        turn = (there.rotation.yaw - here.rotation.yaw + 180.0) % 360.0 - 180.0
        tilt = there.rotation.pitch - here.rotation.pitch
        return carla.Transform(
            here.location + share * (there.location - here.location),
            carla.Rotation(
                pitch=here.rotation.pitch + share * tilt,
                yaw=here.rotation.yaw + share * turn,
                roll=here.rotation.roll,
            ),
        )
