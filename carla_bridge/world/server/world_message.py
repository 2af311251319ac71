"""The message that tells every client how the world is, once a frame.

    payload = world_message(moment, episode=3, delta_s=0.05, records=[record(...), ...])

Little endian, packed: 48 bytes as every sensor's message, 36 about the episode, 119 an actor.
The world observer's type is the position of its class in the client's registry: 17 in 0.9.16,
and 16 before, which makes a 0.9.16 client crash.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from carla_bridge.world.server.poses import Pose, Vector

WORLD_OBSERVER = 17
HEADER = struct.Struct("<QQd6f")
EPISODE = struct.Struct("<Qdf3iI")
RECORD = struct.Struct("<IB6f3f3f3f54s")
CAR_STATE = struct.Struct("<3f3Bif2BIB")
WALKER_STATE = struct.Struct("<4fB")
LIGHT_STATE = struct.Struct("<32s4fI2B")

ACTIVE = 1
STILL: Vector = (0.0, 0.0, 0.0)
MAP_CHANGED = 1
"""The bit that makes clients fetch the map again."""


class Moment(NamedTuple):
    """When: a frame's number and its time in simulated seconds since the episode began."""

    frame: int
    time_s: float


def sensor_header(kind: int, moment: Moment, pose: Pose) -> bytes:
    """Return the 48 bytes that begin every stream's payload."""
    return HEADER.pack(kind, moment.frame, moment.time_s, *pose)


def world_message(
    moment: Moment,
    records: Iterable[bytes],
    *,
    episode: int,
    platform_s: float,
    delta_s: float,
    map_changed: bool = False,
) -> bytes:
    """Return the payload of the world's own stream; ``platform_s`` is the wall clock's time."""
    about = EPISODE.pack(episode, platform_s, delta_s, 0, 0, 0, MAP_CHANGED if map_changed else 0)
    return b"".join((sensor_header(WORLD_OBSERVER, moment, Pose()), about, *records))


def record(
    actor_id: int,
    pose: Pose,
    velocity: Vector = STILL,
    turning: Vector = STILL,
    acceleration: Vector = STILL,
    state: bytes = b"",
) -> bytes:
    """Return an actor's 119 bytes: m/s, degrees/s, m/s2 in the world's directions.

    ``state`` is what is particular to its kind, at most 54 bytes (`car_state` and so on).
    """
    return RECORD.pack(actor_id, ACTIVE, *pose, *velocity, *turning, *acceleration, state)


def car_state(
    throttle: float,
    steer: float,
    brake: float,
    *,
    hand_brake: bool,
    reverse: bool,
    manual: bool,
    gear: int,
    speed_limit_kmh: float,
) -> bytes:
    """Return a vehicle's part of its record; no traffic light governs it, and nothing failed."""
    green, none = 2, 0
    return CAR_STATE.pack(
        throttle,
        steer,
        brake,
        hand_brake,
        reverse,
        manual,
        gear,
        speed_limit_kmh,
        green,
        none,
        none,
        none,
    )


def walker_state(direction: Vector, speed_mps: float, jump: bool) -> bytes:
    """Return a walker's part of its record: what it was told to do."""
    return WALKER_STATE.pack(*direction, speed_mps, jump)


def light_state(sign: str, state: int, *, frozen: bool, pole: int = 0) -> bytes:
    """Return a traffic light's part of its record: its OpenDRIVE id, phases (s) and colour."""
    return LIGHT_STATE.pack(sign.encode()[:31], *LIGHT_PHASES_S, 0.0, pole, frozen, state)


LIGHT_PHASES_S = (10.0, 3.0, 2.0)
"""Seconds of green, yellow and red: CARLA's defaults."""
