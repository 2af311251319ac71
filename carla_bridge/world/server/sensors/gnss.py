"""The satellite receiver: where it is on Earth, by the map's own projection.

    receiver.fix(moment, carla_map)    # the payload: latitude, longitude (degrees), height (m)

The projection is CARLA's (`carla.Map.transform_to_geolocation`, which reads the map's
geoReference), so a client that projects with its own map gets the same place. Noise is normal,
seeded by the attribute ``noise_seed``, and zero unless the attributes ask for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import carla
import msgpack
import numpy as np

from carla_bridge.world.server.sensors.sensor import Sensor
from carla_bridge.world.server.world_message import Moment, sensor_header

GNSS = 4
AXES = ("lat", "lon", "alt")


@dataclass(eq=False)
class Gnss(Sensor):
    """Latitude, longitude, altitude."""

    _bias: list[float] = field(init=False)
    _spread: list[float] = field(init=False)
    _dice: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._bias = [self.number(f"noise_{axis}_bias") for axis in AXES]
        self._spread = [abs(self.number(f"noise_{axis}_stddev")) for axis in AXES]
        self._dice = np.random.default_rng(abs(self.whole("noise_seed")))

    def fix(self, moment: Moment, carla_map: Any) -> bytes:
        """Return the payload of one fix."""
        pose = self.pose
        place = carla_map.transform_to_geolocation(carla.Location(pose.x, pose.y, pose.z))
        exact = (place.latitude, place.longitude, place.altitude)
        noise = self._dice.normal(self._bias, self._spread)
        fix = [value + float(error) for value, error in zip(exact, noise, strict=True)]
        return sensor_header(GNSS, moment, pose) + bytes(msgpack.packb(fix))
