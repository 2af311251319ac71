"""The lie of the land: hills, and the banks by which they meet the roads.

    terrain = Terrain(grid, dice, urban=False)
    terrain.height(xy)                 # metres, (n,)

Beside a road the land is level with it, with a ditch now and then; from some metres away
it rises or falls towards hills, no steeper than banks are cut. Hills are smooth noise of
three wavelengths, low near the roads and high on the horizon. With the term "hills" at 0
the land lies flat beside the roads.

Noise on a lattice: Perlin, "An Image Synthesizer", SIGGRAPH 1985.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from carla_bridge.world.land.road_grid import Nearest, RoadGrid
from carla_bridge.world.randomization import Dice

Array = npt.NDArray[np.float64]

LATTICE = 32
"""Values along a side of a noise lattice; it repeats beyond."""
WAVES = (90.0, 260.0, 700.0)
"""Metres between lattice points."""
FAR = 900.0
"""Metres from the roads at which hills have their full height."""
COARSE = 8.0
"""Metres between samples of the level that the land has where there are no hills."""
REACH = 280.0
"""Metres around the roads that are sampled."""
MOST_SAMPLES = 500
"""Along a side; a larger map is sampled more coarsely."""
FLAT = (0.3, 14.0, 0.0)
"""Metres of hills near the roads and on the horizon, and the tilt of all the land."""
SCENERY = (  # share of scenes at strength 1, and the same three numbers
    (0.1, (22.0, 420.0, 0.16)),
    (0.22, (16.0, 150.0, 0.1)),
    (0.34, (5.0, 60.0, 0.03)),
)
"""Mountains, hills, rolling country."""
HIGHEST = 2.0
"""Strength from which hills grow no more: they only become certain."""
TOWN = 0.12
"""Share of the hills that is left beside roads with pavements."""


@dataclass(frozen=True)
class Banks:
    """How land meets roads: metres of level verge, slopes up and down, a ditch's depth."""

    verge: float
    up: float
    down: float
    ditch: float


