"""The weather as CARLA describes it: fourteen numbers, all of `carla.WeatherParameters`.

    Weather()                                            # a fine noon
    Weather(sun_altitude_angle=-90.0)                    # night
    Weather(precipitation=80.0, precipitation_deposits=60.0, wetness=100.0, cloudiness=100.0)

Names, units and ranges are those of CARLA 0.9.16's Python API.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weather:
    """Shares are 0..100, angles degrees, distances metres.

    The sun's azimuth runs as yaw does in CARLA: 0 along x, clockwise seen from above. What has no
    counterpart here (the wind, and how light scatters) is accepted and changes nothing.
    """

    cloudiness: float = 0.0
    precipitation: float = 0.0
    precipitation_deposits: float = 0.0
    """Puddles on the road."""
    wind_intensity: float = 0.0
    sun_azimuth_angle: float = 30.0
    sun_altitude_angle: float = 45.0
    """-90 midnight, 90 the sun overhead; below 0 lamps and headlights are on."""
    fog_density: float = 0.0
    fog_distance: float = 0.0
    """Metres from the camera at which fog begins."""
    fog_falloff: float = 0.0
    wetness: float = 0.0
    """A film of water on the road."""
    scattering_intensity: float = 0.0
    mie_scattering_scale: float = 0.0
    rayleigh_scattering_scale: float = 0.0331
    dust_storm: float = 0.0
