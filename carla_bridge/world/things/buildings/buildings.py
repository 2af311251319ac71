"""Buildings: the walls, roofs and fronts of what is planned, and a landmark now and then.

    planned = plan(site, dice.stream("buildings"))
    mesh = build(planned, site, dice.stream("buildings"), strength=1.0, ids=Ids("buildings"))

The texture of a `FACADE` counts metres from the ground, so that the shader's windows, one a
`STOREY`, sit on floors.
"""

from __future__ import annotations

import numpy as np

from carla_bridge.world.meshes import FACADE, PLAIN, WALL, Array, Mesh, merge
from carla_bridge.world.things.buildings.fronts import fronts
from carla_bridge.world.things.buildings.landmarks import LANDMARKS
from carla_bridge.world.things.buildings.plan import (
    FACADES,
    FLAT,
    GABLE,
    HIP,
    KINDS,
    STOREY,
    Planned,
    plan,
)
from carla_bridge.world.things.buildings.shapes import Frame
from carla_bridge.world.things.copies import Batch, Ids
from carla_bridge.world.things.roadside import Site

__all__ = ["build", "plan"]

FOOT = 2.0 * STOREY
"""Metres of wall below the ground, for slopes."""


def build(
    planned: Planned, site: Site, rng: np.random.Generator, strength: float, ids: Ids
) -> Mesh:
    """Return the planned buildings that stand at a strength, and landmarks further off."""
    spread = rng.random((len(planned.place), 8))
    marks = _landmarks(site, rng, strength, ids)
    keep = planned.chance < min(strength, 1.0)
    some, spread = planned.where(keep), spread[keep]
    if not len(some.place):
        return marks
    number = ids.take(len(some.place))
    frame = Frame(some.place, some.heading, number)
    parts: list[Mesh] = [_walls(some, frame), *_roofs(some, frame)]
    parts += fronts(frame, KINDS, some.kind, some.width, some.depth, some.height,
                    some.height + some.rise, some.colour, spread)  # fmt: skip
    return merge([part for part in parts if len(part.vertices)] + [marks])


def _walls(some: Planned, frame: Frame) -> Mesh:
    """Return four walls a building; those that neighbours hide have no windows."""
    n = len(some.place)
    half, back, top = some.width / 2.0, some.depth, some.height
    zero, low = np.zeros(n), np.full(n, -FOOT)
    corners = [(-half, zero), (half, zero), (half, back), (-half, back)]
    faces = []
    for first in range(4):
        (x0, y0), (x1, y1) = corners[first], corners[(first + 1) % 4]
        faces.append(
            np.stack(
                [
                    np.stack([x0, y0, low], 1),
                    np.stack([x1, y1, low], 1),
                    np.stack([x1, y1, top], 1),
                    np.stack([x0, y0, top], 1),
                ],
                axis=1,
            )
        )
    closed = np.isin(some.kind, [KINDS.index("terrace"), KINDS.index("shops")])
    hall = some.kind == KINDS.index("industry")
    ends = np.where(closed, WALL, np.where(hall, PLAIN, FACADE))
    front = np.where(hall, PLAIN, FACADE)
    material = np.stack([front, ends, front, ends], axis=1)
    return frame.faces(np.stack(faces, axis=1), some.colour, material, -FOOT)


def _roofs(some: Planned, frame: Frame) -> list[Mesh]:
    """Return roofs: their ridges run along the street, or back from it where a house is narrow."""
    n = len(some.place)
    detached = np.isin(
        some.kind, [KINDS.index("houses"), KINDS.index("farm"), KINDS.index("shops")]
    )
    turned = (some.roof == GABLE) & (some.width < 0.85 * some.depth) & detached
    turned |= (some.roof == GABLE) & (some.kind == KINDS.index("farm")) & (some.width < 12.0)
    half = np.where(turned, some.depth, some.width) / 2.0
    across = np.where(turned, some.width, some.depth) / 2.0
    eaves = np.where(some.roof == FLAT, 0.0, 0.35)
    end = np.where(some.kind == KINDS.index("terrace"), 0.0, eaves)
    inset = np.where(some.roof == HIP, np.minimum(across, half * 0.95), 0.0)
    low = some.height - eaves * some.rise / across
    ridge = half + end - inset
    top = some.height + some.rise

    def point(x: Array, y: Array, z: Array) -> Array:
        local = np.stack([np.where(turned, -y, x), np.where(turned, x, y), z], axis=1)
        return local + np.stack([np.zeros(n), some.depth / 2.0, np.zeros(n)], axis=1)

    wide, zero = across + eaves, np.zeros(n)
    a, b = point(-half - end, -wide, low), point(half + end, -wide, low)
    c, d = point(half + end, wide, low), point(-half - end, wide, low)
    left, right = point(-ridge, zero, top), point(ridge, zero, top)
    slopes = np.stack([np.stack([a, b, right, left], 1), np.stack([c, d, left, right], 1)], axis=1)
    # The ends: roof on a hip, wall under a gable.
    x = np.where(some.roof == HIP, half + end, half)
    wall = some.roof != HIP
    foot = np.where(wall, some.height, low)
    reach = np.where(wall, across, wide)
    peak = np.where(wall, half, ridge)
    gables = np.stack(
        [
            np.stack([point(x, -reach, foot), point(x, reach, foot), point(peak, zero, top)], 1),
            np.stack([point(-x, reach, foot), point(-x, -reach, foot), point(-peak, zero, top)], 1),
        ],
        axis=1,
    )
    pitched = some.roof != FLAT
    colour = np.where(wall[:, None], some.colour, some.tiles)
    grey = np.where(pitched[:, None], some.tiles, some.colour * 0.7)
    return [
        frame.faces(slopes, grey, np.full((n, 2), PLAIN)),
        frame.where(pitched).faces(
            gables[pitched], colour[pitched], np.full((int(pitched.sum()), 2), WALL)
        ),
    ]


def _landmarks(site: Site, rng: np.random.Generator, strength: float, ids: Ids) -> Mesh:
    """Return churches, towers and chimneys that stand out behind the rows."""
    batch = Batch()
    for side in site.sides:
        likely, s, away, turn, tone = rng.random(5)
        name = str(rng.choice(list(LANDMARKS)))
        if likely >= 0.12 * strength:
            continue
        mark = LANDMARKS[name]
        distance = mark.reach + (4.0 if side.setting in ("park", "shops") else 25.0) + 40.0 * away
        place, heading = site.spots(side, [s * side.length], distance)
        radius = mark.reach
        ring = place[:, :2] + radius * np.stack(
            [np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1
        )
        if (site.off_road(np.concatenate([ring, place[:, :2]])) > 2.0).all():
            colour = np.array([FACADES[int(tone * len(FACADES))]]) * 0.9
            batch.add(mark.mesh, place, heading + np.pi / 2 * int(4 * turn), 0.85 + 0.3 * tone,
                      colour, ids.take(1))  # fmt: skip
    return batch.mesh()
