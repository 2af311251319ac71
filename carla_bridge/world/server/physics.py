"""A car's physics on the wire: CARLA's VehiclePhysicsControl, made of the vehicle model.

    write_physics(car)             # 17 members; wheels say where the axles are, and the lock
    read_physics(car, wire)        # takes the mass and the wheels' lock; the rest is told back

Real servers have the positions of wheels in centimetres, in the world.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from carla_bridge.world.server.arguments import members, number
from carla_bridge.world.server.cars import Car
from carla_bridge.world.server.envelope import CallError
from carla_bridge.world.server.poses import Pose, attached

LIGHTEST_KG, HEAVIEST_KG = 200.0, 60_000.0
MASS, WHEELS = 11, 15
"""Places in the structure."""
LOCK = 2
"""Place of the largest steering angle in a wheel."""
TRACK_SHARE = 0.85
"""Of a car's width, between the middles of its wheels."""


def write_physics(car: Car) -> list[object]:
    """Return a VehiclePhysicsControl."""
    body = car.body.parameters
    lock = math.degrees(body.max_steer_rad)
    ahead, aside = body.wheelbase_m / 2.0, TRACK_SHARE * body.width_m / 2.0
    wheels = [
        _wheel(car, Pose(x, y, body.wheel_radius_m), steers)
        for x, steers in ((ahead, lock), (-ahead, 0.0))
        for y in (-aside, aside)
    ]
    torque = body.traction_n * body.wheel_radius_m
    return [
        [[0.0, torque], [5000.0, torque]],  # torque curve: at the wheels
        5000.0,  # largest rpm
        1.0,  # engine's moment of inertia
        0.15,  # damping, full throttle
        2.0,  # damping, clutch engaged
        0.35,  # damping, clutch disengaged
        True,  # automatic gearbox
        body.engine_lag_s,
        10.0,  # clutch strength
        1.0,  # final ratio
        [[1.0, 0.5, 0.65]],  # forward gears: ratio, down, up
        body.mass_kg,
        body.drag_area_m2,
        [body.wheelbase_m / 2.0 - body.to_front_m, 0.0, body.centre_height_m],
        [[0.0, 1.0], [20.0, 1.0]],  # steering curve: the lock is the same at every speed
        wheels,
        False,  # sweeping wheel collisions
    ]


def _wheel(car: Car, place: Pose, lock_deg: float) -> list[object]:
    """Return a WheelPhysicsControl."""
    body = car.body.parameters
    where = [100.0 * metres for metres in attached(car.pose, place)[:3]]
    brake = body.mass_kg * body.brake_mps2 * body.wheel_radius_m / 4.0
    return [
        body.friction,
        0.25,  # damping rate
        lock_deg,
        100.0 * body.wheel_radius_m,
        brake,
        brake if lock_deg == 0.0 else 0.0,  # the hand brake holds the rear wheels
        2.0,  # normalised load of the lateral stiffness's maximum
        body.stiffness,
        1000.0,  # longitudinal stiffness
        where,
    ]


def read_physics(car: Car, wire: Any) -> None:
    """Take over what the vehicle model has: mass, and the front wheels' lock."""
    values = members(wire, "a physics control", WHEELS + 1)
    mass = number(values[MASS], "mass")
    if not LIGHTEST_KG <= mass <= HEAVIEST_KG:
        raise CallError(f"a mass of {mass:g} kg; give {LIGHTEST_KG:g} to {HEAVIEST_KG:g}")
    locks = [
        number(members(wheel, "a wheel", LOCK + 1)[LOCK], "a wheel's steering angle")
        for wheel in members(values[WHEELS], "wheels", 1)
    ]
    lock = math.radians(max(1.0, min(80.0, max(locks))))
    car.body.parameters = replace(car.body.parameters, mass_kg=mass, max_steer_rad=lock)
