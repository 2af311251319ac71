"""How fast, and with how much throttle or brake.

    target_mps = allowed_speed_mps(lengths_m, curvatures_1pm, target_mps=12.0)
    pedals = press(pedals, target_mps, speed_mps, duration_s, powers)
    pedals.throttle, pedals.brake

Limits stay inside those that Bench2Drive calls comfortable: acceleration -4.05 to 2.40 m/s2
along and 4.89 m/s2 across, jerk 4.13 m/s3 along, yaw rate 0.95 rad/s (X. Jia et al., NeurIPS
2024, who took them from nuPlan, H. Caesar et al., 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from carla_bridge.driving.track import Floats

LATERAL_MPS2 = 2.0
TURNING_MPS2, GRIP_MPS2 = 3.0, 4.5
"""Of a turn that brings the car back to its lane, and at the most: what Bench2Drive
calls comfortable, less a little."""
SPEED_UP_MPS2, SLOW_DOWN_MPS2, APPROACH_MPS2 = 1.8, 3.0, 2.0
"""Most acceleration and braking, and the braking that a bend ahead is met with."""
END_MPS2, END_MARGIN_M = 2.5, 4.0
"""Braking for the end of the road that can be seen, and how far before it."""
JERK_MPS3 = 3.0
REACTION_S = 0.4
"""Bends count as nearer by what the car drives in this time."""
SLOWEST_MPS = 2.5
EAGERNESS_1PS, LEARNING_1PS2 = 0.9, 0.15
"""Acceleration per speed error, and how fast a lasting error is learnt."""
LEARNT_MPS2 = 1.5
ROLLING_MPS2, AIR_1PM = 0.15, 0.0005
"""What a coasting car loses: tyres (a coefficient of 0.015) and air (half the density times
0.7 m2 of drag area over 1600 kg, and what else grows with speed)."""
STANDING_MPS, HOLDING_BRAKE = 0.3, 0.6


@dataclass(frozen=True)
class Powers:
    """What full throttle and full brake do, m/s2; the integral part learns the rest."""

    throttle_mps2: float = 4.0
    brake_mps2: float = 8.0


class Pedals(NamedTuple):
    """Throttle and brake 0..1, and what their control remembers."""

    throttle: float = 0.0
    brake: float = 0.0
    acceleration_mps2: float = 0.0
    learnt_mps2: float = 0.0


def allowed_speed_mps(
    lengths_m: Floats, curvatures_1pm: Floats, target_mps: float, speed_mps: float
) -> float:
    """Return the speed now from which each bend ahead is reached at what it bears.

    ``lengths_m`` and ``curvatures_1pm`` (n,) are the path's, counted from the car.
    """
    sharp = np.maximum(np.abs(curvatures_1pm), 1e-6)
    bearable = np.maximum(LATERAL_MPS2 / sharp, SLOWEST_MPS**2)
    room_m = np.maximum(lengths_m - REACTION_S * speed_mps, 0.0)
    return min(target_mps, math.sqrt(float((bearable + 2.0 * APPROACH_MPS2 * room_m).min())))


def speed_before_end_mps(end_m: float, speed_mps: float) -> float:
    """Return the speed now from which the road's end is reached at a walking bicycle's pace."""
    room_m = max(end_m - END_MARGIN_M - REACTION_S * speed_mps, 0.0)
    return math.sqrt(SLOWEST_MPS**2 + 2.0 * END_MPS2 * room_m)


def most_curvature_1pm(speed_mps: float) -> float:
    """Return the sharpest turn to steer: farther than that only takes time to undo.

    >>> most_curvature_1pm(10.0)
    0.045
    """
    return GRIP_MPS2 / max(speed_mps, STANDING_MPS) ** 2


def speed_while_turning_mps(curvature_1pm: float) -> float:
    """Return the speed at which a turn that is being made is still calm.

    Off its lane a car turns more sharply than the lane does, and is not to speed up meanwhile.
    """
    return max(math.sqrt(TURNING_MPS2 / max(abs(curvature_1pm), 1e-6)), SLOWEST_MPS)


def press(
    before: Pedals, target_mps: float, speed_mps: float, duration_s: float, powers: Powers
) -> Pedals:
    """Return the pedals after ``duration_s``: feed-forward plus PI with bounded jerk."""
    if target_mps <= 0.0 and speed_mps < STANDING_MPS:
        return Pedals(0.0, HOLDING_BRAKE)
    error_mps = target_mps - speed_mps
    wanted = min(max(EAGERNESS_1PS * error_mps, -SLOW_DOWN_MPS2), SPEED_UP_MPS2)
    change = JERK_MPS3 * duration_s
    wanted = min(max(wanted, before.acceleration_mps2 - change), before.acceleration_mps2 + change)
    learnt = before.learnt_mps2
    if abs(error_mps) < 1.0 and target_mps > 0.0:
        learnt += LEARNING_1PS2 * error_mps * duration_s
        learnt = min(max(learnt, -LEARNT_MPS2), LEARNT_MPS2)
    effort = wanted + learnt + ROLLING_MPS2 + AIR_1PM * speed_mps**2
    throttle = min(max(effort / powers.throttle_mps2, 0.0), 1.0)
    brake = min(max(-effort / powers.brake_mps2, 0.0), 1.0)
    return Pedals(throttle, brake, wanted, learnt)
