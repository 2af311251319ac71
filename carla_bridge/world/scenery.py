"""What stands on the land: buildings, trees, walls, posts, people, vehicles. All background.

    scenery = furnish(land, rng)
    scenery.mesh, scenery.vehicles

Simple shapes in great variety: they occlude the road as real things do, and teach a
network that grey boxes and white stripes beside the road are neither road nor marking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from carla_bridge.world.ground import Land, edges
from carla_bridge.world.meshes import FACADE, FOLIAGE, WALL, Array, Mesh, boxes, make, merge, up
from carla_bridge.world.roads import Points
from carla_bridge.world.vehicles import cars, traffic, trucks

Builder = Callable[[Array, Array, np.random.Generator], Mesh]
"""Makes a mesh of things at places (n, 3) on the ground, with headings (n,) in radians."""

FACADES = np.array([[172, 92, 70], [205, 186, 150], [226, 222, 212], [150, 148, 146],
                    [122, 84, 62], [98, 104, 112], [216, 190, 120], [70, 66, 64]])  # fmt: skip
LEAVES = np.array([[70, 98, 38], [46, 74, 30], [104, 112, 50], [128, 104, 56], [36, 58, 36]])


@dataclass(frozen=True)
class Scenery:
    """All objects as one mesh, and where vehicles drive: (n, 2) metres."""

    mesh: Mesh
    vehicles: Array


def furnish(land: Land, rng: np.random.Generator) -> Scenery:
    """Return all objects along all roads of the land."""
    crowd = float(rng.uniform(0.1, 1.0))
    meshes: list[Mesh] = []
    for points, outward, _ in edges(land.roads):
        if len(points) > 3:
            meshes += _roadside(land, points, outward, crowd, rng)
    vehicles = [np.empty((0, 2))]
    for lane in land.roads.driving():
        place, heading = traffic(lane, crowd, rng)
        large = rng.random(len(place)) < 0.15
        if (~large).any():
            meshes.append(cars(place[~large], heading[~large], rng))
        if large.any():
            meshes.append(trucks(place[large], heading[large], rng))
        vehicles.append(place[:, :2])
    return Scenery(merge(meshes), np.concatenate(vehicles))


def _places(
    land: Land, points: Points, outward: Points, spacing: float, away: float, jitter: float,
    rng: np.random.Generator, clear: float = 0.4,
) -> tuple[Array, Array]:  # fmt: skip
    """Return places (n, 3) on the ground beside an edge, clear of any lane, and headings (n,)."""
    index = np.arange(rng.uniform(0.0, spacing), len(points) - 1, spacing).astype(int)
    place = points[index] + outward[index] * (
        away + rng.uniform(0.0, 1.0, (len(index), 1)) * jitter
    )
    heading = np.arctan2(outward[index, 1], outward[index, 0]) + np.pi / 2
    if not len(index):
        return np.empty((0, 3)), np.empty(0)
    distance, _ = land.nearest(place[:, :2])
    keep = distance > clear
    place = place[keep]
    if len(place):
        place[:, 2] = land.height(place[:, :2])
    return place, heading[keep]


def _roadside(
    land: Land, points: Points, outward: Points, crowd: float, rng: np.random.Generator
) -> list[Mesh]:
    """Return what lines one edge of a road."""
    meshes: list[Mesh] = []

    def along(
        build: Builder,
        spacing: float,
        away: float,
        jitter: float,
        clear: float = 0.4,
    ) -> None:
        place, heading = _places(land, points, outward, spacing, away, jitter, rng, clear)
        if len(place):
            meshes.append(build(place, heading, rng))

    if land.urban and rng.random() < 0.8:
        along(_buildings, float(rng.uniform(8.0, 16.0)), float(rng.uniform(6.0, 13.0)), 2.0, 5.5)
    elif rng.random() < 0.35:
        along(_buildings, float(rng.uniform(30.0, 60.0)), 18.0, 25.0, 10.0)
    if rng.random() < 0.75:
        along(_trees, float(rng.uniform(5.0, 25.0)), float(rng.uniform(2.5, 8.0)), 3.0, 2.0)
    if not land.urban:
        along(_trees, float(rng.uniform(3.0, 20.0)), 14.0, 50.0, 8.0)
        if rng.random() < 0.5:
            along(_bushes, float(rng.uniform(2.0, 9.0)), 2.0, 6.0, 1.6)
    if rng.random() < 0.45:
        along(_barrier(rng), 4.0, float(rng.uniform(0.5, 3.0)), 0.0)
    if rng.random() < 0.7:
        along(_posts, float(rng.uniform(12.0, 40.0)), float(rng.uniform(0.4, 2.0)), 0.5)
    if land.urban and rng.random() < 0.6 * crowd:
        along(_people, float(rng.uniform(6.0, 25.0)), 0.3, 3.0)
    if land.urban and rng.random() < 0.5 * crowd:  # cars parked half on the pavement, or in bays
        along(cars, float(rng.uniform(6.0, 12.0)), 0.6, 0.5, -5.0)
    return meshes


def _buildings(place: Array, heading: Array, rng: np.random.Generator) -> Mesh:
    n = len(place)
    height = rng.uniform(4.0, 18.0) * rng.uniform(0.6, 1.4, n)
    size = np.stack([rng.uniform(7.0, 17.0, n), rng.uniform(8.0, 11.0, n), height + 2.0], axis=1)
    centre = place + np.stack([np.zeros(n), np.zeros(n), height / 2.0 - 1.0], axis=1)
    colour = FACADES[rng.integers(len(FACADES), size=n)] * rng.uniform(0.6, 1.1, (n, 1))
    body = boxes(centre, size, heading, colour, FACADE)
    roof_size = size * [1.04, 1.04, 0.0] + up(float(rng.uniform(0.5, 3.0)))
    roof_centre = place + np.stack([np.zeros(n), np.zeros(n), height + roof_size[:, 2] / 2], axis=1)
    roof_colour = np.array([[90, 56, 46]]) * rng.uniform(0.5, 1.3, (n, 1))
    return merge([body, boxes(roof_centre, roof_size, heading, roof_colour, taper=0.6)])


def _trees(place: Array, heading: Array, rng: np.random.Generator) -> Mesh:
    n = len(place)
    tall = rng.uniform(3.0, 9.0) * rng.uniform(0.7, 1.3, n)
    trunk_size = np.stack([np.full(n, 0.3), np.full(n, 0.3), tall * 0.8], axis=1)
    trunk_centre = place + np.stack([np.zeros(n), np.zeros(n), tall * 0.35], axis=1)
    trunks = boxes(trunk_centre, trunk_size, heading, np.array([74, 60, 48]), WALL)
    if rng.random() < 0.12:  # bare winter trees: trunks and a few branches
        return trunks
    tint = LEAVES[int(rng.integers(len(LEAVES)))]
    crowns = []
    for _ in range(4):
        offset = rng.normal(0.0, 0.22, (n, 3)) * tall[:, None]
        centre = place + offset * [1.0, 1.0, 0.7] + np.stack([np.zeros(n)] * 2 + [tall], axis=1)
        radius = rng.uniform(0.22, 0.42, (n, 3)) * tall[:, None]
        colour = tint * rng.uniform(0.7, 1.25, (n, 1))
        crowns.append(_blobs(centre, radius, colour, rng))
    return merge([trunks, *crowns])


def _bushes(place: Array, heading: Array, rng: np.random.Generator) -> Mesh:
    n = len(place)
    radius = rng.uniform(0.3, 1.3, (n, 3)) * [1.2, 1.2, 0.8]
    colour = LEAVES[rng.integers(len(LEAVES), size=n)] * rng.uniform(0.8, 1.4, (n, 1))
    return _blobs(place + up(0.2), radius, colour, rng)


_RING = 7
_LEVELS = np.array([-0.95, -0.5, 0.1, 0.6, 0.95])


def _blobs(centre: Array, radius: Array, colour: Array, rng: np.random.Generator) -> Mesh:
    """Return n lumpy spheres: centre and radius (n, 3) metres, colour (n, 3)."""
    angle = np.arange(_RING) * 2.0 * np.pi / _RING
    flat = np.sqrt(1.0 - _LEVELS**2)
    unit = np.stack(
        [
            (flat[:, None] * np.cos(angle)).ravel(),
            (flat[:, None] * np.sin(angle)).ravel(),
            np.repeat(_LEVELS, _RING),
        ],
        axis=1,
    )
    n, m = len(centre), len(unit)
    lumps = rng.uniform(0.75, 1.25, (n, m, 1))
    place = centre[:, None] + unit[None] * radius[:, None] * lumps
    ring, level = np.meshgrid(np.arange(_RING), np.arange(len(_LEVELS) - 1))
    a = (level * _RING + ring).ravel()
    b = (level * _RING + (ring + 1) % _RING).ravel()
    faces = np.concatenate([np.stack([a, b, b + _RING], 1), np.stack([a, b + _RING, a + _RING], 1)])
    triangles = (np.arange(n)[:, None, None] * m + faces[None]).reshape(-1, 3)
    shade = rng.uniform(0.8, 1.15, (n, m, 1)) * (0.85 + 0.25 * unit[None, :, 2:])
    colours = np.repeat(colour[:, None], m, axis=1) * shade
    normal = np.tile(unit, (n, 1))
    return make(
        place.reshape(-1, 3), triangles, colours.reshape(-1, 3), normal, (0.0, 0.0, FOLIAGE)
    )


def _barrier(rng: np.random.Generator) -> Builder:
    """Return a builder of one kind of barrier: wall, hedge, guard rail or fence."""
    height = float(rng.uniform(0.5, 2.6))
    kind = str(rng.choice(["wall", "hedge", "rail", "concrete"]))
    colours = {
        "wall": FACADES[int(rng.integers(len(FACADES)))] * 0.9,
        "hedge": LEAVES[int(rng.integers(len(LEAVES)))],
        "rail": np.array([170, 172, 174]),
        "concrete": np.array([186, 182, 172]) * float(rng.uniform(0.6, 1.1)),
    }

    def build(place: Array, heading: Array, rng: np.random.Generator) -> Mesh:
        n = len(place)
        thick, tall, base = (0.8, height, 0.0) if kind == "hedge" else (0.25, height, 0.0)
        if kind == "rail":
            thick, tall, base = 0.08, 0.32, 0.75
        if kind == "concrete":
            thick, tall = 0.4, 1.1
        size = np.tile([4.4, thick, tall + (0.6 if base == 0.0 else 0.0)], (n, 1))
        centre = place + up(base + tall / 2.0)
        panel = boxes(centre, size, heading, colours[kind], WALL)
        if kind != "rail":
            return panel
        post = boxes(place + up(0.4), np.tile([0.1, 0.1, 1.0], (n, 1)), heading, [120] * 3)
        return merge([panel, post])

    return build


def _posts(place: Array, heading: Array, rng: np.random.Generator) -> Mesh:
    n = len(place)
    kind = str(rng.choice(["lamp", "sign", "bollard", "pole"]))
    tall = {"lamp": 7.5, "sign": 2.6, "bollard": 0.95, "pole": 6.0}[kind]
    grey = float(rng.uniform(50, 200))
    width = 0.09 if kind == "sign" else 0.14
    size = np.tile([width, width, tall], (n, 1))
    meshes = [boxes(place + up(tall / 2), size, heading, [grey] * 3)]
    if kind == "lamp":
        arm = np.stack([np.sin(heading), -np.cos(heading), np.zeros(n)], axis=1) * -1.0
        meshes.append(
            boxes(place + up(tall) + arm, np.tile([0.2, 2.2, 0.15], (n, 1)), heading,
                  [grey] * 3)
        )  # fmt: skip
    if kind == "sign":
        paint = np.array([[220, 180, 30], [230, 230, 230], [190, 30, 30], [30, 70, 170]])
        colour = paint[rng.integers(4, size=n)]
        plate = np.tile([0.05, 0.8, 0.8], (n, 1))
        meshes.append(boxes(place + up(tall), plate, heading, colour))
    return merge(meshes)


def _people(place: Array, heading: Array, rng: np.random.Generator) -> Mesh:
    n = len(place)
    turn = heading + rng.uniform(0.0, 3.14, n)
    cloth = rng.uniform(15, 190, (n, 3))
    legs = boxes(place + up(0.55), np.tile([0.25, 0.35, 0.95], (n, 1)), turn, cloth * 0.5)
    chest = boxes(place + up(1.25), np.tile([0.3, 0.5, 0.65], (n, 1)), turn, cloth)
    head = boxes(place + up(1.7), np.tile([0.2, 0.18, 0.25], (n, 1)), turn, [170, 130, 105])
    return merge([legs, chest, head])
