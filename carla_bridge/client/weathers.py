"""Weather and hour by name, as the fields of `carla.WeatherParameters`.

    WEATHERS["rain-sunset"]["sun_altitude_angle"]     # 8.0
    light(WEATHERS["night"])                          # "night"
    carla.WeatherParameters(**WEATHERS["fog"])

Every sky comes at every hour: "clear-noon", "rain-night" ...; a sky alone is that sky at noon, an
hour alone is a clear one. Cloudiness, rain and puddles are those of CARLA's own presets
(`carla.WeatherParameters.ClearNoon`, `MidRainyNoon`, `HardRainNoon`); fog has no preset there.
Fields: CARLA's docs, Python API, "carla.WeatherParameters".
"""

from __future__ import annotations

from typing import Literal

from edge_seg.errors import EdgeSegError, closest

Weather = dict[str, float]
Light = Literal["day", "low-sun", "night"]

SKIES: dict[str, Weather] = {
    "clear": {"cloudiness": 5.0, "wind_intensity": 10.0, "fog_density": 2.0},
    "cloudy": {"cloudiness": 60.0, "wind_intensity": 10.0, "fog_density": 3.0},
    "rain": {
        "cloudiness": 60.0,
        "precipitation": 60.0,
        "precipitation_deposits": 60.0,
        "wind_intensity": 60.0,
        "fog_density": 3.0,
        "wetness": 60.0,
    },
    "hard-rain": {
        "cloudiness": 100.0,
        "precipitation": 100.0,
        "precipitation_deposits": 90.0,
        "wind_intensity": 100.0,
        "fog_density": 7.0,
        "wetness": 100.0,
    },
    "fog": {"cloudiness": 80.0, "wind_intensity": 5.0, "fog_density": 45.0, "wetness": 20.0},
}

HOURS: dict[str, Weather] = {
    "noon": {"sun_altitude_angle": 55.0, "sun_azimuth_angle": 220.0},
    "sunset": {"sun_altitude_angle": 8.0, "sun_azimuth_angle": 265.0},
    "night": {"sun_altitude_angle": -30.0, "sun_azimuth_angle": 320.0},
}

DRY: Weather = {
    "precipitation": 0.0,
    "precipitation_deposits": 0.0,
    "fog_distance": 0.75,
    "fog_falloff": 0.1,
    "wetness": 0.0,
}
"""What no sky above says, as CARLA's presets have it."""

LOW_SUN_DEG = 15.0
"""CARLA's presets for sunset have the sun this high."""

GRID: tuple[str, ...] = tuple(f"{sky}-{hour}" for hour in HOURS for sky in SKIES)
"""The names of all skies at all hours."""


def _weathers() -> dict[str, Weather]:
    grid = {
        f"{sky}-{hour}": {**DRY, **SKIES[sky], **HOURS[hour]} for hour in HOURS for sky in SKIES
    }
    skies = {sky: grid[f"{sky}-noon"] for sky in SKIES}
    hours = {hour: grid[f"clear-{hour}"] for hour in HOURS}
    return {**grid, **skies, **hours}


WEATHERS: dict[str, Weather] = _weathers()
"""Fields of `carla.WeatherParameters` by name."""


def find(name: str) -> Weather:
    """Return a weather's fields by its name, or raise `EdgeSegError` with the closest one."""
    if name not in WEATHERS:
        raise EdgeSegError(f"no weather '{name}': {closest(name, WEATHERS)}")
    return WEATHERS[name]


def light(weather: Weather) -> Light:
    """Return what light a camera has: by day, under a low sun, or at night."""
    altitude_deg = weather["sun_altitude_angle"]
    if altitude_deg < 0.0:
        return "night"
    return "low-sun" if altitude_deg <= LOW_SUN_DEG else "day"
