"""The equations of motion of one car: a single track with tyres that slip.

    car = Vehicle(PARAMETERS["vehicle.audi.tt"], 0.0, 0.0, heading_rad=0.0, speed_mps=15.0)
    car.control = Control(steer=-0.2)
    car.step(0.05)

The dynamic single-track model with load transfer (Althoff and Wuersching, "CommonRoad: Vehicle
Models", 2020, section 6, there with linear tyres; here with those of `tyres`) divides by the
speed, so below some metres a second it goes over into the kinematic one: yaw rate and lateral
speed follow the wheels. Models are mixed as in Kabzan et al., "AMZ Driverless: The full
autonomous racing system", J. Field Robotics 37(7), 2020, section 6.

A step is cut into equal substeps of at most `SUBSTEP`; they are semi-implicit: velocities
first, then the place by the new velocities. Everything that only ever opposes motion (brakes,
rolling) can stop the car but not turn it round, so it stands still on a slope.
"""

from __future__ import annotations

import math

from carla_bridge.world.dynamics.ackermann import AckermannDriver
from carla_bridge.world.dynamics.control import Ackermann, Control, bounded
from carla_bridge.world.dynamics.parameters import Parameters
from carla_bridge.world.dynamics.powertrain import (
    GRAVITY,
    air_drag,
    drive_force,
    gear,
    rolling,
)
from carla_bridge.world.dynamics.tyres import locked_axle, rolling_axle

SUBSTEP = 0.0025
"""Seconds: the fastest motion left, lateral slip at `DYNAMIC` m/s, takes some 10 ms."""
LONGEST_STEP = 10.0
KINEMATIC, DYNAMIC = 1.0, 3.0
"""m/s: purely kinematic below the first, purely dynamic above the second."""
FOLLOWING = 0.02
"""Seconds in which the motion sideways follows the wheels in the kinematic model."""
FASTEST = 150.0
"""m/s: what is set from outside is cut to it."""


