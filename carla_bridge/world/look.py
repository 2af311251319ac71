"""How a frame looks: light, colours, weather and camera, drawn at random from wide ranges.

    look = sample_look(np.random.default_rng(1))
    look.inputs["asphalt"]   # shader inputs by name

Wide on purpose: a network that has seen every asphalt from bright concrete to near
black takes a real one for just another (domain randomisation, Tobin et al., IROS 2017).
Colours are linear reflectances; 0.04 is fresh asphalt, 0.35 worn concrete.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

SOILS = np.array(
    [
        [0.10, 0.17, 0.04],
        [0.16, 0.19, 0.06],
        [0.36, 0.29, 0.16],
        [0.30, 0.24, 0.15],
        [0.22, 0.21, 0.19],
        [0.07, 0.10, 0.03],
        [0.42, 0.37, 0.24],
        [0.13, 0.10, 0.07],
    ]
)
"""Grass, meadow, dry grass, sand, gravel, wood, pale sand, earth."""


@dataclass(frozen=True)
class Look:
    """Shader inputs by name, and the sun's direction (unit, towards it)."""

    inputs: dict[str, tuple[float, ...]]
    sun: Vector


@dataclass(frozen=True)
class Pose:
    """A camera on a lane: metres from the lane's middle and ground, degrees, field across."""

    aside: float
    height: float
    yaw: float
    pitch: float
    roll: float
    field: float


def sample_pose(rng: np.random.Generator) -> Pose:
    """Draw a camera as cars carry it: behind a windscreen or on the roof, roughly forward."""
    field = float(rng.uniform(42.0, 90.0))
    return Pose(
        aside=float(rng.normal(0.0, 0.45)),
        height=float(np.clip(rng.normal(1.42, 0.25), 0.9, 2.6)),
        yaw=float(rng.normal(0.0, 4.0)),
        # The horizon lies from a third to two thirds down the frame.
        pitch=float(np.clip(rng.normal(-0.02, 0.075), -0.2, 0.15)) * field,
        roll=float(rng.normal(0.0, 1.0)),
        field=field,
    )


def sample_look(rng: np.random.Generator) -> Look:
    """Draw a look: one of sun, veiled sun, overcast or dusk, and every surface's colour."""
    sky = str(rng.choice(["sun", "veiled", "overcast", "dusk"], p=[0.42, 0.2, 0.28, 0.1]))
    direct = {"sun": 1.0, "veiled": 0.45, "overcast": 0.0, "dusk": 0.12}[sky]
    elevation = float(rng.uniform(0.15, 1.2))
    azimuth = float(rng.uniform(-np.pi, np.pi))
    sun = np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )
    warmth = np.clip(1.3 - elevation, 0.0, 1.0) * float(rng.uniform(0.0, 0.5))
    sun_light = (
        direct * float(rng.uniform(1.3, 2.8)) * np.array([1.0, 1 - 0.3 * warmth, 1 - warmth])
    )
    blue = float(rng.uniform(0.0, 0.35)) if sky != "overcast" else float(rng.uniform(-0.08, 0.15))
    sky_light = float(rng.uniform(0.45, 0.95)) * np.array([1.0 - blue, 1.0 - 0.4 * blue, 1.0])
    if sky == "dusk":
        sky_light *= 0.6
    inputs = {
        "sun": sun,
        "sunLight": sun_light,
        "skyLight": sky_light,
        **_sky(rng, sky, sky_light),
        **_surfaces(rng),
    }
    shadow = float(rng.uniform(0.6, 1.0)) if direct > 0 else 0.0
    inputs["shadowStrength"] = np.array([shadow])
    dapple = float(rng.uniform(0.3, 0.95)) if direct > 0 and rng.random() < 0.4 else 0.0
    brightness = float(np.mean(sky_light) + np.mean(sun_light) * sun[2])
    # Exposure as a camera's automatic would choose it, give or take a stop.
    exposure = float(2.0 ** rng.normal(0.25, 0.45)) / max(brightness, 0.2) * 1.15
    haze = float(rng.exponential(0.0022)) + 0.0003
    gamma = float(rng.uniform(0.4, 0.62))
    inputs["camera"] = np.array([exposure, gamma, haze, dapple])
    inputs["whiteBalance"] = 1.0 + rng.uniform(-0.14, 0.14, 3)
    return Look({name: tuple(map(float, value)) for name, value in inputs.items()}, sun)


