"""The car as the simulator tells of it, in the units of the driver and of the record.

    state = read_state(car)
    state.speed_mps, state.yaw_rate_rps          # to the left positive, as the driver has it
    geometry = car_geometry(car)                 # wheelbase and lock, from its physics

Only documented calls of `carla.Vehicle`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from carla_bridge.driving.driver import CarGeometry

USUAL_WHEELBASE_M = 2.875
"""Of the Tesla Model 3, the default car: where a server does not tell its wheels' places."""
USUAL_LOCK_RAD = 1.22
"""70 degrees, CARLA's default of `WheelPhysicsControl.max_steer_angle`."""


class State(NamedTuple):
    """At one tick. Position and yaw are CARLA's; rates are to the left, ``aside`` to the right."""

    x_m: float
    y_m: float
    yaw_deg: float
    speed_mps: float
    yaw_rate_rps: float
    forward_mps2: float
    aside_mps2: float


def read_state(car: Any) -> State:
    """Return the car's state of the last tick."""
    transform, velocity = car.get_transform(), car.get_velocity()
    acceleration, turning = car.get_acceleration(), car.get_angular_velocity()
    yaw = math.radians(transform.rotation.yaw)
    cosine, sine = math.cos(yaw), math.sin(yaw)
    return State(
        x_m=transform.location.x,
        y_m=transform.location.y,
        yaw_deg=transform.rotation.yaw,
        speed_mps=velocity.x * cosine + velocity.y * sine,
        yaw_rate_rps=-math.radians(turning.z),
        forward_mps2=acceleration.x * cosine + acceleration.y * sine,
        aside_mps2=acceleration.y * cosine - acceleration.x * sine,
    )


def car_geometry(car: Any) -> CarGeometry:
    """Return wheelbase and lock of a car, from its physics where the server tells it."""
    try:
        wheels = car.get_physics_control().wheels
    except RuntimeError:  # a server without this call
        wheels = []
    steered = [wheel for wheel in wheels if wheel.max_steer_angle > 0.0]
    fixed = [wheel for wheel in wheels if wheel.max_steer_angle <= 0.0]
    if not steered or not fixed:
        return CarGeometry(wheelbase_m=USUAL_WHEELBASE_M, max_steer_rad=USUAL_LOCK_RAD)
    front, rear = _middle_cm(steered), _middle_cm(fixed)
    wheelbase_m = math.dist(front, rear) / 100.0
    lock = math.radians(max(wheel.max_steer_angle for wheel in steered))
    known = 1.0 < wheelbase_m < 10.0
    return CarGeometry(wheelbase_m if known else USUAL_WHEELBASE_M, max_steer_rad=lock)


def _middle_cm(wheels: list[Any]) -> tuple[float, float]:
    count = len(wheels)
    return (
        sum(wheel.position.x for wheel in wheels) / count,
        sum(wheel.position.y for wheel in wheels) / count,
    )
