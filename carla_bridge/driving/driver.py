"""The driver: masks in when they come, controls out when they are due.

    driver = Driver(view, CarGeometry(wheelbase_m=2.9), target_speed_mps=10.0, lane_width_m=3.5)
    driver.see(mask, taken_at_s=4.00)                     # may come late
    control = driver.act(4.10, speed_mps=9.8, yaw_rate_rps=0.01)
    control.throttle, control.steer, control.brake, driver.state

A mask is used where it was taken: odometry carries the lane on to the moment at which a control
takes effect. With no mask, or masks in which no lane is found, the last lane is held for
a while, then the car slows down and stops; it goes on when a lane is seen again.

In junctions there are no markings. There the caller gives a `Guide`: the middle of the
lane to take, from the map, as a navigation system has it. The lane's memory is told of it,
so that the lane beyond the junction is looked for where the guide leads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import numpy as np

from carla_bridge.driving.evidence import Pixels
from carla_bridge.driving.lane import ROAD_SHARE, Lane, find_lane
from carla_bridge.driving.lateral import follow, look_ahead_m, steer_command
from carla_bridge.driving.memory import USUAL_WIDTH_M, Memory, moved
from carla_bridge.driving.odometry import Odometry
from carla_bridge.driving.speed import (
    Pedals,
    Powers,
    allowed_speed_mps,
    most_curvature_1pm,
    press,
    speed_before_end_mps,
    speed_while_turning_mps,
)
from carla_bridge.driving.track import (
    CURVATURES,
    KNOTS_M,
    LENGTHS_M,
    Floats,
    Track,
)
from carla_bridge.driving.view import View
from edge_seg.errors import EdgeSegError

SURE = 0.3
"""Confidence from which a lane is followed."""
FRESH_S, HELD_S = 0.6, 1.6
"""Age of the last lane up to which the car follows, and up to which it holds its course."""
GUIDE_BLEND_S = 0.5
"""A guide takes over in this time; then the lane's memory is told of it, to this precision."""
GUIDE_SIGMA_M = 0.2
STEER_PER_S = 2.0
"""Most change of the steer command."""
LONGEST_STEP_S = 0.2


class State(str, Enum):
    """What the driver does."""

    FOLLOWING = "following"
    HOLDING = "holding"
    SLOWING = "slowing"
    STOPPED = "stopped"


@dataclass(frozen=True)
class CarGeometry:
    """The car. ``rear_axle_m`` is behind the centre (half the wheelbase without it).

    ``delay_s`` is what passes between a command and the car's obeying.
    """

    wheelbase_m: float
    max_steer_rad: float = 1.22
    rear_axle_m: float | None = None
    delay_s: float = 0.1
    powers: Powers = field(default_factory=Powers)

    @property
    def behind_m(self) -> float:
        """From the centre back to the rear axle."""
        return self.wheelbase_m / 2.0 if self.rear_axle_m is None else self.rear_axle_m


class Guide(NamedTuple):
    """The lane's middle to take, (n, 2) in vehicle coordinates, and its sharpest bend."""

    points_m: Floats
    sharpest_curvature_1pm: float


class Control(NamedTuple):
    """As CARLA has it: throttle 0..1, steer -1..1 positive to the right, brake 0..1."""

    throttle: float
    steer: float
    brake: float


