"""Engine, gears, brakes and what holds a car back, along its length.

    drive_force(parameters, throttle=0.6, speed_mps=12.0)     # N at the wheels
    resistance(parameters, speed_mps=30.0)                     # N of air and rolling

The gearbox is simplified: it always holds the engine where throttle gives that share of its
power, so the force is bounded by traction at low speeds and by power over speed above, as
CommonRoad's vehicle models bound acceleration beyond a switching speed (Althoff and Wuersching,
"CommonRoad: Vehicle Models", 2020, section 4). Drag and rolling resistance: Gillespie,
"Fundamentals of Vehicle Dynamics", SAE 1992, chapter 4.
"""

from __future__ import annotations

from bisect import bisect_right

from carla_bridge.world.dynamics.parameters import Parameters

GRAVITY = 9.81
"""m/s^2."""
AIR = 1.2
"""kg/m^3 at 20 degrees Celsius and sea level."""
REVERSE_SPEED = 8.0
"""m/s backwards, at most: reverse gears are short."""
GOVERNOR = 1.0
"""m/s below the top speed from which drive fades."""


def drive_force(parameters: Parameters, throttle: float, speed: float, reverse: bool) -> float:
    """Return newtons at the wheels, forwards positive, once the engine has answered.

    ``speed`` is along the car (m/s).
    """
    onwards = -speed if reverse else speed
    top = REVERSE_SPEED if reverse else parameters.top_speed_mps
    force = min(parameters.traction_n, parameters.power_w / max(onwards, 0.1))
    force *= throttle * min(max((top - onwards) / GOVERNOR, 0.0), 1.0)
    return -force if reverse else force


def air_drag(parameters: Parameters, speed: float) -> float:
    """Return newtons of air drag, always positive."""
    return 0.5 * AIR * parameters.drag_area_m2 * speed * speed


def rolling(parameters: Parameters) -> float:
    """Return newtons of rolling resistance."""
    return parameters.rolling * parameters.mass_kg * GRAVITY


def resistance(parameters: Parameters, speed: float) -> float:
    """Return newtons of air drag and rolling resistance together."""
    return air_drag(parameters, speed) + rolling(parameters)


def gear(parameters: Parameters, speed: float, reverse: bool) -> int:
    """Return the gear that the car is in: -1 backwards, from 1 forwards."""
    return -1 if reverse else 1 + bisect_right(parameters.shifts_mps, speed)
