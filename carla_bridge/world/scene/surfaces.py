"""The colours and the wear of roads, verges and pavements.

    inputs = sample_surfaces(Dice(DomainRandomization(), 1, 0))
    inputs["asphalt"]   # linear reflectance, RGB

Each is a shader input of `shaders/road.frag` or `shaders/ground.frag`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carla_bridge.world.randomization import Dice

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

PLAIN_ASPHALT = 0.11
"""Reflectance of asphalt some years old; 0.035 is fresh, 0.36 is worn concrete."""


def soil(rng: np.random.Generator) -> Vector:
    """Return one of the soils, (3,)."""
    return np.asarray(SOILS[int(rng.integers(len(SOILS)))])


def sample_surfaces(dice: Dice) -> dict[str, Vector]:
    """Draw the shader inputs of road, paint, verge and pavement."""
    rng = dice.stream("asphalt")
    spread = min(dice.strength("asphalt"), 1.0)
    grey = PLAIN_ASPHALT * float(np.exp(rng.uniform(-1.2, 1.2)) ** spread)
    cast = 1.0 + spread * (
        rng.normal(0.0, 0.035, 3) + np.array([0.03, 0.0, -0.03]) * float(rng.normal())
    )
    grain = rng.uniform([0.1, 0.05, 0.1], [0.9, 0.6, 0.9]) * (0.3 + 0.7 * spread)
    tracks = float(rng.uniform(-0.2, 0.5)) * spread
    shoulder = 1.0 + float(rng.uniform(-0.4, 0.4)) * spread
    oil = abs(tracks) * 0.5
    first, second = soil(rng), soil(rng)
    if rng.random() < 0.25:  # a verge about as bright and grey as the road itself
        first = second = grey * float(rng.uniform(0.8, 1.3)) * np.array([1.03, 1.0, 0.93])
    paved = float(np.exp(rng.uniform(np.log(0.07), np.log(0.4))))
    if rng.random() < 0.3:  # a pavement of the road's own asphalt
        paved = grey * float(rng.uniform(0.8, 1.25))
    pavement = paved * (1.0 + rng.normal(0.0, 0.05, 3))
    return {
        "asphalt": grey * cast,
        "grain": np.array([*grain, _cracks(dice)]),
        "wear": np.array([tracks, *_patches(dice), *_joints(dice, grey)]),
        "tar": np.array([*_sealed(dice), oil, 0.0]),
        "shoulder": np.full(3, shoulder),
        "dirt": np.array([float(dice.stream("marking_wear").uniform(0.0, 0.75))])
        * min(dice.strength("marking_wear"), 1.0),
        "verge": first * float(rng.uniform(0.6, 1.4)),
        "vergeOther": second * float(rng.uniform(0.6, 1.4)),
        "pavement": pavement,
        "slab": rng.uniform([0.3, 0.3, 0.0], [1.5, 1.5, 0.8]),
    }


def _cracks(dice: Dice) -> float:
    return float(dice.stream("cracks").uniform(0.0, 0.6)) * min(dice.strength("cracks"), 1.0)


def _patches(dice: Dice) -> list[float]:
    share = float(dice.stream("patches").choice([0.0, 0.05, 0.2]))
    return [min(1.0, share * dice.strength("patches"))]


def _joints(dice: Dice, grey: float) -> list[float]:
    """Return the metres between joints across (0: none) and how dark the seams along are."""
    rng = dice.stream("tar")
    apart, jointed = float(rng.uniform(3.5, 9.0)), dice.happens("tar", 0.6 if grey > 0.18 else 0.1)
    dark, seamed = float(rng.uniform(0.0, 1.2)), dice.happens("tar", 0.5)
    return [apart * jointed, dark * seamed]


def _sealed(dice: Dice) -> list[float]:
    """Return how dark sealed cracks are, and the share of cells with a manhole."""
    rng = dice.stream("tar")
    dark, sealed = float(rng.uniform(0.3, 1.0)), dice.happens("tar", 0.35)
    return [dark * sealed, 0.05 * float(rng.random()) * min(dice.strength("tar"), 1.0)]