class Driver:
    """Drives one car by the masks of one camera; see the module's text."""

    def __init__(
        self,
        view: View,
        car: CarGeometry,
        target_speed_mps: float,
        lane_width_m: float | None = None,
    ) -> None:
        if not target_speed_mps > 0.0:
            raise EdgeSegError(
                f"a target speed of {target_speed_mps} m/s drives nowhere; give one above 0"
            )
        self.view, self.car, self.target_speed_mps = view, car, target_speed_mps
        self.state = State.STOPPED
        self.lane: Lane | None = None
        self._lane_width_m = lane_width_m or USUAL_WIDTH_M
        self._memory, self._memory_at_s = Memory.fresh(lane_width_m), 0.0
        self._odometry = Odometry(car.behind_m)
        self._good_at_s: float | None = None
        self._acted_at_s: float | None = None
        self._guided = 0.0
        self._pedals, self._steer = Pedals(), 0.0

    def see(self, mask: Pixels | None, taken_at_s: float) -> Lane | None:
        """Take in a mask (H, W) of class ids, or None where a picture gave none."""
        if mask is None:
            return None
        motion = self._odometry.motion(self._memory_at_s, taken_at_s)
        expected = moved(self._memory, motion)
        lane = find_lane(mask, self.view, expected, self._lane_width_m)
        enough = lane.confidence >= SURE or self._guided > 0.0
        if lane.road_share >= ROAD_SHARE and enough:
            self._good_at_s = taken_at_s
        self._memory = expected if self._guided >= 1.0 else lane.memory
        self._memory_at_s = taken_at_s
        self.lane = lane
        return lane

    def act(
        self, time_s: float, speed_mps: float, yaw_rate_rps: float, guide: Guide | None = None
    ) -> Control:
        """Return the controls for now, from the car's speed and its yaw rate to the left."""
        duration_s = 0.05 if self._acted_at_s is None else time_s - self._acted_at_s
        duration_s = min(max(duration_s, 0.0), LONGEST_STEP_S)
        self._acted_at_s = time_s
        self._odometry.drive(time_s, speed_mps, yaw_rate_rps)
        self.state = self._next_state(time_s, speed_mps)
        curvature_1pm = self._curvature(self._memory.track, self._memory_at_s, time_s, speed_mps)
        allowed_mps = self._lane_speed(time_s, speed_mps)
        if guide is None or len(guide.points_m) < 2:
            self._guided = 0.0
        else:
            self._guided = min(self._guided + duration_s / GUIDE_BLEND_S, 1.0)
            track = Track.through(np.asarray(guide.points_m, float))
            to_guide = self._curvature(track, time_s, time_s, speed_mps)
            curvature_1pm += self._guided * (to_guide - curvature_1pm)
            allowed_mps = self._guide_speed(track, guide.sharpest_curvature_1pm, speed_mps)
            if self._guided >= 1.0:
                self._tell(track, time_s)
        most_1pm = most_curvature_1pm(speed_mps)
        curvature_1pm = min(max(curvature_1pm, -most_1pm), most_1pm)
        allowed_mps = min(allowed_mps, speed_while_turning_mps(curvature_1pm))
        return self._control(curvature_1pm, allowed_mps, speed_mps, duration_s)

    def _next_state(self, time_s: float, speed_mps: float) -> State:
        age_s = np.inf if self._good_at_s is None else time_s - self._good_at_s
        if age_s <= FRESH_S:
            return State.FOLLOWING
        if age_s <= HELD_S:
            return State.HOLDING
        return State.SLOWING if speed_mps > 0.1 else State.STOPPED

    def _curvature(self, track: Track, at_s: float, time_s: float, speed_mps: float) -> float:
        """Return the curvature to command now for a track seen at ``at_s``."""
        motion = self._odometry.motion(at_s, time_s + self.car.delay_s)
        return follow(track.moved(motion), look_ahead_m(speed_mps), self.car.behind_m)

    def _lane_speed(self, time_s: float, speed_mps: float) -> float:
        driven_m = self._odometry.motion(self._memory_at_s, time_s).forward_m
        bends = self._memory.numbers[CURVATURES]
        variances = np.diag(self._memory.covariance)[CURVATURES]
        surely = np.maximum(np.abs(bends) - np.sqrt(np.maximum(variances, 0.0)), 0.0)
        allowed = allowed_speed_mps(KNOTS_M - driven_m, surely, self.target_speed_mps, speed_mps)
        end_m = self.lane.road_end_m - driven_m if self.lane else math.inf
        return min(allowed, speed_before_end_mps(end_m, speed_mps))

    def _guide_speed(self, track: Track, sharpest_1pm: float, speed_mps: float) -> float:
        """Return the speed for a guide: its bends lie where its track bends.

        Points a metre apart round a bend off; the map's own sharpest bend says how sharp it is.
        """
        ahead = self.car.behind_m + LENGTHS_M >= 0.0
        bends = np.abs(track.curvatures_1pm[ahead])
        bends *= min(max(sharpest_1pm / max(float(bends.max()), 1e-6), 1.0), 2.0)
        return allowed_speed_mps(LENGTHS_M[ahead], bends, self.target_speed_mps, speed_mps)

    def _tell(self, track: Track, time_s: float) -> None:
        expected = moved(self._memory, self._odometry.motion(self._memory_at_s, time_s))
        self._memory, self._memory_at_s = expected.told(track, GUIDE_SIGMA_M), time_s

    def _control(
        self, curvature_1pm: float, allowed_mps: float, speed_mps: float, duration_s: float
    ) -> Control:
        going = self.state in (State.FOLLOWING, State.HOLDING)
        target_mps = allowed_mps if going else 0.0
        self._pedals = press(self._pedals, target_mps, speed_mps, duration_s, self.car.powers)
        wanted = steer_command(curvature_1pm, self.car.wheelbase_m, self.car.max_steer_rad)
        change = STEER_PER_S * duration_s
        self._steer += min(max(wanted - self._steer, -change), change)
        return Control(self._pedals.throttle, self._steer, self._pedals.brake)
