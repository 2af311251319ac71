"""Where signs and traffic lights stand, on posts, boards and gantries, facing the traffic.

    road_signs(site, side, "green", strength, rng, ids, batch)
    junction_signs(site, rng, strength, ids, batch)

Traffic lights show red to one road while the road that crosses it has green.
"""

from __future__ import annotations

import numpy as np

from carla_bridge.world.meshes import Array
from carla_bridge.world.things.approaches import approaches
from carla_bridge.world.things.copies import Batch, Ids
from carla_bridge.world.things.roadside import Side, Site
from carla_bridge.world.things.street.furniture_shapes import traffic_light
from carla_bridge.world.things.street.sign_shapes import LOW, board, gantry, second_plate, sign

STEEL = np.array([[128, 132, 134], [70, 74, 76], [96, 100, 98], [40, 44, 42], [164, 166, 166]])
SIGNS = {
    "street": [
        "speed",
        "no stopping",
        "no entry",
        "keep",
        "cycles",
        "ban",
        "parking",
        "crossing",
        "one way",
        "street name",
        "bus stop",
        "yellow warning",
        "diamond",
        "limit",
        "warning",
    ],
    "rural": [
        "speed",
        "warning",
        "yellow warning",
        "diamond",
        "ban",
        "limit",
        "chevron",
        "works",
        "priority",
    ],
    "motorway": ["speed", "limit", "warning", "diamond", "works", "ban"],
}


def kerb_line(side: Side, inside: float) -> float:
    """Return how far from the edge posts stand: at the kerb, or at the back behind parked cars."""
    if side.place == "median":
        return 0.0
    if side.pavement < 1.2:
        return 1.7
    return -0.35 if side.parked else inside - side.pavement


def road_signs(
    site: Site, side: Side, palette: str, strength: float, rng: np.random.Generator, ids: Ids,
    batch: Batch,
) -> None:  # fmt: skip
    """Add a stretch's signs; direction signs are of the colour that ``palette`` names."""
    _signs(site, side, strength, rng, ids, batch)
    _boards(site, side, palette, strength, rng, ids, batch)


def _signs(
    site: Site, side: Side, strength: float, rng: np.random.Generator, ids: Ids, batch: Batch
) -> None:
    """Add signs that face the traffic."""
    every = {"street": 17.0, "rural": 40.0, "motorway": 70.0}[side.place]
    count = int(side.length / every)
    s = (np.arange(count) + rng.random(count)) * every
    chosen, second = rng.integers(len(SIGNS[side.place]), size=(2, count))
    twice, keep = rng.random(count) < 0.2, rng.random(count) < 0.55 * strength * side.detail
    place, heading = side.at(s, kerb_line(side, 0.5) + 0.1)
    facing = heading + side.drive + np.pi + rng.normal(0.0, 0.08, count)
    keep &= site.free(place, 0.2)
    for i in np.flatnonzero(keep):
        name, below = (SIGNS[side.place][k[i]] for k in (chosen, second))
        number = ids.take(1)
        batch.add(sign(name), place[i : i + 1, :2], facing[i], instance=number)
        if twice[i] and not {name, below} & {*LOW, "street name"}:
            batch.add(second_plate(below), place[i : i + 1, :2], facing[i], instance=number)


def _boards(
    site: Site, side: Side, palette: str, strength: float, rng: np.random.Generator, ids: Ids,
    batch: Batch,
) -> None:  # fmt: skip
    """Add direction signs, and gantries over motorways."""
    likely, where, size, over, spot = rng.random(5)
    variant = int(rng.integers(6))
    share = {"street": 0.12, "rural": 0.3, "motorway": 0.55}[side.place] * strength
    if likely < share and not (side.place == "motorway" and not side.right):
        wide, tall = (
            (2.0, 1.4) if side.place != "motorway" else (4.5, 2.8) if size < 0.5 else (3.2, 2.2)
        )
        away = 2.2 if side.place != "motorway" else 4.5
        place, heading = site.spots(side, [where * side.length], away)
        if site.free(place, 0.5 * wide, 0.5 * wide)[0]:
            mesh = board(wide, tall, palette, variant)
            batch.add(mesh, place, heading + side.drive + np.pi, 1.0, instance=ids.take(1))
    if side.place == "motorway" and side.right and over < 0.4 * strength:
        place, heading = site.spots(side, [spot * side.length], 1.4)
        span = _span(site, place[0], float(heading[0]))
        if span and site.free(place, 0.5)[0]:
            mesh = gantry(span, palette, variant)
            batch.add(mesh, place, heading + side.drive + np.pi, 1.0, instance=ids.take(1))


def _span(site: Site, place: Array, heading: float) -> int:
    """Return the metres from a roadside to where a gantry's other column stands; 0 for nowhere.

    It spans lanes of one direction.
    """
    away = np.arange(40.0)[:, None]
    across = place[:2] + away * np.array([np.sin(heading), -np.cos(heading)])
    along = np.array([np.cos(heading), np.sin(heading)])
    way = site.traffic(across) @ along
    ends = np.flatnonzero(
        (site.off_paved(across) > 0.7) & (away[:, 0] > 4.0) | (way * way[0] < 0.0)
    )
    return int(ends[0]) if len(ends) and site.off_paved(across[ends[:1]])[0] > 0.7 else 0


def junction_signs(
    site: Site, rng: np.random.Generator, strength: float, ids: Ids, batch: Batch
) -> None:
    """Add traffic lights where lanes cross, or signs that tell who gives way."""
    signals = rng.random() < (0.6 if site.land.urban else 0.15)
    lit, style = int(rng.integers(3)), str(rng.choice(["post", "post", "arm", "far"]))
    steel = STEEL[int(rng.integers(len(STEEL)))] * 1.0
    first: float | None = None
    for approach in approaches(site.land.roads):
        keep, which = rng.random(2)
        first = approach.heading if first is None else first
        out = np.arange(0.6, 7.0, 0.3)[:, None]
        places = approach.place + approach.right * out
        clear = np.flatnonzero(site.off_paved(places[:, :2]) > 0.35)
        if not len(clear) or clear[0] > 15 or keep >= 0.85 * strength:
            continue
        place = places[clear[:1]] + [0.0, 0.0, site.land.kerb_height]
        across = abs(np.sin(approach.heading - first)) > 0.7
        shown = (2 if lit == 0 else 0) if across else lit
        if signals:
            mesh = traffic_light(style, shown)
        else:
            mesh = sign("stop" if which < 0.35 else "yield" if which < 0.75 else "priority")
        paint = steel[None] if signals else 255.0
        batch.add(mesh, place, approach.heading + np.pi, 1.0, paint, ids.take(1))