def _sky(rng: np.random.Generator, sky: str, light: Vector) -> dict[str, Vector]:
    """Draw the sky and the far horizon; ``light`` is what the sky gives the ground."""
    level = float(np.mean(light))
    if sky in ("sun", "veiled"):
        zenith = np.array([0.16, 0.34, 0.8]) * float(rng.uniform(0.5, 1.6))
        horizon = np.array([0.75, 0.87, 1.0]) * float(rng.uniform(0.6, 1.6))
        cover = float(rng.uniform(-0.1, 0.6))
    else:
        zenith = np.array([0.8, 0.85, 0.92]) * level * float(rng.uniform(0.5, 1.7))
        horizon = np.array([0.95, 0.97, 1.0]) * level * float(rng.uniform(0.8, 2.4))
        cover = float(rng.uniform(0.3, 0.9))
    haze = horizon * float(rng.uniform(0.5, 0.9))
    green = SOILS[int(rng.integers(len(SOILS)))]
    blend = float(rng.uniform(0.0, 0.85))
    return {
        "zenith": zenith,
        "horizon": horizon,
        "hazeColour": haze,
        "far": (green * level * (1.0 - blend) + haze * 0.5 * blend) * float(rng.uniform(0.4, 1.2)),
        "skyline": np.array(
            [
                float(rng.choice([0.03, 0.08, 0.16, 0.35])) * float(rng.uniform(0.5, 1.3)),
                float(rng.uniform(0.0, 0.8)),
                float(rng.random() < 0.3),
                float(rng.uniform(0.0, 1.0)),
            ]
        ),
        "cloud": np.array(
            [
                cover,
                float(rng.uniform(0.08, 0.4)),
                float(np.mean(horizon)) * float(rng.uniform(0.6, 1.5)),
                float(rng.uniform(0.4, 2.0)),
            ]
        ),
    }


def _surfaces(rng: np.random.Generator) -> dict[str, Vector]:
    """Draw the colours and wear of road, verge and pavement."""
    grey = float(np.exp(rng.uniform(np.log(0.035), np.log(0.36))))
    cast = 1.0 + rng.normal(0.0, 0.035, 3) + np.array([0.03, 0.0, -0.03]) * float(rng.normal())
    first, second = SOILS[rng.integers(len(SOILS), size=2)]
    if rng.random() < 0.25:  # a verge about as bright and grey as the road itself
        first = second = grey * float(rng.uniform(0.8, 1.3)) * np.array([1.03, 1.0, 0.93])
    pavement = float(np.exp(rng.uniform(np.log(0.07), np.log(0.4))))
    joints = float(rng.uniform(3.5, 9.0)) if rng.random() < (0.6 if grey > 0.18 else 0.1) else 0.0
    return {
        "asphalt": grey * cast,
        "grain": rng.uniform([0.1, 0.05, 0.1, 0.0], [0.9, 0.6, 0.9, 0.6]),
        "wear": np.array(
            [
                float(rng.uniform(-0.2, 0.5)),
                float(rng.choice([0.0, 0.05, 0.2])),
                joints,
                float(rng.uniform(0.0, 1.2)) * float(rng.random() < 0.5),
            ]
        ),
        "shoulder": np.full(3, float(rng.uniform(0.6, 1.4))),
        "glare": np.array([float(rng.exponential(0.35))]),
        "dirt": np.array([float(rng.uniform(0.0, 0.75))]),
        "verge": first * float(rng.uniform(0.6, 1.4)),
        "vergeOther": second * float(rng.uniform(0.6, 1.4)),
        "pavement": pavement * (1.0 + rng.normal(0.0, 0.05, 3)),
        "slab": np.array([rng.uniform(0.3, 1.5), rng.uniform(0.3, 1.5), rng.uniform(0.0, 0.8)]),
    }
