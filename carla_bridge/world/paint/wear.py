"""How much of the paint is left: age, traffic, and what lies over it.

    wear = Wear(dice)
    share = wear.left(track, along, age)   # 0..1, the same places give the same shares

Wear changes slowly along a line and from line to line, as traffic crosses some stretches
more than others; here it is one-dimensional value noise over a table of random numbers
(Perlin, SIGGRAPH 1985, has the smoother kind). Leaves, sand and dirt hide whole stretches
between sharp ends.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carla_bridge.world.randomization import Dice

Array = npt.NDArray[np.float64]

SIZE = 4096
STRIDE = 911
"""Numbers of the table from one track to the next; odd, so that all of them come up."""
SLOW = 12.0
"""Metres between the knots of wear, and of cover."""
LEAST = 0.05
"""Share of paint that even the oldest line keeps: some is left in the asphalt's pores."""
RENEWED, NEGLECTED = 0.1, 0.06
"""Shares of lines that have just been repainted, and that are about to go."""


class Wear:
    """The share of paint left at any place of any track, for one scene."""

    def __init__(self, dice: Dice) -> None:
        rng = dice.stream("marking_wear")
        self.strength = dice.strength("marking_wear")
        self.age = float(rng.beta(1.2, 2.2))
        self._slow = rng.random(SIZE)
        self._lines = rng.random((SIZE, 2))
        rng = dice.stream("marking_cover")
        happens, level = rng.random(), rng.uniform(0.1, 0.4)
        self._cover = rng.random(SIZE)
        strength = dice.strength("marking_cover")
        self.covered = level * min(strength, 2.0) if happens < 0.25 * strength else 0.0
        """Noise below which something lies over the paint: 0.1 hides 2 % of it, 0.4 a third."""

    def left(
        self,
        track: npt.ArrayLike,
        along: npt.ArrayLike,
        age: npt.ArrayLike = 1.0,
        wheel: npt.ArrayLike = 0.0,
    ) -> Array:
        """Return the share of paint left, 0..1, at metres ``along`` tracks.

        ``age`` multiplies the paint's age, ``wheel`` 0..1 says how much wheels run there.
        """
        track, along = np.asarray(track, np.int64), np.asarray(along, float)
        of_line, luck = np.moveaxis(self._lines[(track * STRIDE + 577) % SIZE], -1, 0)
        years = self.age * (0.6 + 0.8 * of_line)
        years = np.where(luck < RENEWED, 0.2 * years, years)
        years = np.where(luck > 1.0 - NEGLECTED, np.maximum(years, 0.85), years)
        rate = 0.4 + 0.85 * _noise(self._slow, track, along) + 0.4 * np.asarray(wheel, float)
        share = np.clip(1.0 - self.strength * years * np.asarray(age, float) * rate, LEAST, 1.0)
        if self.covered > 0.0:
            # The noise is steep where it crosses the level: covers end within a metre or two.
            bare = (_noise(self._cover, track, along + 5.0) - self.covered) / 0.03
            share = share * np.clip(bare, 0.0, 1.0)
        return np.asarray(share)


def _noise(table: Array, track: npt.NDArray[np.int64], along: Array) -> Array:
    """Return numbers 0..1 that run straight from knot to knot along each track."""
    place = along / SLOW
    knot = np.floor(place).astype(np.int64)
    index = track * STRIDE + knot
    low, high = table[index % SIZE], table[(index + 1) % SIZE]
    return np.asarray(low + (high - low) * (place - knot))
