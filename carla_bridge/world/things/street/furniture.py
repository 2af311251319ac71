"""Where street furniture stands: lamps, poles with wires, bollards, bins, shelters, signs.

    mesh, lamps = furniture(site, dice.stream("furniture"), strength=1.0, ids=Ids("furniture"))

``lamps`` (n, 3) are where street lamps shine, metres. A scene has one style of lamp; what else
stands on a stretch depends on its setting. Nothing stands where vehicles drive.
"""

from __future__ import annotations

import functools

import numpy as np

from carla_bridge.world.meshes import PLAIN, Array, Mesh, merge
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.copies import Batch, Ids
from carla_bridge.world.things.roadside import Side, Site, children
from carla_bridge.world.things.shapes import block, sweep
from carla_bridge.world.things.street.furniture_shapes import LAMPS, thing
from carla_bridge.world.things.street.signs import STEEL, junction_signs, kerb_line, road_signs

COLOURS = np.array([[60, 64, 66], [40, 90, 60], [180, 40, 36], [150, 152, 150], [36, 60, 110],
                    [204, 170, 40], [110, 90, 70]])  # fmt: skip
# Small things on pavements: how many metres from one candidate to the next, and their share.
SMALL = {
    "bin": 0.14,
    "wheeled bin": 0.14,
    "hydrant": 0.08,
    "cabinet": 0.12,
    "bench": 0.1,
    "planter": 0.1,
    "column": 0.03,
    "board": 0.12,
    "bollard": 0.17,
}
SMALL_EVERY = 11.0
SPAN = 12
"""Points of a wire between two poles."""


def furniture(
    site: Site, rng: np.random.Generator, strength: float, ids: Ids
) -> tuple[Mesh, Array]:
    """Return all street furniture, and where lamps shine (n, 3) metres."""
    batch = Batch(site.land.height)
    lamp = str(rng.choice(["arm", "tall arm", "straight", "lantern"], p=[0.35, 0.15, 0.35, 0.15]))
    every, steel = float(rng.uniform(24.0, 42.0)), STEEL[int(rng.integers(len(STEEL)))] * 1.0
    palette = str(
        rng.choice(["green", "blue", "white", "yellow", "brown"], p=[0.4, 0.28, 0.18, 0.1, 0.04])
    )
    heads: list[Array] = [np.empty((0, 3))]
    junction_signs(site, rng, strength, ids, batch)
    for side, child in children(site.sides, rng):
        heads.append(_lamps(site, side, lamp, every, steel, strength, child, ids, batch))
        if side.place == "median":
            continue
        road_signs(site, side, palette, strength, child, ids, batch)
        _posts(site, side, strength, child, ids, batch)
        _wires(site, side, strength, child, ids, batch)
        if side.pavement > 1.2:
            _small(site, side, strength, child, ids, batch)
    return batch.mesh(), np.concatenate(heads)


def _lamps(
    site: Site, side: Side, style: str, every: float, steel: Array, strength: float,
    rng: np.random.Generator, ids: Ids, batch: Batch,
) -> Array:  # fmt: skip
    """Add a row of lamps; return where they shine."""
    lit, phase = rng.random(2)
    share = {"street": 0.75, "rural": 0.1, "motorway": 0.35, "median": 0.4}[side.place] * strength
    if side.place == "motorway":
        style, every = ("tall arm", 40.0) if side.right else ("double", 40.0)
    elif side.place == "median":
        style = "double"
    if lit >= share:
        return np.empty((0, 3))
    place, heading = site.spots(
        side, np.arange(phase * every, side.length, every), kerb_line(side, 0.45)
    )
    stands = site.free(place, 0.1)
    place, heading = place[stands], heading[stands]
    batch.add(LAMPS[style].mesh, place, heading, 1.0, np.repeat(steel[None], len(place), 0),
              ids.take(len(place)))  # fmt: skip
    x, y, z = LAMPS[style].head
    cos, sin = np.cos(heading), np.sin(heading)
    return np.stack([place[:, 0] + x * cos - y * sin, place[:, 1] + x * sin + y * cos,
                     place[:, 2] + z], axis=1)  # fmt: skip


