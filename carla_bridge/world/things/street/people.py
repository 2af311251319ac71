"""Where people are: on pavements, at a stand or walking, some on their way across the road.

    mesh = people(site, dice.stream("people"), strength=1.0, ids=Ids("people"))

How many there are depends on the stretch: a shopping street is busy, a country road empty.
"""

from __future__ import annotations

import numpy as np

from carla_bridge.world.meshes import Array, Mesh
from carla_bridge.world.things.copies import Batch, Ids
from carla_bridge.world.things.figures import dress, figure
from carla_bridge.world.things.roadside import Bools, Rows, Side, Site, children

BUSY = {"shops": 1.0, "terrace": 0.4, "blocks": 0.5, "houses": 0.2, "park": 0.4, "industry": 0.15}
"""People on a pavement, by setting: how many of those in a shopping street."""
EVERY = 3.5
"""Metres of pavement to a person, at most."""

STYLES = [
    figure(0.34),
    figure(-0.3),
    figure(0.22, coat=True),
    figure(-0.36, bag="back"),
    figure(0.3, bag="hand"),
    figure(-0.26, skirt=True),
    figure(0.0, coat=True),
    figure(0.0, bag="hand"),
]
STANDING = 6
"""Index of the first style that stands."""


def people(site: Site, rng: np.random.Generator, strength: float, ids: Ids) -> Mesh:
    """Return everybody along all roads, and who crosses them."""
    crowd = float(rng.uniform(0.15, 0.7))
    batch = Batch(site.land.height)
    _crossing(site, rng, strength, ids, batch)
    for side, child in children(site.sides, rng):
        if side.place != "median":
            _walking(site, side, crowd, strength, child, ids, batch)
    return batch.mesh()


def _walking(
    site: Site, side: Side, crowd: float, strength: float, rng: np.random.Generator, ids: Ids,
    batch: Batch,
) -> None:  # fmt: skip
    count = int(side.length / EVERY)
    s = (np.arange(count) + rng.random(count)) * EVERY
    share = (
        crowd * BUSY.get(side.setting, 0.02)
        if side.pavement
        else 0.006 * (side.place != "motorway")
    )
    kerb = -side.pavement + (1.6 if side.parked else 0.5) if side.pavement else 0.5
    away = kerb + (max(-0.35, kerb + 0.2) - kerb if side.pavement else 0.8) * rng.random(count)
    back, turn, style = rng.random(count) < 0.5, rng.normal(0.0, 0.2, count), rng.random(count)
    around, colour, tall = (
        rng.uniform(0.0, 6.3, count),
        dress(rng.random((count, 8))),
        _heights(rng, count),
    )
    place, heading = side.at(s, away)
    keep = (rng.random(count) < share * strength * side.detail) & site.free(place, 0.2, 0.25)
    kind = (style * len(STYLES) * 0.999).astype(int)
    heading = np.where(kind < STANDING, heading + np.pi * back + turn, around)
    _add(place[:, :2], heading, kind, colour, tall, keep, ids, batch)


def _heights(rng: np.random.Generator, count: int) -> Array:
    """Return sizes relative to 1.75 m: one in fourteen is a child."""
    grown = np.clip(rng.normal(0.97, 0.05, count), 0.86, 1.12)
    return np.where(rng.random(count) < 0.07, rng.uniform(0.55, 0.8, count), grown)


def _add(
    place: Array, heading: Array, kind: Rows, colour: Array, tall: Array, keep: Bools, ids: Ids,
    batch: Batch,
) -> None:  # fmt: skip
    for i, mesh in enumerate(STYLES):
        some = keep & (kind == i)
        batch.add(
            mesh, place[some], heading[some], tall[some], colour[some], ids.take(int(some.sum()))
        )


def _crossing(
    site: Site, rng: np.random.Generator, strength: float, ids: Ids, batch: Batch
) -> None:
    """Add people on the road, who walk across it."""
    count = len(site.crossings)
    back, keep = rng.random(count) < 0.5, rng.random(count) < 0.7 * strength
    style, colour, tall = (
        rng.integers(STANDING, size=count),
        dress(rng.random((count, 8))),
        _heights(rng, count),
    )
    along = np.arctan2(site.crossings[:, 4], site.crossings[:, 3])
    heading = along + np.pi / 2 + np.pi * back + rng.normal(0.0, 0.2, count)
    _add(site.crossings[:, :3], heading, style, colour, tall, keep, ids, batch)
