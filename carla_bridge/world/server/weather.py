"""Weather on the wire: the numbers of CARLA's WeatherParameters, in their order.

    weather = read_weather([15.0, 0.0, 0.0, 10.0, 30.0, 45.0])     # the rest keeps its default
    write_weather(weather)                                         # all 14

Shares are brought into 0..100 as CARLA's own server does.
"""

from __future__ import annotations

from dataclasses import astuple, fields
from typing import Any

from carla_bridge.world.server.arguments import members, number
from carla_bridge.world.studio import Weather

SHARES = frozenset(
    {
        "cloudiness",
        "precipitation",
        "precipitation_deposits",
        "wind_intensity",
        "fog_density",
        "wetness",
        "dust_storm",
    }
)


def read_weather(wire: Any) -> Weather:
    """Return the weather that a client sent."""
    given = {
        field.name: number(value, field.name)
        for field, value in zip(fields(Weather), members(wire, "weather", 1), strict=False)
    }
    for name in SHARES & given.keys():
        given[name] = max(0.0, min(100.0, given[name]))
    if "sun_altitude_angle" in given:
        given["sun_altitude_angle"] = max(-90.0, min(90.0, given["sun_altitude_angle"]))
    return Weather(**given)


def write_weather(weather: Weather) -> list[float]:
    """Return the weather as the list that `read_weather` reads."""
    return [float(value) for value in astuple(weather)]