def _posts(
    site: Site, side: Side, strength: float, rng: np.random.Generator, ids: Ids, batch: Batch
) -> None:
    """Add delineator posts along the verge, or rows of bollards and cones along the kerb."""
    likely, phase, gap = rng.random(3)
    row = str(rng.choice(["bollard", "cone"], p=[0.7, 0.3]))
    colour = COLOURS[int(rng.integers(len(COLOURS)))] * 1.0
    if side.place == "street":
        if side.pavement < 1.2 or side.parked or likely >= 0.22 * strength:
            return
        begin, every = phase * side.length, 1.6 + 1.6 * gap
        s, away, name = (
            np.arange(begin, min(begin + 30.0, side.length), every),
            0.3 - side.pavement,
            row,
        )
    else:
        every = (25.0, 33.0, 50.0)[int(3 * gap)]
        if likely >= 0.55 * strength:
            return
        s, away, name = np.arange(phase * every, side.length, every), 0.5, "delineator"
        if likely < 0.06 * strength:
            s, name = np.arange(phase * side.length, side.length, 3.0)[:14], "cone"
    place, heading = side.at(s, away)
    keep = site.free(place, 0.1, 0.1)
    place = place[keep, :2]
    batch.add(thing(name), place, heading[keep], 1.0, np.repeat(colour[None], len(place), 0),
              ids.take(len(place)))  # fmt: skip


def _wires(
    site: Site, side: Side, strength: float, rng: np.random.Generator, ids: Ids, batch: Batch
) -> None:
    """Add telegraph poles, and wires that sag from pole to pole."""
    likely, phase, off, tall = rng.random(4)
    share = {"street": 0.14, "rural": 0.35, "motorway": 0.05}[side.place]
    if likely >= share * strength:
        return
    away = 0.4 if side.place == "street" else 3.0 + 4.0 * off
    place, heading = site.spots(side, np.arange(phase * 20.0, side.length, 34.0 + 8.0 * off), away)
    keep = site.free(place, 0.2)
    place, heading = place[keep], heading[keep]
    high = 6.5 + 2.5 * tall
    numbers = ids.take(len(place))
    batch.add(_pole(), place, heading, np.array([[1.0, 1.0, high / 8.0]]), instance=numbers)
    t = np.linspace(0.0, 1.0, SPAN)[:, None]
    for i in range(len(place) - 1):
        if np.linalg.norm(place[i + 1] - place[i]) > 60.0:
            continue
        for y in (-0.7, 0.0, 0.7) if tall > 0.4 else (0.0,):
            across = np.array([-np.sin(heading[i]), np.cos(heading[i]), 0.0]) * y
            line = place[i] + (place[i + 1] - place[i]) * t + across
            # A hanging wire is close to a parabola; it sags by a fiftieth of its span.
            line[:, 2:] += 0.97 * high - 3.2 * t * (1.0 - t)
            wire = sweep(line, np.zeros((SPAN, 3)), [(0.0, -0.012), (0.0, 0.012)], (34, 34, 36),
                         PLAIN, Tag.POLE, int(numbers[i]))  # fmt: skip
            batch.add_mesh(wire)


@functools.cache
def _pole() -> Mesh:
    """Return a wooden pole of 8 m with a crossbar."""
    brown = (104, 84, 64)
    return merge(
        [
            block((-0.13, -0.13, -0.8), (0.13, 0.13, 8.0), brown, PLAIN, Tag.POLE, taper=0.7),
            block((-0.05, -0.9, 7.66), (0.05, 0.9, 7.78), brown, PLAIN, Tag.POLE),
        ]
    )


def _small(
    site: Site, side: Side, strength: float, rng: np.random.Generator, ids: Ids, batch: Batch
) -> None:
    """Add bins, benches, boxes and a bus shelter to a pavement."""
    count = int(side.length / SMALL_EVERY)
    s = (np.arange(count) + rng.random(count)) * SMALL_EVERY
    kind = rng.choice(len(SMALL), count, p=list(SMALL.values()))
    colour = COLOURS[rng.integers(len(COLOURS), size=count)] * rng.uniform(0.8, 1.1, (count, 1))
    back, keep = rng.random(count) < 0.6, rng.random(count) < 0.55 * strength * side.detail
    stop, where = rng.random(2)
    away = np.where(back | side.parked, -0.5, 0.55 - side.pavement)
    place, heading = side.at(s, away)
    keep &= site.free(place, 0.1, 0.35)
    for number, name in enumerate(SMALL):
        some = keep & (kind == number)
        batch.add(
            thing(name),
            place[some, :2],
            heading[some],
            1.0,
            colour[some],
            ids.take(int(some.sum())),
        )
    if side.pavement > 2.6 and stop < 0.25 * strength:
        place, heading = site.spots(side, [where * side.length], -0.8)
        if site.free(place, 0.3, 0.9)[0]:
            batch.add(
                thing("shelter"),
                place,
                heading,
                1.0,
                np.array([[180.0, 190.0, 200.0]]),
                ids.take(1),
            )