class Terrain:
    """Heights of the land around roads."""

    def __init__(self, grid: RoadGrid, dice: Dice, urban: bool) -> None:
        self._grid = grid
        self.urban = urban
        rng = dice.stream("hills")
        strength = dice.strength("hills")
        near, far, tilt = _scenery(float(rng.random()), strength)
        strength = min(strength, HIGHEST)
        near *= float(rng.uniform(0.4, 1.6)) * strength * (TOWN if urban else 1.0)
        far *= float(rng.uniform(0.3, 1.3)) * strength
        tilt *= float(rng.uniform(-1.0, 1.0)) * strength * (TOWN if urban else 1.0)
        azimuth = float(rng.uniform(0.0, 2.0 * np.pi))
        self._near, self._far = near, far
        self._tilt = tilt * np.array([np.cos(azimuth), np.sin(azimuth)])
        self._noise = rng.uniform(-1.0, 1.0, (len(WAVES), LATTICE, LATTICE))
        verge = float(rng.uniform(3.0, 7.0) if urban else rng.uniform(1.2, 6.0))
        self.banks = Banks(
            verge=verge,
            up=float(rng.uniform(0.25, 0.6)),
            down=float(rng.uniform(0.2, 0.5)),
            ditch=0.0 if urban else float(rng.choice([0.0, 0.25, 0.45])) * min(strength, 1.0),
        )
        self._survey()

    def _survey(self) -> None:
        """Sample the level of the roads around, smoothed, and the lowest land they allow."""
        places = self._grid.segments.middle[:, :2]
        low, high = places.min(axis=0) - REACH, places.max(axis=0) + REACH
        self._cell = max(COARSE, float((high - low).max()) / MOST_SAMPLES)
        self._corner = low
        columns, rows = (np.ceil((high - low) / self._cell).astype(int) + 1).tolist()
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        xy = np.stack([x.ravel(), y.ravel()], axis=1) * self._cell + low
        found = self._grid.nearest(xy)
        level = found.height.reshape(rows, columns).astype(np.float32)
        self._middle = places.mean(axis=0)
        self._level = np.asarray(cv2.GaussianBlur(level, (0, 0), 32.0 / self._cell), np.float32)
        self._ceiling: npt.NDArray[np.float32] | None = None
        self.storeys = float(np.ptp(self._grid.segments.middle[:, 2])) > 2.0
        if self.storeys:
            self._ceiling = self._lowest(found, (rows, columns))

    def _lowest(self, found: Nearest, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Return the ceiling of cones that rise from each road: land above would bury one."""
        slope = self.banks.up
        start = np.maximum(found.distance - self.banks.verge, 0.0) * slope + found.road_height
        ceiling = start.reshape(shape).astype(np.float32)
        kernel = np.ones((3, 3), np.uint8)
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        for _ in range(10):  # a cone's rings: straight steps, and diagonal ones
            straight = cv2.erode(ceiling, cross) + slope * self._cell
            slanted = cv2.erode(ceiling, kernel) + slope * self._cell * 1.4142
            ceiling = np.minimum(ceiling, np.minimum(straight, slanted)).astype(np.float32)
        return ceiling

    def height(self, xy: Array, found: Nearest | None = None) -> Array:
        """Return the land's height (n,) under points (n, 2), on lanes the lanes' own.

        ``found`` is what the grid says of the points, where it is known already.
        """
        found = self._grid.nearest(xy) if found is None else found
        banks = self.banks
        away = np.maximum(found.distance, 0.0)
        beyond = np.maximum(away - banks.verge, 0.0)
        level = np.maximum(1.0 - beyond / 60.0, 0.0) * found.height + np.minimum(
            beyond / 60.0, 1.0
        ) * self._sample(self._level, xy)
        target = level + self._hills(xy, away)
        bank = np.clip(target - found.height, -banks.down * beyond, banks.up * beyond)
        # A ditch between the verge and the bank, and a verge that sheds water.
        hollow = np.exp(-(((away - 0.6 * banks.verge - 0.8) / (0.3 * banks.verge + 0.3)) ** 2))
        bank -= banks.ditch * hollow * (away > 0.3) + 0.04 * np.minimum(away, banks.verge)
        height = found.height + bank
        if self._ceiling is not None:
            allowed = self._sample(self._ceiling, xy) + 0.4
            height = np.where(away > 0.5, np.minimum(height, allowed), height)
        return np.asarray(height)

    def _hills(self, xy: Array, away: Array) -> Array:
        """Return how far hills rise above the roads' level."""
        fine, middle, large = (self._noise_at(i, xy) for i in range(len(WAVES)))
        out = np.clip((away - 60.0) / FAR, 0.0, 1.0)
        out = out * out * (3.0 - 2.0 * out)
        near = self._near * (0.35 * fine + 0.9 * middle) * np.minimum(1.0, away / 50.0)
        far = self._far * np.maximum(0.25 + 0.9 * large + 0.25 * middle, -0.05) * out
        tilt = np.clip((xy - self._middle) @ self._tilt, -18.0, 18.0)
        return np.asarray(near + far + tilt * np.minimum(1.0, away / 30.0))

    def _noise_at(self, octave: int, xy: Array) -> Array:
        """Return smooth noise in -1..1."""
        at = xy / WAVES[octave] + 7.3 * octave
        cell = np.floor(at).astype(np.int64)
        part = at - cell
        u, v = (part * part * (3.0 - 2.0 * part)).T
        i, j = (cell % LATTICE).T
        k, m = (i + 1) % LATTICE, (j + 1) % LATTICE
        lattice = self._noise[octave]
        near = lattice[i, j] * (1.0 - u) + lattice[k, j] * u
        return np.asarray(near * (1.0 - v) + (lattice[i, m] * (1.0 - u) + lattice[k, m] * u) * v)

    def _sample(self, field: npt.NDArray[np.float32], xy: Array) -> Array:
        """Return a sampled field between its samples."""
        at = np.clip((xy - self._corner) / self._cell, 0.0, np.array(field.shape[::-1]) - 1.001)
        column, row = np.floor(at).astype(int).T
        u, v = (at - np.floor(at)).T
        upper = field[row, column] * (1.0 - u) + field[row, column + 1] * u
        lower = field[row + 1, column] * (1.0 - u) + field[row + 1, column + 1] * u
        return np.asarray(upper * (1.0 - v) + lower * v, dtype=np.float64)


def _scenery(drawn: float, strength: float) -> tuple[float, float, float]:
    """Return the numbers of one kind of scenery; ``drawn`` in 0..1 chooses."""
    for share, numbers in SCENERY:
        drawn -= share * strength
        if drawn < 0.0:
            return numbers
    return FLAT
