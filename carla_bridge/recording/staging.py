"""Cars around the recording one: where they stand for one shot.

    poses = stage(place, count=5, dice=dice)       # up to 5 poses, on lanes, apart from each other

They are put there and do not drive: so a frame depends on its own shot alone, not on what was
recorded before, a recording that was cut off goes on with the same frames, and no server needs a
traffic manager.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from carla_bridge.recording.places import Place, Pose, pose_of

NEAREST_AHEAD_M, FARTHEST_AHEAD_M = 11.0, 70.0
"""Nearer than the first, a lorry ahead (8 m long) hides the road; beyond the last, a car is a
few pixels."""

FARTHEST_BEHIND_M = 15.0
"""Cars beside and just behind can reach into a wide picture, those farther back cannot."""

APART_M = 9.0
"""Between the middles of two cars: no two that touch, lorries included."""

TRIES = 6
UNDERGROUND_M = 200.0
"""Cars that have no part in a shot wait this far below the ground (scenario_runner's way of
keeping actors out of sight, `ActorTransformSetter` and its underground start positions)."""


def stage(place: Place, count: int, dice: np.random.Generator) -> tuple[Pose, ...]:
    """Return up to ``count`` poses on the lanes around a place; fewer where there is no room."""
    lanes = _lanes(place.waypoint)
    taken = [place.pose]
    for _ in range(count * TRIES):
        if len(taken) > count:
            break
        lane = lanes[int(dice.integers(len(lanes)))]
        own = lane is place.waypoint
        nearest = NEAREST_AHEAD_M if own else -FARTHEST_BEHIND_M
        pose = _along(lane, float(dice.uniform(nearest, FARTHEST_AHEAD_M)), place.pose)
        if pose is not None and all(_distance_m(pose, other) >= APART_M for other in taken):
            taken.append(pose)
    return tuple(taken[1:])


def underground(pose: Pose, index: int) -> Pose:
    """Return a place out of sight below ``pose``, one for each ``index``."""
    return pose._replace(x=pose.x + index * 2.0 * APART_M, z=pose.z - UNDERGROUND_M)


def _lanes(waypoint: Any) -> list[Any]:
    """Return the driving lanes side by side at a waypoint, its own first."""
    return [waypoint, *_towards(waypoint, "get_left_lane"), *_towards(waypoint, "get_right_lane")]


def _towards(waypoint: Any, side: str) -> list[Any]:
    """Return the driving lanes on one side, across the middle of the road too."""
    found: list[Any] = []
    own, seen = waypoint.lane_id, {waypoint.lane_id}
    while (waypoint := getattr(waypoint, side)()) is not None and waypoint.lane_id not in seen:
        seen.add(waypoint.lane_id)
        if str(waypoint.lane_type) == "Driving":
            found.append(waypoint)
        if (waypoint.lane_id < 0) != (own < 0):
            # An oncoming lane's left is where we come from.
            break
    return found


def _along(lane: Any, distance_m: float, seen_from: Pose) -> Pose | None:
    """Return the pose ``distance_m`` ahead of ``seen_from`` on a lane of either direction."""
    oncoming = math.cos(math.radians(lane.transform.rotation.yaw - seen_from.yaw)) < 0.0
    if abs(distance_m) < 1.0:
        return pose_of(lane.transform)
    follow = lane.next if (distance_m > 0.0) != oncoming else lane.previous
    there = follow(abs(distance_m))
    return pose_of(there[0].transform) if there else None


def _distance_m(a: Pose, b: Pose) -> float:
    return math.dist(a[:3], b[:3])
