"""How the world looks in a given weather at a given height of the sun.

    look = look_of(Weather(sun_altitude_angle=15.0), surfaces(seed=0))

The same weather always looks the same: nothing is drawn at random. Light is relative, as in
`scene.look`: an overcast sky gives flat ground about 0.7, the sun at noon some 2 more.

Sources: air mass by Kasten and Young (1989); optical depth of clean air by Bucholtz (1995);
light under clouds by Kasten and Czeplak (1980); visibility and extinction by Koschmieder (1924).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carla_bridge.world.randomization import Dice, DomainRandomization
from carla_bridge.world.scene.look import Look
from carla_bridge.world.scene.surfaces import SOILS, sample_surfaces
from carla_bridge.world.studio.weather import Weather

Vector = npt.NDArray[np.float64]

SUN = 3.0
"""The sun's light above the air."""
DEPTH = np.array([0.041, 0.097, 0.235]) + 0.06
"""Optical depth of the air straight up for red, green and blue: its molecules, and some haze."""
SKY, BLUE = 0.62, np.array([0.82, 0.93, 1.0])
"""Light of a clear sky on flat ground, and its colour."""
DUSK = 12.0
"""Degrees above the horizon at which the sky's light begins to fade."""
HORIZON_SHARE = 0.6
"""Share of the sky's light that is left as the sun sets."""
TWILIGHT = 2.2
"""Degrees below the horizon in which the sky's light falls to 1/e."""
MOON, GLOW = np.array([0.8, 0.9, 1.0]) * 0.012, np.array([0.95, 0.92, 1.0]) * 0.02
"""What is left by night: of the moon, and of the sky over towns."""
MOON_AT = np.array([0.45, 0.45, 0.77])
LARGEST_EXPOSURE = 2.4
"""By night headlights on asphalt 15 m ahead come out as mid grey."""
BEAM, LAMP = np.array([1.0, 0.95, 0.85]) * 60.0, np.array([1.0, 0.9, 0.75]) * 0.6
"""Light of low beams, and of street lamps."""
CLEAR_AIR = 0.0005
"""Extinction per metre on a clear day; to 0.05 of the contrast it is 3 / extinction metres."""
DENSE_FOG = 0.05
"""Extinction at a fog density of 100."""
RAIN_AIR, DUST_AIR = 0.004, 0.02
"""Extinction that the heaviest rain and the densest dust add."""
DUST = np.array([1.0, 0.82, 0.6])
NEUTRAL = DomainRandomization(
    asphalt=0.35, cracks=0.5, patches=0.0, tar=0.4, marking_wear=0.3, puddles=0.0
)
"""Strengths of what a map's seed chooses about its surfaces."""


def surfaces(seed: int) -> dict[str, Vector]:
    """Return a map's asphalt, pavements and verges: ordinary ones, chosen by its seed."""
    dice = Dice(NEUTRAL, seed, 0)
    rng = np.random.default_rng([seed, 1])
    drawn = sample_surfaces(dice)
    grey = float(rng.uniform(0.2, 0.28))
    return {
        **drawn,
        "verge": SOILS[0] * float(rng.uniform(0.8, 1.2)),
        "vergeOther": SOILS[1] * float(rng.uniform(0.8, 1.2)),
        "pavement": np.array([1.02, 1.0, 0.97]) * grey,
    }


def look_of(weather: Weather, surface: dict[str, Vector]) -> Look:
    """Return how the world looks; below a sun of 0 degrees it is night, with lamps."""
    altitude = float(np.clip(weather.sun_altitude_angle, -90.0, 90.0))
    clouds = _share(weather.cloudiness)
    rain = _share(weather.precipitation)
    night = altitude < 0.0
    sun = MOON_AT if night else _towards(altitude, weather.sun_azimuth_angle)
    sky_light = _sky_light(altitude, clouds)
    sun_light = MOON * (1.0 - clouds) if night else _sun_light(altitude, clouds)
    level = float(np.mean(sky_light))
    zenith, horizon, haze = _dome(altitude, clouds, sky_light, _share(weather.dust_storm))
    film, puddles = _water(weather)
    direct = float(np.mean(sun_light)) > 0.05
    inputs: dict[str, Vector] = {
        **surface,
        "sun": sun,
        "sunLight": sun_light,
        "skyLight": sky_light,
        "wet": np.array([film, puddles]),
        "zenith": zenith,
        "horizon": horizon,
        "hazeColour": haze,
        "far": SOILS[0] * level * 0.5 + haze * 0.3,
        "skyline": np.array([0.05, 0.4, 0.0, 0.3]),
        "cloud": np.array([clouds * 1.1 - 0.1, 0.2, float(np.mean(horizon)) * 1.15, 1.0]),
        "glare": np.array([0.25]),
        "shadowStrength": np.array([0.9 * direct]),
        "air": np.array([_extinction(weather, rain), _exposure(sun_light, sky_light, sun), 0.0]),
        "beamLight": BEAM * night,
        "lampLight": LAMP * night,
    }
    switches = {"NIGHT": night, "WET": film + puddles > 0.0}
    return Look(
        {name: tuple(map(float, value)) for name, value in inputs.items()},
        sun,
        frozenset(name for name, on in switches.items() if on),
        rain,
        float(night),
    )


