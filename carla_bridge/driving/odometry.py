"""Where the car has been, from its speed and yaw rate, so that late pictures can be used.

odometry = Odometry(rear_axle_m=1.4)
odometry.drive(0.05, speed_mps=10.0, yaw_rate_rps=0.1)
odometry.drive(0.10, speed_mps=10.0, yaw_rate_rps=0.1)
odometry.motion(0.05, 0.12)      # between a picture and the next action, also in the future
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import NamedTuple

from carla_bridge.driving.track import Motion

KEPT = 400
"""Poses kept: 20 s at 20 a second."""


class Pose(NamedTuple):
    """Of the car's centre, in the frame in which odometry began."""

    x_m: float
    y_m: float
    heading_rad: float


class _Step(NamedTuple):
    time_s: float
    pose: Pose
    speed_mps: float
    yaw_rate_rps: float


def driven(
    pose: Pose, speed_mps: float, yaw_rate_rps: float, duration_s: float, rear_axle_m: float
) -> Pose:
    """Return the pose after an arc; the rear axle, that far behind the centre, does not slip."""
    turn = yaw_rate_rps * duration_s
    middle, heading = pose.heading_rad + turn / 2.0, pose.heading_rad + turn
    # The chord of an arc: its length times sin(half) / half.
    half = turn / 2.0
    chord = speed_mps * duration_s * (1.0 - half * half / 6.0)
    return Pose(
        pose.x_m
        + chord * math.cos(middle)
        + rear_axle_m * (math.cos(heading) - math.cos(pose.heading_rad)),
        pose.y_m
        + chord * math.sin(middle)
        + rear_axle_m * (math.sin(heading) - math.sin(pose.heading_rad)),
        heading,
    )


def motion_between(start: Pose, end: Pose) -> Motion:
    """Return ``end`` in the vehicle coordinates of ``start``."""
    dx, dy = end.x_m - start.x_m, end.y_m - start.y_m
    cosine, sine = math.cos(start.heading_rad), math.sin(start.heading_rad)
    return Motion(
        cosine * dx + sine * dy, cosine * dy - sine * dx, end.heading_rad - start.heading_rad
    )


class Odometry:
    """Poses over time; asked for a time after the last one, it goes on as the car did."""

    def __init__(self, rear_axle_m: float) -> None:
        self._rear_axle_m = rear_axle_m
        self._steps: list[_Step] = []

    def drive(self, time_s: float, speed_mps: float, yaw_rate_rps: float) -> None:
        """Note how fast the car is now; it drove so since the last note."""
        if not self._steps:
            self._steps.append(_Step(time_s, Pose(0.0, 0.0, 0.0), speed_mps, yaw_rate_rps))
            return
        last = self._steps[-1]
        if time_s <= last.time_s:
            return
        speed = (last.speed_mps + speed_mps) / 2.0
        yaw_rate = (last.yaw_rate_rps + yaw_rate_rps) / 2.0
        pose = driven(last.pose, speed, yaw_rate, time_s - last.time_s, self._rear_axle_m)
        self._steps.append(_Step(time_s, pose, speed_mps, yaw_rate_rps))
        del self._steps[:-KEPT]

    def pose(self, time_s: float) -> Pose:
        """Return the pose at a time; the oldest that is known for times before it."""
        if not self._steps:
            return Pose(0.0, 0.0, 0.0)
        after = bisect_right(self._steps, time_s, key=lambda step: step.time_s)
        if after == 0:
            return self._steps[0].pose
        step = self._steps[after - 1]
        if after == len(self._steps):
            ahead_s = time_s - step.time_s
            return driven(step.pose, step.speed_mps, step.yaw_rate_rps, ahead_s, self._rear_axle_m)
        end = self._steps[after]
        share = (time_s - step.time_s) / (end.time_s - step.time_s)
        middle = (a + (b - a) * share for a, b in zip(step.pose, end.pose, strict=True))
        return Pose(*middle)

    def motion(self, start_s: float, end_s: float) -> Motion:
        """Return how the car moved between two times."""
        return motion_between(self.pose(start_s), self.pose(end_s))
