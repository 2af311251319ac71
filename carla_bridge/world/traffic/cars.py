"""All the cars that follow lanes: they keep their distance from each other and from anything else.

    traffic = Traffic(lanes, count=20, seed=0)
    traffic.step(0.05, others=[Body(x, y, yaw, 2.3, 0.9, speed)])    # CARLA's coordinates
    for car in traffic.followers:
        car.pose, car.speed_mps, car.blueprint

The same seed and the same others give the same cars. A car at a dead end, or one that has stood
for `PATIENCE` seconds, is put to a free start elsewhere; whatever happens, none moves into
another car.
"""

from __future__ import annotations

import math
import random
from bisect import insort
from collections.abc import Iterator, Sequence
from operator import attrgetter

from carla_bridge.world.dynamics import PARAMETERS
from carla_bridge.world.traffic.boxes import Body, overlap
from carla_bridge.world.traffic.follower import STANDING_GAP, Follower
from carla_bridge.world.traffic.junctions import LEVEL, OnTrack, Rights
from carla_bridge.world.traffic.lanes import Lanes
from carla_bridge.world.traffic.tracks import Place, Track
from edge_seg.errors import EdgeSegError

PATIENCE = 60.0
"""Seconds that a car stands before it is put elsewhere."""
AT_END = 2.0
"""Seconds that it stands at a dead end."""
FREE = 20.0
"""Metres around a start in which nothing may be."""
ROOM = 0.3
"""Metres beside a car that it keeps free."""
CROSSING = math.cos(math.radians(40.0))
FORESEEN = 1.0
"""Seconds for which something that crosses is taken to go on."""
NEAR = 15.0
"""Metres (x, y) beyond which no two cars touch."""
LOOK = 1.0
"""Metres between the places of a path where others are looked for."""


class Traffic:
    """``count`` cars, their sizes, places and ways drawn from ``seed``.

    ``speed_mps`` is how fast they want to go; None is each road's limit, a little less for some.
    """

    def __init__(
        self, lanes: Lanes, count: int, seed: int = 0, speed_mps: float | None = None
    ) -> None:
        self.lanes = lanes
        self._random = random.Random(seed)
        self._rights = Rights(lanes.network)
        self._starts = lanes.starts()
        self.followers: list[Follower] = []
        blueprints = sorted(PARAMETERS)
        for number in range(count):
            start = self._free_start(())
            if start is None:
                raise EdgeSegError(
                    f"map '{lanes.map.name}' has room for {number} cars of traffic, not {count}: "
                    "ask for fewer"
                )
            blueprint = self._random.choice(blueprints)
            own = self._random.randrange(2**32)
            self.followers.append(Follower(lanes, *start, blueprint, own, speed_mps))

    def step(self, dt_s: float, others: Sequence[Body] = ()) -> None:
        """Move every car on; ``others`` are what else is on the road, in CARLA's coordinates."""
        for car in self.followers:
            car.plan()
        on_track = _by_track(self.followers)
        self._rights.update(self.followers, on_track)
        for car in self.followers:
            gap, leader = self._ahead(car, on_track, others)
            stop = self._rights.to_stop(car)
            acceleration = car.acceleration(gap, leader)
            if stop - car.half_length < gap:
                # The stopping line is no car: its front may come up to it.
                at_line = car.acceleration(stop - car.half_length + 2.0, 0.0)
                acceleration = min(acceleration, at_line)
            room = min(gap - ROOM, stop - car.half_length)
            self._go(car, dt_s, acceleration, room, others)
        for car in self.followers:
            if car.standing_s > (AT_END if _at_dead_end(car) else PATIENCE):
                self._put_elsewhere(car, others)

    def _go(
        self, car: Follower, dt: float, acceleration: float, room: float, others: Sequence[Body]
    ) -> None:
        """Move a car unless something is in its way after all."""
        before = (car.path[:], car.at, car.standing_s)
        car.move(dt, acceleration, max(room, 0.0))
        body = car.body
        x, y, z = car.pose[:3]
        near = [
            c.body
            for c in self.followers
            if abs(c.pose.x - x) < NEAR and abs(c.pose.y - y) < NEAR and c is not car
            if abs(c.pose.z - z) < LEVEL
        ]
        if any(overlap(body, other) for other in (*near, *others) if _before(body, other)):
            car.path, car.at, car.standing_s = before
            car.speed_mps = 0.0
            car.move(dt, 0.0)

    def _ahead(
        self, car: Follower, on_track: OnTrack, others: Sequence[Body]
    ) -> tuple[float, float]:
        """Return metres to the next thing in a car's way, and its speed along the way."""
        reach = car.look_ahead()
        gap, speed = math.inf, 0.0
        offset = -car.at
        for track in car.path:
            if offset > reach:
                break
            for other in on_track.get(track.key, ()):
                away = offset + other.at
                if away > 0.0 and other is not car:
                    gap, speed = away - car.half_length - other.half_length, other.speed_mps
                    break
            if gap < math.inf:
                break
            offset += track.length
        else:
            if not car.path[-1].following:  # a dead end
                gap, speed = offset - car.half_length, 0.0
        for body in others:
            if math.hypot(body.x - car.pose.x, body.y - car.pose.y) < reach + body.half_length:
                found, its = _meets(car, body, min(reach, gap + car.half_length))
                if found < gap:
                    gap, speed = found, its
        return gap, speed

    def _put_elsewhere(self, car: Follower, others: Sequence[Body]) -> None:
        start = self._free_start(others)
        if start is not None:
            self._rights.forget(car)
            car.start(*start)
            car.moves += 1

    def _free_start(self, others: Sequence[Body]) -> tuple[Track, float] | None:
        """Return a start with nothing around it, drawn from those that there are."""
        taken = [(c.pose.x, c.pose.y) for c in self.followers] + [(o.x, o.y) for o in others]
        for track, at in self._random.sample(self._starts, len(self._starts)):
            place = track.at(at)
            if all(math.hypot(place.x - x, place.y - y) > FREE for x, y in taken):
                return track, at
        return None


