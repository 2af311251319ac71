"""What a driver asks of a car, as CARLA's VehicleControl and VehicleAckermannControl have it.

    Control(throttle=0.4, steer=-0.1)        # a little to the left
    Ackermann(steer=0.05, speed=8.0)         # radians to the right, m/s

Values come from clients and may be anything: `bounded` makes a usable number of each.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Control:
    """Throttle and brake 0..1; steer -1..1 of the full lock, to the right positive."""

    throttle: float = 0.0
    steer: float = 0.0
    brake: float = 0.0
    hand_brake: bool = False
    reverse: bool = False


@dataclass(frozen=True)
class Ackermann:
    """A wheel angle (radians, to the right positive) and a speed (m/s, negative backwards).

    The rates are limits: rad/s, m/s^2 and m/s^3. 0 leaves them to the car, as in CARLA's
    documentation of VehicleAckermannControl.
    """

    steer: float = 0.0
    steer_speed: float = 0.0
    speed: float = 0.0
    acceleration: float = 0.0
    jerk: float = 0.0


def bounded(value: float, low: float, high: float) -> float:
    """Return a value within its limits, and 0 where it is not a number.

    >>> bounded(7.0, -1.0, 1.0), bounded(float("nan"), -1.0, 1.0)
    (1.0, 0.0)
    """
    if value != value:
        return 0.0
    return min(max(float(value), low), high)
