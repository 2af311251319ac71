"""How a frame looks: the hour, the weather, and every surface's colour, drawn at random.

    look = sample_look(Dice(DomainRandomization(), 1, 0))
    look.inputs["asphalt"]   # shader inputs by name
    look.rain, look.darkness

Wide on purpose: a network that has seen every asphalt from bright concrete to near
black takes a real one for just another (domain randomisation, Tobin et al., IROS 2017).
Colours are linear reflectances; 0.04 is fresh asphalt, 0.35 worn concrete. Light is
relative: an overcast sky gives flat ground about 0.7, the sun at noon 2 more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.world.randomization import Dice
from carla_bridge.world.scene.surfaces import sample_surfaces, soil

Vector = npt.NDArray[np.float64]

NIGHT, RAIN, FOG = 0.1, 0.1, 0.06
"""Share of frames by night, in rain, in fog, at strength 1."""


@dataclass(frozen=True)
class Look:
    """Shader inputs by name; ``sun`` is a unit vector towards it (or the moon).

    ``switches`` are the shaders' (NIGHT, WET, DAPPLE); ``rain`` and ``darkness`` are 0..1.
    """

    inputs: dict[str, tuple[float, ...]]
    sun: Vector
    switches: frozenset[str]
    rain: float
    darkness: float


@dataclass(frozen=True)
class _Light:
    """What falls on flat ground: from the sun and from the sky, RGB."""

    sun: Vector
    sun_light: Vector
    sky_light: Vector
    sky: str


def sample_look(dice: Dice) -> Look:
    """Draw the hour, the weather, and the colours of all surfaces."""
    night = dice.happens("night", NIGHT)
    raining = dice.happens("rain", RAIN)
    rain = float(dice.stream("rain").uniform(0.15, 1.0)) * raining
    light = _sample_light(dice, night, raining)
    wet = _wetness(dice, rain)
    inputs = {
        "sun": light.sun,
        "sunLight": light.sun_light,
        "skyLight": light.sky_light,
        "wet": np.array(wet),
        **_sky(dice, light, night),
        **sample_surfaces(dice),
    }
    inputs["glare"] = np.array(
        [float(dice.stream("glare").exponential(0.35)) * dice.strength("glare")]
    )
    direct = float(np.mean(light.sun_light)) > 0.05
    shadow = dice.uniform("shadows", 0.6, 1.0, neutral=0.0) * direct
    dappled = dice.happens("shadows", 0.3) and direct
    dapple = float(dice.stream("shadows").uniform(0.3, 0.95)) * dappled
    inputs["shadowStrength"] = np.array([shadow])
    inputs["air"] = np.array([_haze(dice, rain), _exposure(light, night), dapple])
    inputs["beamLight"] = np.array([1.0, 0.95, 0.85]) * float(
        dice.stream("night").uniform(35.0, 90.0) * night
    )
    inputs["lampLight"] = np.array([1.0, *_lamp_tint(dice)]) * float(
        dice.stream("night").uniform(0.2, 1.0) * night
    )
    switches = {"NIGHT": night, "WET": wet[0] + wet[1] > 0, "DAPPLE": dappled}
    return Look(
        {name: tuple(map(float, value)) for name, value in inputs.items()},
        light.sun,
        frozenset(name for name, on in switches.items() if on),
        rain,
        float(night) if night else float(light.sky == "dusk") * 0.4,
    )


def _lamp_tint(dice: Dice) -> tuple[float, float]:
    """Return green and blue of street lamps: white LED, or orange as sodium lamps are."""
    orange = float(dice.stream("night").random() < 0.4)
    return 0.95 - 0.35 * orange, 0.85 - 0.6 * orange


def _sample_light(dice: Dice, night: bool, raining: bool) -> _Light:
    sky_rng, sun_rng = dice.stream("sky"), dice.stream("sun")
    sky = str(sky_rng.choice(["sun", "veiled", "overcast", "dusk"], p=[0.5, 0.2, 0.2, 0.1]))
    if sky_rng.random() >= dice.strength("sky"):
        sky = "sun"
    if raining and sky != "dusk":
        sky = "overcast"
    direct = {"sun": 1.0, "veiled": 0.45, "overcast": 0.0, "dusk": 0.12}[sky]
    elevation = dice.uniform("sun", 0.15, 1.2)
    azimuth = dice.uniform("sun", -np.pi, np.pi, neutral=1.0)
    sun = np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )
    warmth = np.clip(1.3 - elevation, 0.0, 1.0) * float(sun_rng.uniform(0.0, 0.5))
    power = dice.uniform("sun", 1.3, 2.8)
    sun_light = direct * power * np.array([1.0, 1 - 0.3 * warmth, 1 - warmth])
    blue = float(sky_rng.uniform(0.0, 0.35))
    if sky == "overcast":
        blue = 0.4 * blue - 0.04
    sky_light = dice.uniform("sky", 0.45, 0.95) * np.array([1.0 - blue, 1.0 - 0.4 * blue, 1.0])
    if sky == "dusk":
        sky_light *= 0.6
    night_rng = dice.stream("night")
    moon, glow = float(night_rng.uniform(0.0, 0.03)), float(night_rng.uniform(0.004, 0.05))
    if night:
        sun_light = moon * np.array([0.8, 0.9, 1.0])
        sky_light = glow * np.array([0.9, 0.9, 1.0])
    return _Light(sun, sun_light, sky_light, "night" if night else sky)


def _wetness(dice: Dice, rain: float) -> tuple[float, float]:
    """Return the film of water on the road and the share of puddles, 0..1."""
    rng = dice.stream("puddles")
    after_rain = dice.happens("puddles", 0.07)
    film, share = float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.1, 0.5))
    if not (after_rain or rain > 0.0):
        return 0.0, 0.0
    return max(film * after_rain, min(1.0, 0.4 + rain)), share * min(dice.strength("puddles"), 1.0)


def _haze(dice: Dice, rain: float) -> float:
    """Return the extinction of the air per metre: contrast falls to 1/e in 1 / it metres."""
    clear = float(dice.stream("sky").exponential(0.0018)) * min(dice.strength("sky"), 1.0) + 0.0003
    fog = float(np.exp(dice.stream("fog").uniform(np.log(0.006), np.log(0.04))))
    return clear + fog * dice.happens("fog", FOG) + 0.006 * rain


def _exposure(light: _Light, night: bool) -> float:
    """Return the gain that an automatic exposure would choose: mid grey where it belongs."""
    if night:
        return 2.4  # headlights on asphalt 15 m ahead come out as mid grey
    brightness = float(np.mean(light.sky_light) + np.mean(light.sun_light) * light.sun[2])
    return 1.25 / max(brightness, 0.2)


def _sky(dice: Dice, light: _Light, night: bool) -> dict[str, Vector]:
    """Draw the sky and the far horizon."""
    rng = dice.stream("sky")
    level = float(np.mean(light.sky_light))
    clear = light.sky in ("sun", "veiled")
    dim, bright = rng.uniform([0.5, 0.6], [1.6, 1.8])
    cover_clear, cover_grey = rng.uniform([-0.1, 0.3], [0.6, 0.9])
    if clear:
        zenith, horizon = np.array([0.16, 0.34, 0.8]) * dim, np.array([0.75, 0.87, 1.0]) * bright
    else:
        zenith = np.array([0.8, 0.85, 0.92]) * level * dim
        horizon = np.array([0.95, 0.97, 1.0]) * level * (bright - 0.1)
    if night:  # the glow of towns over the horizon
        horizon = horizon * np.array([1.15, 1.0, 0.85])
    haze = horizon * float(rng.uniform(0.5, 0.9))
    blend = float(rng.uniform(0.0, 0.85))
    far = (soil(rng) * level * (1.0 - blend) + haze * 0.5 * blend) * float(rng.uniform(0.4, 1.2))
    height = float(rng.choice([0.03, 0.08, 0.16, 0.35])) * float(rng.uniform(0.5, 1.3))
    skyline = [height, rng.uniform(0.0, 0.8), float(rng.random() < 0.3), rng.uniform(0.0, 1.0)]
    brightness = float(np.mean(horizon)) * float(rng.uniform(0.6, 1.5))
    softness, scale = rng.uniform([0.08, 0.4], [0.4, 2.0])
    return {
        "zenith": zenith,
        "horizon": horizon,
        "hazeColour": haze,
        "far": far,
        "skyline": np.array(skyline),
        "cloud": np.array([cover_clear if clear else cover_grey, softness, brightness, scale]),
    }
