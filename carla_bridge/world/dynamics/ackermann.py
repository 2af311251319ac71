"""From CARLA's Ackermann target (a wheel angle and a speed) to pedals and wheel.

    pedals = AckermannDriver()
    control = pedals.control(parameters, target, speed_mps=4.0, acceleration_mps2=0.2, dt_s=0.005)

CARLA's server runs two PID loops for this; here the car's own resistance and drive are known, so
the wanted acceleration turns into pedals directly. Limits where none are asked for: CARLA's
`FAckermannController` (3 m/s^2 to gain speed, 8 m/s^2 to lose it).
"""

from __future__ import annotations

from carla_bridge.world.dynamics.control import Ackermann, Control, bounded
from carla_bridge.world.dynamics.parameters import Parameters
from carla_bridge.world.dynamics.powertrain import drive_force, resistance

MOST_GAIN = 3.0
MOST_LOSS = 8.0
"""m/s^2."""
SPEED_TIME = 0.4
"""Seconds in which a small difference of speed is to go: twice an engine's lag."""
STANDING = 0.1
"""m/s below which a car that is to stand is held by its brake, and may change direction."""
FASTEST = 150.0


class AckermannDriver:
    """Holds what a limited jerk needs to know: the acceleration asked for last."""

    def __init__(self) -> None:
        self._asked = 0.0

    def control(
        self, parameters: Parameters, target: Ackermann, speed: float, grade: float, dt: float
    ) -> Control:
        """Return pedals for a car at ``speed`` (m/s) on a slope (``grade``, rise over run)."""
        goal = bounded(target.speed, -FASTEST, FASTEST)
        steer = bounded(target.steer, -1.5, 1.5) / parameters.max_steer_rad
        steer = bounded(steer, -1.0, 1.0)
        backwards = goal < 0.0
        if abs(speed) > STANDING and (speed < 0.0) != backwards:
            goal, backwards = 0.0, speed < 0.0  # first stop, then turn round
        if goal == 0.0 and abs(speed) <= STANDING:
            self._asked = 0.0
            return Control(0.0, steer, 1.0, reverse=backwards)
        sign = -1.0 if backwards else 1.0
        wanted = sign * (goal - speed) / SPEED_TIME
        limit = abs(bounded(target.acceleration, -50.0, 50.0))
        wanted = min(max(wanted, -(limit or MOST_LOSS)), limit or MOST_GAIN)
        jerk = abs(bounded(target.jerk, -1e3, 1e3))
        if jerk:
            wanted = min(max(wanted, self._asked - jerk * dt), self._asked + jerk * dt)
        self._asked = wanted
        force = parameters.mass_kg * (wanted + sign * 9.81 * bounded(grade, -1.0, 1.0))
        force += resistance(parameters, speed)
        if force >= 0.0:
            most = abs(drive_force(parameters, 1.0, speed, backwards))
            return Control(min(force / max(most, 1.0), 1.0), steer, 0.0, reverse=backwards)
        brake = -force / (parameters.mass_kg * parameters.brake_mps2)
        return Control(0.0, steer, min(brake, 1.0), reverse=backwards)