def _share(percent: float) -> float:
    return float(np.clip(percent, 0.0, 100.0)) / 100.0


def _towards(altitude: float, azimuth: float) -> Vector:
    """Return the unit vector to the sun in map coordinates."""
    up, around = np.radians(altitude), -np.radians(azimuth)
    flat = np.cos(up)
    return np.array([flat * np.cos(around), flat * np.sin(around), np.sin(up)])


def _sun_light(altitude: float, clouds: float) -> Vector:
    """Return the sun's light through air and clouds, red where it stands low."""
    air_mass = 1.0 / (np.sin(np.radians(altitude)) + 0.50572 * (altitude + 6.07995) ** -1.6364)
    return np.asarray(SUN * (1.0 - clouds) * np.exp(-DEPTH * air_mass))


def _sky_light(altitude: float, clouds: float) -> Vector:
    """Return the sky's light on flat ground, blue where it is clear."""
    risen = float(np.clip(altitude / DUSK, 0.0, 1.0))
    level = HORIZON_SHARE + (1.0 - HORIZON_SHARE) * risen
    level *= float(np.exp(min(altitude, 0.0) / TWILIGHT)) * (1.0 - 0.25 * clouds**3.4)
    colour = BLUE + (1.0 - BLUE) * clouds
    return np.asarray(SKY * level * colour * (1.0 + 0.35 * clouds) + GLOW)


def _dome(
    altitude: float, clouds: float, light: Vector, dust: float
) -> tuple[Vector, Vector, Vector]:
    """Return the colours of the zenith, of the horizon, and of what is far away in haze."""
    level = float(np.mean(light))
    low = float(np.clip(1.0 - abs(altitude) / DUSK, 0.0, 1.0)) * (1.0 - clouds)
    clear_zenith = np.array([0.3, 0.62, 1.4]) * level
    clear_horizon = np.array([1.55, 1.75, 2.0]) * level * (1.0 - 0.4 * low)
    warm = np.array([1.25, 0.9, 0.6]) * level
    grey = np.array([0.95, 0.98, 1.02]) * level
    zenith = clear_zenith + (grey - clear_zenith) * clouds
    horizon = clear_horizon + (grey * 1.2 - clear_horizon) * clouds
    horizon = horizon + (warm - horizon) * low
    haze = horizon * 0.65
    tinted = DUST * level
    parts = (zenith, horizon, haze)
    return tuple(part + (tinted - part) * dust for part in parts)  # type: ignore[return-value]


def _water(weather: Weather) -> tuple[float, float]:
    """Return the film of water on the road and the share of puddles, 0..1."""
    deposits = _share(weather.precipitation_deposits)
    rain = _share(weather.precipitation)
    film = max(_share(weather.wetness), 0.7 * deposits, 0.6 * rain)
    return film, 0.6 * deposits


def _extinction(weather: Weather, rain: float) -> float:
    """Return the air's extinction per metre.

    The renderer's fog has no beginning: one that begins at a distance is as thin as what lets a
    thing just as much light through where that fog lets 1/e.
    """
    fog = DENSE_FOG * _share(weather.fog_density) ** 1.5
    if fog > 0.0:
        fog = 1.0 / (1.0 / fog + max(weather.fog_distance, 0.0))
    return CLEAR_AIR + float(fog) + RAIN_AIR * rain + DUST_AIR * _share(weather.dust_storm)


def _exposure(sun_light: Vector, sky_light: Vector, sun: Vector) -> float:
    """Return the gain that an automatic exposure would choose: mid grey where it belongs."""
    brightness = np.mean(sky_light) + np.mean(sun_light) * sun[2]
    return float(min(1.25 / brightness, LARGEST_EXPOSURE))
