"""The inertial unit: acceleration with gravity, turn rates, and a compass.

    unit.measure(moment)         # the payload: m/s2, rad/s, rad

Axes are the sensor's own. At rest on a level road it reads (0, 0, 9.81), as a real accelerometer
does, and CARLA's. The compass is 0 to the north, which is -y, and grows clockwise: a car at yaw 0
faces east and reads pi/2 (CARLA's docs, "IMU sensor"). The acceleration is that of the car's
middle, wherever on the car the unit is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import msgpack
import numpy as np

from carla_bridge.world.server.poses import rotation, turned_back
from carla_bridge.world.server.sensors.sensor import Sensor
from carla_bridge.world.server.world_message import Moment, sensor_header

IMU = 5
GRAVITY_MPS2 = 9.81


@dataclass(eq=False)
class Imu(Sensor):
    """Accelerometer, gyroscope and compass; noise is normal and seeded by ``noise_seed``."""

    _spread: list[float] = field(init=False)
    _bias: list[float] = field(init=False)
    _dice: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._spread = [abs(self.number(f"noise_accel_stddev_{axis}")) for axis in "xyz"]
        self._spread += [abs(self.number(f"noise_gyro_stddev_{axis}")) for axis in "xyz"]
        self._bias = [0.0] * 3 + [self.number(f"noise_gyro_bias_{axis}") for axis in "xyz"]
        self._dice = np.random.default_rng(abs(self.whole("noise_seed")))

    def measure(self, moment: Moment) -> bytes:
        """Return the payload of one measurement."""
        pose = self.pose
        matrix = rotation(pose)
        x, y, z = self.acceleration
        rates = self.turning
        exact = [
            *turned_back(matrix, (x, y, z + GRAVITY_MPS2)),
            *turned_back(
                matrix, (math.radians(rates[0]), math.radians(rates[1]), math.radians(rates[2]))
            ),
        ]
        noise = self._dice.normal(self._bias, self._spread)
        values = [value + float(error) for value, error in zip(exact, noise, strict=True)]
        body = [values[:3], values[3:], compass(pose.yaw)]
        return sensor_header(IMU, moment, pose) + bytes(msgpack.packb(body))


def compass(yaw_deg: float) -> float:
    """Return radians clockwise from north, 0 to 2 pi, for a yaw in CARLA's degrees."""
    return math.radians(yaw_deg + 90.0) % math.tau
