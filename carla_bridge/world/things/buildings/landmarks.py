"""Buildings that stand out: churches, towers, chimneys, silos, high blocks.

    church = LANDMARKS["church"].mesh    # paint slot 1: its walls

Prototypes for `carla_bridge.world.things.copies`: metres, the ground at z = 0, walls go on below.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from carla_bridge.world.meshes import FACADE, PLAIN, WALL, Mesh, merge
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.shapes import block, facets, tube

DEEP = -8.0
SLATE = (84, 84, 90)


@dataclass(frozen=True)
class Landmark:
    """How it is built, and how far it reaches from its middle, metres."""

    reach: float
    build: Callable[[], list[Mesh]]

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The prototype."""
        return merge(self.build())


def _spire(side: float, low: float, high: float) -> Mesh:
    """Return a pyramid on a square tower."""
    half = side / 2.0
    ring = np.array(
        [[-half, -half, low], [half, -half, low], [half, half, low], [-half, half, low]]
    )
    tip = np.array([0.0, 0.0, high])
    faces = [[ring[i], ring[(i + 1) % 4], tip] for i in range(4)]
    return facets(faces, SLATE, tag=Tag.BUILDING)


def _shift(mesh: Mesh, x: float, y: float) -> Mesh:
    mesh.vertices["vertex"][:, :2] += np.array([x, y], np.float32)
    return mesh


def _church() -> list[Mesh]:
    ridge, eaves, half, long = 13.0, 8.0, 5.0, 11.0
    roof = [
        [[-long, -half - 0.4, eaves], [long, -half - 0.4, eaves], [long, 0, ridge],
         [-long, 0, ridge]],
        [[long, half + 0.4, eaves], [-long, half + 0.4, eaves], [-long, 0, ridge],
         [long, 0, ridge]],
    ]  # fmt: skip
    gable = [[[long, -half, eaves], [long, half, eaves], [long, 0, ridge]]]
    windows = [
        [[x, -half - 0.05, 2.5], [x + 1.2, -half - 0.05, 2.5], [x + 1.2, -half - 0.05, 6.5],
         [x, -half - 0.05, 6.5]]
        for x in (-7.5, -4.0, -0.5, 3.0, 6.5)
    ]  # fmt: skip
    clock = [[[-0.9, -3.05, 15.0], [0.9, -3.05, 15.0], [0.9, -3.05, 16.8], [-0.9, -3.05, 16.8]]]
    tower = [
        block((-3.0, -3.0, DEEP), (3.0, 3.0, 18.0), (235, 235, 235), WALL, Tag.BUILDING, 1),
        _spire(6.6, 18.0, 32.0),
        facets(clock, (226, 222, 200), tag=Tag.BUILDING),
    ]
    return [
        block((-long, -half, DEEP), (long, half, eaves), (240, 240, 240), WALL, Tag.BUILDING, 1),
        facets(roof, SLATE, tag=Tag.BUILDING),
        facets(gable, (240, 240, 240), WALL, Tag.BUILDING, 1),
        facets(windows, (26, 28, 32), tag=Tag.BUILDING),
        *(_shift(part, -long - 1.0, 0.0) for part in tower),
    ]


def _high_block() -> list[Mesh]:
    return [
        block((-9.0, -8.0, -2.0 * 3.1), (9.0, 8.0, 46.5), tag=Tag.BUILDING, slot=1, kind=FACADE),
        block((-4.0, -3.0, 46.5), (4.0, 3.0, 50.0), (150, 150, 150), tag=Tag.BUILDING),
    ]


def _water_tower() -> list[Mesh]:
    shaft = tube([[0, 0, DEEP], [0, 0, 22.0]], [2.6, 2.0], 8, tag=Tag.BUILDING, slot=1)
    tank = tube([[0, 0, 21.0], [0, 0, 24.0], [0, 0, 29.0], [0, 0, 31.0]], [2.0, 6.0, 6.2, 0.6], 10,
                (235, 235, 235), tag=Tag.BUILDING, slot=1)  # fmt: skip
    return [shaft, tank]


def _chimney() -> list[Mesh]:
    stack = tube([[0, 0, DEEP], [0, 0, 40.0]], [2.0, 1.2], 8, tag=Tag.BUILDING, slot=1)
    band = tube([[0, 0, 37.0], [0, 0, 39.0]], [1.32, 1.28], 8, (190, 60, 50), tag=Tag.BUILDING)
    return [stack, band, block((-9.0, 3.0, DEEP), (9.0, 12.0, 9.0), (230, 230, 230), FACADE,
                               Tag.BUILDING, 1)]  # fmt: skip


def _silos() -> list[Mesh]:
    towers = [
        _shift(tube([[0, 0, DEEP], [0, 0, 16.0], [0, 0, 18.0]], [2.4, 2.4, 0.3], 9,
                    (226, 226, 224), tag=Tag.BUILDING), x, 0.0)
        for x in (-5.2, 0.0, 5.2)
    ]  # fmt: skip
    return [*towers, block((-9.0, 3.0, DEEP), (9.0, 14.0, 7.0), tag=Tag.BUILDING, slot=1,
                           kind=PLAIN)]  # fmt: skip


LANDMARKS = {
    "church": Landmark(16.0, _church),
    "high block": Landmark(12.0, _high_block),
    "water tower": Landmark(6.5, _water_tower),
    "chimney": Landmark(14.0, _chimney),
    "silos": Landmark(15.0, _silos),
}