class Vehicle:
    """One car in map coordinates; its place is midway between the axles.

    `control` is what the driver asks for, unless `ackermann` is set. ``grip`` scales the
    friction: 1 on dry asphalt.
    """

    def __init__(
        self,
        parameters: Parameters,
        x_m: float,
        y_m: float,
        heading_rad: float,
        speed_mps: float = 0.0,
    ) -> None:
        self.parameters = parameters
        self.control = Control()
        self.ackermann: Ackermann | None = None
        self.grip = 1.0
        self.x_m, self.y_m, self.heading_rad = float(x_m), float(y_m), float(heading_rad)
        self.yaw_rate_rps = 0.0
        self.steer_rad = 0.0
        """Of the front wheel, to the left positive."""
        self.gear = 1
        self._along = bounded(speed_mps, -FASTEST, FASTEST)
        self._across = 0.0  # of the centre of gravity, to the left
        self._drive = self._brake = 0.0  # newtons; what lags behind the pedals
        self._acceleration = (0.0, 0.0)
        self._pedals = AckermannDriver()

    @property
    def speed_mps(self) -> float:
        """Metres a second along the car, backwards negative."""
        return self._along

    @property
    def velocity(self) -> tuple[float, float]:
        """(x, y) in map coordinates, m/s, of the point midway between the axles."""
        across = self._across - self.yaw_rate_rps * self._centre_ahead
        return _turned(self._along, across, self.heading_rad)

    @property
    def acceleration(self) -> tuple[float, float]:
        """(x, y) in map coordinates, m/s^2, of the centre of gravity, over the last substep."""
        return self._acceleration

    @property
    def _centre_ahead(self) -> float:
        """Metres from midway between the axles forwards to the centre of gravity."""
        return self.parameters.wheelbase_m / 2.0 - self.parameters.to_front_m

    def place(self, x_m: float, y_m: float, heading_rad: float) -> None:
        """Put the car somewhere else; it keeps its speed."""
        self.x_m, self.y_m, self.heading_rad = float(x_m), float(y_m), float(heading_rad)

    def push(self, vx_mps: float, vy_mps: float) -> None:
        """Give the car another velocity (map coordinates), as a collision does."""
        vx, vy = bounded(vx_mps, -FASTEST, FASTEST), bounded(vy_mps, -FASTEST, FASTEST)
        self._along, across = _turned(vx, vy, -self.heading_rad)
        self._across = across + self.yaw_rate_rps * self._centre_ahead

    def spin(self, yaw_rate_rps: float) -> None:
        """Give the car another yaw rate, to the left positive."""
        self.yaw_rate_rps = bounded(yaw_rate_rps, -20.0, 20.0)

    def step(self, dt_s: float, grade: float = 0.0) -> None:
        """Move on by up to ten seconds; ``grade`` is the road's rise over run ahead."""
        if not 0.0 < dt_s <= LONGEST_STEP:
            raise ValueError(f"a step of {dt_s} s; steps are above 0 and at most {LONGEST_STEP} s")
        count = math.ceil(dt_s / SUBSTEP - 1e-9)
        slope = math.atan(bounded(grade, -1.0, 1.0))
        for _ in range(count):
            self._substep(dt_s / count, slope)
        self.heading_rad = math.remainder(self.heading_rad, 2.0 * math.pi)

    def _substep(self, dt: float, slope: float) -> None:
        car = self.parameters
        control = self._asked(dt, slope)
        self._steer(control, dt)
        self._answer(control, dt)
        steer, along, across, yaw = self.steer_rad, self._along, self._across, self.yaw_rate_rps
        front, rear = car.to_front_m, car.to_rear_m

        # Slip angles of the wheels, in their own directions.
        sin, cos = math.sin(steer), math.cos(steer)
        at_front, at_rear = across + front * yaw, across - rear * yaw
        slip_front = math.atan2(at_front * cos - along * sin, abs(along * cos + at_front * sin))
        slip_rear = math.atan2(at_rear, abs(along))

        weight = car.mass_kg * GRAVITY * math.cos(slope)
        on_front, on_rear = self._loads(weight)
        friction = car.friction * bounded(self.grip, 0.0, 2.0)
        tyres = car.stiffness, friction
        drive = self._drive * car.front_drive, self._drive * (1.0 - car.front_drive)
        brake = self._brake * on_front / weight, self._brake * on_rear / weight
        ahead = rolling_axle(tyres, on_front, drive[0], brake[0], slip_front)
        behind = (
            locked_axle(tyres, on_rear, slip_rear)
            if control.hand_brake
            else rolling_axle(tyres, on_rear, drive[1], brake[1], slip_rear)
        )

        # Mix of the models by the speed of the centre of gravity, whichever way it goes.
        speed = math.hypot(along, across)
        dynamic = min(max((speed - KINEMATIC) / (DYNAMIC - KINEMATIC), 0.0), 1.0)
        kinematic_yaw = along * math.tan(steer) / car.wheelbase_m
        leftwards = ahead.side * cos + ahead.drive * sin
        turn = dynamic * (front * leftwards - rear * behind.side) / car.yaw_inertia
        turn += (1.0 - dynamic) * (kinematic_yaw - yaw) / FOLLOWING
        sideways = dynamic * ((leftwards + behind.side) / car.mass_kg - along * yaw)
        sideways += (1.0 - dynamic) * (kinematic_yaw * rear - across) / FOLLOWING

        force = ahead.drive * cos + behind.drive - weight * math.tan(slope)
        force -= math.copysign(air_drag(car, along), along) + dynamic * ahead.side * sin
        hold = ahead.hold + behind.hold + rolling(car)
        forwards = along + dt * (force / car.mass_kg + dynamic * yaw * across)
        self._along = _held(forwards, dt * hold / car.mass_kg)
        self._across = across + dt * sideways
        self.yaw_rate_rps = yaw + dt * turn
        self._move(dt, (self._along - along) / dt, (self._across - across) / dt)
        self.gear = gear(car, self._along, control.reverse)

    def _loads(self, weight: float) -> tuple[float, float]:
        """Return newtons on the front and the rear axle: pulling and braking move some."""
        car = self.parameters
        braking = self._brake * (1.0 if self._along > 0.0 else -1.0 if self._along < 0.0 else 0.0)
        most = car.friction * GRAVITY
        pull = _within((self._drive - braking) / car.mass_kg, most)
        moved = car.mass_kg * pull * car.centre_height_m / car.wheelbase_m
        on_front = min(max(weight * car.front_load - moved, 0.0), weight)
        return on_front, weight - on_front

    def _asked(self, dt: float, slope: float) -> Control:
        if self.ackermann is None:
            return self.control
        grade = math.tan(slope)
        return self._pedals.control(self.parameters, self.ackermann, self._along, grade, dt)

    def _steer(self, control: Control, dt: float) -> None:
        """Turn the wheels towards what is asked for, no faster than they can."""
        goal = -bounded(control.steer, -1.0, 1.0) * self.parameters.max_steer_rad
        rate = self.parameters.steer_rate_rps
        if self.ackermann is not None and self.ackermann.steer_speed:
            rate = min(rate, abs(bounded(self.ackermann.steer_speed, -rate, rate)))
        self.steer_rad += _within(goal - self.steer_rad, rate * dt)

    def _answer(self, control: Control, dt: float) -> None:
        """Let engine and brakes follow the pedals, each with its lag."""
        car = self.parameters
        throttle = bounded(control.throttle, 0.0, 1.0)
        brake = bounded(control.brake, 0.0, 1.0)
        drive = drive_force(car, throttle, self._along, bool(control.reverse))
        pressure = brake * car.brake_mps2 * car.mass_kg
        self._drive += (drive - self._drive) * (1.0 - math.exp(-dt / car.engine_lag_s))
        self._brake += (pressure - self._brake) * (1.0 - math.exp(-dt / car.brake_lag_s))

    def _move(self, dt: float, forwards: float, leftwards: float) -> None:
        """Go on by the new velocity, along the heading halfway through the substep."""
        yaw = self.yaw_rate_rps
        heading = self.heading_rad + 0.5 * dt * yaw
        across = self._across - yaw * self._centre_ahead
        vx, vy = _turned(self._along, across, heading)
        self.x_m += dt * vx
        self.y_m += dt * vy
        self.heading_rad += dt * yaw
        self._acceleration = _turned(
            forwards - yaw * self._across, leftwards + yaw * self._along, heading
        )


def _within(value: float, most: float) -> float:
    return min(max(value, -most), most)


def _held(speed: float, most: float) -> float:
    """Return a speed that friction has taken up to ``most`` from: it stops at 0."""
    left = max(abs(speed) - most, 0.0)
    return math.copysign(left, speed) if left else 0.0


def _turned(x: float, y: float, angle: float) -> tuple[float, float]:
    cos, sin = math.cos(angle), math.sin(angle)
    return x * cos - y * sin, x * sin + y * cos
