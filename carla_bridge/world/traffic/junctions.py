"""Who may enter a junction: a way through is reserved before a car enters, first come first served.

    rights = Rights(network)
    rights.update(cars, on_track)   # once a tick, cars in a fixed order
    rights.to_stop(car)             # metres from its middle to where it has to stop

A car asks for the whole of its way through (all its tracks in that junction, and in the next one
where it could not stand between) when it comes near enough to have to brake for it. It gets the
way once no car holds one that comes too close to it, none that asked earlier wants one, and there
is room for it beyond: so cars neither meet in a junction nor stand in it, and each gets its turn.
Reservation of ways that conflict: Dresner and Stone, "A multiagent approach to autonomous
intersection management", JAIR 31, 2008.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from carla_bridge.world.traffic.follower import LOSS, ROOM_BEHIND, STANDING_GAP, Follower
from carla_bridge.world.traffic.tracks import Key, Network, Track

CLEAR = 3.1
"""Metres between the centres of two ways on which cars do not touch, however they turn: in a
bend of 6 m radius a car's corners reach 1.5 m out, beside 1 m of a car that goes straight."""
OnTrack = dict[Key, list[Follower]]
"""The cars on each track, from its start on."""

LEVEL = 3.0
"""Metres of height beyond which ways do not meet."""
STOP = 1.5
"""Metres before a junction at which a car's front stops."""


@dataclass
class Passage:
    """A car's way through a junction, from when it asks until its tail is out again.

    ``keys`` are the tracks that it still needs.
    """

    car: Follower
    keys: list[Key]
    exit: Key | None
    granted: bool = False
    left_at: dict[Key, float] = field(default_factory=dict)
    """The car's odometer when its middle left each of the tracks."""

    def give_back(self) -> None:
        """Drop the tracks that the car's tail has left."""
        ahead = {track.key for track in self.car.path}
        now, tail = self.car.odometer_m, self.car.half_length + 0.5
        for key in self.keys:
            if key not in ahead:
                self.left_at.setdefault(key, now)
        self.keys = [key for key in self.keys if now <= self.left_at.get(key, now) + tail]


class Rights:
    """The passages that are held or asked for, oldest first."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._passages: dict[int, Passage] = {}
        self._conflict = lru_cache(maxsize=None)(self._measured)

    def to_stop(self, car: Follower) -> float:
        """Return metres from a car's middle to where it must stop; infinity where it need not."""
        passage = self._passages.get(id(car))
        offset = -car.at
        for track in car.path:
            held = passage is not None and passage.granted and track.key in passage.keys
            if track.junction != -1 and offset > -car.half_length and not held:
                return offset - STOP
            offset += track.length
        return math.inf

    def forget(self, car: Follower) -> None:
        """Give back whatever a car holds."""
        self._passages.pop(id(car), None)

    def update(self, cars: Sequence[Follower], on_track: OnTrack) -> None:
        """Take back what is passed, note who asks, and grant what can be granted."""
        here = {id(car) for car in cars}
        for gone in self._passages.keys() - here:
            del self._passages[gone]
        for car in cars:
            passage = self._passages.get(id(car))
            if passage is not None:
                passage.give_back()
                if not passage.keys:
                    del self._passages[id(car)]
            if id(car) not in self._passages and (asked := _asked(car)) is not None:
                self._passages[id(car)] = asked
        held = [p for p in self._passages.values() if p.granted]
        waiting: list[Passage] = []
        for passage in self._passages.values():
            if passage.granted or not self._is_first(passage, on_track):
                continue
            if not _has_room(passage, held, on_track):
                continue
            if any(self._meet(passage, other) for other in (*held, *waiting)):
                waiting.append(passage)
            else:
                passage.granted = True
                held.append(passage)

    def _is_first(self, passage: Passage, on_track: OnTrack) -> bool:
        """Whether none waits between a car and the junction: its grant would be of no use."""
        car = passage.car
        offset = -car.at
        for track in car.path:
            if track.key == passage.keys[0]:
                return True
            for other in on_track.get(track.key, ()):
                if offset + other.at > 0.0 and other is not car:
                    ahead = self._passages.get(id(other))
                    return ahead is not None and ahead.granted
            offset += track.length
        return True

    def _meet(self, one: Passage, other: Passage) -> bool:
        if one.car is other.car:
            return False
        return any(self._conflict(*sorted((a, b))) for a in one.keys for b in other.keys)

    def _measured(self, one: Key, other: Key) -> bool:
        """Whether two ways come too close to each other; the same way is driven one by one."""
        if one == other:
            return False
        first, second = (self._network.track(key) for key in (one, other))
        if first.junction != second.junction:
            return False
        a, b = first.points(1.0), second.points(1.0)
        away = a[:, None] - b[None]
        close = np.hypot(away[..., 0], away[..., 1]) < CLEAR
        return bool((close & (np.abs(away[..., 2]) < LEVEL)).any())


def _asked(car: Follower) -> Passage | None:
    """Return a new passage for the next junction, if it is near; one that a car is in is held."""
    near = car.half_length + STOP + 6.0 + 1.5 * car.speed_mps + car.speed_mps**2 / LOSS
    offset = -car.at
    for first, track in enumerate(car.path):
        if offset >= near:
            return None
        if track.junction != -1:
            after = _end_of(car.path, first)
            keys = [track.key for track in car.path[first:after]]
            beyond = car.path[after].key if after < len(car.path) else None
            return Passage(car, keys, beyond, granted=offset < car.half_length)
        offset += track.length
    return None


def _end_of(path: list[Track], first: int) -> int:
    """Return the number of the first track on which a car could stand behind a junction."""
    after, standing = first, 0.0
    for number in range(first, len(path)):
        if path[number].junction != -1:
            after, standing = number + 1, 0.0
        else:
            standing += path[number].length
            if standing >= ROOM_BEHIND:
                break
    return after


def _has_room(passage: Passage, held: list[Passage], on_track: OnTrack) -> bool:
    """Whether the car, and those on the way there before it, fit in beyond the junction."""
    car = passage.car
    needed = 2.0 * car.half_length + 2.0 * STANDING_GAP
    for other in held:
        if other.exit == passage.exit:
            needed += 2.0 * other.car.half_length + STANDING_GAP
    keys = [track.key for track in car.path]
    room, index = 0.0, len(keys) if passage.exit is None else keys.index(passage.exit)
    for track in car.path[index:]:
        if track.key in on_track:
            there = on_track[track.key][0]
            return room + there.at - there.half_length + 3.0 * there.speed_mps > needed
        room += track.length
        if room > needed:
            break
    return True