def _by_track(cars: list[Follower]) -> OnTrack:
    """Return the cars on each track, from its start on."""
    found: OnTrack = {}
    for car in cars:
        insort(found.setdefault(car.path[0].key, []), car, key=attrgetter("at"))
    return found


def _at_dead_end(car: Follower) -> bool:
    left = sum(track.length for track in car.path) - car.at - car.half_length
    return not car.path[-1].following and left < 2.0 * STANDING_GAP


def _before(body: Body, other: Body) -> bool:
    """Whether another body is in front of a car's middle."""
    ahead = (other.x - body.x) * math.cos(body.yaw) + (other.y - body.y) * math.sin(body.yaw)
    return ahead > 0.0


def _meets(car: Follower, other: Body, reach: float) -> tuple[float, float]:
    """Return metres from a car's front to where its way enters another body, and its speed.

    What crosses the way is taken to be where it will be within `FORESEEN` seconds, too.
    """
    cos, sin = math.cos(other.yaw), math.sin(other.yaw)
    beside = other.half_width + car.half_width + ROOM
    for way, place in _places(car, reach):
        dx, dy = place.x - other.x, place.y - other.y
        if abs(dy * cos - dx * sin) > beside:
            continue
        same = math.cos(place.yaw - other.yaw)
        onwards = other.speed * FORESEEN if abs(same) < CROSSING else 0.0
        back, front = other.half_length - min(onwards, 0.0), other.half_length + max(onwards, 0.0)
        if -back <= dx * cos + dy * sin <= front:
            return max(way - car.half_length, 0.0), max(other.speed * same, 0.0)
    return math.inf, 0.0


def _places(car: Follower, reach: float) -> Iterator[tuple[float, Place]]:
    """Yield (metres ahead, place) along a car's way, `LOOK` metres apart."""
    way = offset = 0.0
    start = car.at
    for track in car.path:
        while way <= reach and start + way - offset <= track.length:
            yield way, track.at(start + way - offset)
            way += LOOK
        offset += track.length
