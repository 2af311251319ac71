"""What a call was given, checked: it comes from anywhere and may have any shape.

    pose = read_pose(wire)                 # Pose, or a CallError that says what was wrong
    speed = number(wire, "speed")          # a float that a message can carry
    actor_id = whole(wire, "actor id")

The messages carry single-precision floats; what is larger than `LARGEST` is no place in a world.
"""

from __future__ import annotations

from typing import Any

from carla_bridge.world.server.envelope import CallError
from carla_bridge.world.server.poses import Pose, Vector

LARGEST = 1e7
"""The largest magnitude of any number that a call may set."""


def number(value: Any, what: str) -> float:
    """Return a finite number of reasonable size as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise CallError(f"{what} must be a number within {LARGEST:g}")
    return float(value)


def whole(value: Any, what: str) -> int:
    """Return a non-negative whole number of 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**64:
        raise CallError(f"{what} must be a whole number")
    return value


def flag(value: Any, what: str) -> bool:
    """Return a bool; numbers are none."""
    if not isinstance(value, bool):
        raise CallError(f"{what} must be true or false")
    return value


def text(value: Any, what: str, longest: int = 1024) -> str:
    """Return a string of bounded length."""
    if not isinstance(value, str) or len(value) > longest:
        raise CallError(f"{what} must be a text of at most {longest} characters")
    return value


def members(value: Any, what: str, least: int) -> list[Any]:
    """Return a structure: a list of at least ``least`` members."""
    if not isinstance(value, list) or len(value) < least:
        raise CallError(f"{what} must be a list of {least} or more")
    return value


def read_vector(value: Any, what: str = "a vector") -> Vector:
    """Return x, y, z."""
    x, y, z = (number(item, what) for item in members(value, what, 3)[:3])
    return x, y, z


def read_pose(value: Any) -> Pose:
    """Return a transform: location (metres) and rotation (pitch, yaw, roll in degrees)."""
    location, angles = members(value, "a transform", 2)[:2]
    return Pose(*read_vector(location, "a location"), *read_vector(angles, "a rotation"))


def write_pose(pose: Pose) -> list[list[float]]:
    """Return a pose as the structure that `read_pose` reads."""
    return [list(pose[:3]), list(pose[3:])]
