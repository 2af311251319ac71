"""What runs along a road: guard rails, concrete barriers, walls, fences, hedges, noise barriers.

    mesh = barriers(site, dice.stream("barriers"), strength=1.0, ids=Ids("barriers"))

Each is a profile drawn along the edge, with posts where it has them. It stops where a lane or
a planned building is in its way, and goes on behind.

Sizes: the W-beam's middle stands 0.55 m over the ground (AASHTO M 180; EN 1317 systems are alike),
a concrete step barrier is 0.9 m high with the New Jersey profile's two slopes (NCHRP 350).
"""

from __future__ import annotations

import functools

import numpy as np

from carla_bridge.world.meshes import FOLIAGE, GLASS, PLAIN, WALL, Array, Mesh
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.copies import Batch, Ids
from carla_bridge.world.things.plants.vegetation import SEASONS
from carla_bridge.world.things.roadside import Side, Site, children
from carla_bridge.world.things.shapes import block, facets, sweep

STEP = 3.0
"""Metres between a barrier's points."""

# What may run along a stretch: (kind, share, nearest and furthest from the edge in metres).
Choice = tuple[str, float, float, float]
GARDENS: list[Choice] = [
    ("brick", 0.24, 0.25, 0.4),
    ("hedge", 0.2, 0.5, 0.7),
    ("palings", 0.14, 0.25, 0.4),
    ("railing", 0.12, 0.25, 0.4),
]
CHOICES: dict[str, list[Choice]] = {
    "terrace": GARDENS,
    "houses": GARDENS,
    "shops": [],
    "blocks": [("railing", 0.12, 0.25, 0.4), ("hedge", 0.15, 0.5, 0.7), ("brick", 0.1, 0.25, 0.4)],
    "park": [
        ("stone", 0.25, 0.3, 0.5),
        ("brick", 0.15, 0.3, 0.5),
        ("railing", 0.25, 0.3, 0.5),
        ("hedge", 0.15, 0.6, 0.8),
    ],
    "industry": [("mesh", 0.4, 0.4, 1.0), ("hoarding", 0.2, 0.4, 0.8), ("brick", 0.15, 0.3, 0.6)],
    "field": [
        ("guard rail", 0.24, 0.7, 1.2),
        ("wire", 0.14, 2.0, 5.0),
        ("rails", 0.12, 2.0, 4.0),
        ("hedge", 0.12, 2.0, 4.0),
        ("stone", 0.06, 1.5, 3.0),
    ],
    "wood": [("guard rail", 0.3, 0.7, 1.2), ("wire", 0.1, 2.0, 3.5), ("mesh", 0.08, 2.5, 3.5)],
    "farm": [
        ("rails", 0.25, 1.5, 3.0),
        ("hedge", 0.2, 1.5, 3.0),
        ("wire", 0.15, 1.5, 3.0),
        ("stone", 0.12, 1.0, 2.0),
    ],
    "avenue": [("guard rail", 0.15, 0.7, 1.0), ("rails", 0.1, 4.0, 5.0)],
    "scrub": [
        ("guard rail", 0.5, 0.5, 1.2),
        ("concrete", 0.14, 0.4, 0.8),
        ("mesh", 0.08, 5.0, 7.0),
    ],
    "open": [("guard rail", 0.4, 0.5, 1.2), ("concrete", 0.12, 0.4, 0.8), ("wire", 0.1, 5.0, 7.0)],
    "screen": [("screen", 0.85, 3.6, 5.0)],
    "median": [
        ("guard rail", 0.3, 0.0, 0.0),
        ("concrete", 0.34, 0.0, 0.0),
        ("hedge", 0.12, 0.0, 0.0),
        ("railing", 0.08, 0.0, 0.0),
    ],
    "outskirts": [
        ("guard rail", 0.45, 0.5, 1.2),
        ("concrete", 0.2, 0.4, 0.8),
        ("screen", 0.15, 3.0, 5.0),
    ],
}
MEDIAN: list[Choice] = [("guard rail", 0.4, 0.4, 0.9), ("concrete", 0.38, 0.3, 0.7),
                        ("hedge", 0.06, 1.2, 1.6)]  # fmt: skip
KERB: list[Choice] = [("pedestrian", 0.12, 0.0, 0.0)]
BRICKS = np.array([[142, 78, 60], [168, 96, 74], [120, 72, 58], [176, 142, 108], [196, 186, 170]])
STONES = np.array(
    [[150, 138, 120], [128, 120, 110], [170, 150, 120], [140, 96, 82], [110, 108, 106]]
)
PAINTS = np.array([[238, 238, 234], [110, 84, 60], [60, 64, 62], [36, 52, 44], [150, 120, 88]])
BOARDS = np.array([[232, 232, 230], [60, 90, 140], [180, 186, 190], [200, 60, 50], [120, 150, 120]])


def barriers(site: Site, rng: np.random.Generator, strength: float, ids: Ids) -> Mesh:
    """Return all barriers along all roads."""
    batch = Batch()
    for side, child in children(site.sides, rng):
        choices = CHOICES[side.setting]
        if side.place == "motorway" and not side.right:
            choices = MEDIAN
        _one(site, side, choices, strength, child, ids, batch)
        if side.setting == "screen" and side.right:
            _one(site, side, [("guard rail", 0.7, 0.5, 1.0)], strength, child, ids, batch)
        if side.place == "street" and side.pavement > 2.0 and not side.parked:
            at = 0.35 - side.pavement
            _one(site, side, [(k, p, at, at) for k, p, _, _ in KERB], strength, child, ids, batch)
    return batch.mesh()


def _one(
    site: Site, side: Side, choices: list[Choice], strength: float, rng: np.random.Generator,
    ids: Ids, batch: Batch,
) -> None:  # fmt: skip
    """Draw which barrier a stretch has, and build it."""
    draw, where, cut = rng.random(3)
    seed = int(rng.integers(2**62))
    shares = np.cumsum([share for _, share, _, _ in choices]) * strength
    chosen = int(np.searchsorted(shares, draw, side="right"))
    if chosen >= len(choices):
        return
    kind, _, near, far = choices[chosen]
    whole = kind in ("guard rail", "concrete", "screen", "hoarding", "mesh") or cut < 0.6
    begin, end = (0.0, side.length) if whole else (0.1 * side.length, (0.5 + cut / 2) * side.length)
    s = np.arange(begin, end, STEP)
    # Beside a pavement walls stand close; beside a carriageway they leave it some room.
    room = 0.5 if side.place == "street" and not side.pavement else 0.0
    for points, outward in _runs(site, side, s, near + (far - near) * where + room):
        number = int(ids.take(1)[0])
        _build(kind, points, outward, number, np.random.default_rng(seed), batch)


def _runs(site: Site, side: Side, s: Array, away: float) -> list[tuple[Array, Array]]:
    """Return the pieces (n, 3) of the line ``away`` from the edge where nothing is in the way."""
    if len(s) < 2:
        return []
    place, heading = site.spots(side, s, away)
    outward = np.stack([-np.sin(heading), np.cos(heading), np.zeros(len(s))], axis=1)
    xy = place[:, :2]
    gap = site.off_paved(xy) if away <= 0.0 else site.off_road(xy)
    free = (gap > 0.15) & ~site.plots.hold(xy, 0.1)
    free &= np.all(np.abs(place[:, :2] - np.roll(place[:, :2], 1, axis=0)) < 3 * STEP, axis=1) | (
        np.arange(len(s)) == 0
    )
    cuts = np.flatnonzero(np.diff(free.astype(int))) + 1
    pieces = np.split(np.arange(len(s)), cuts)
    return [(place[i], outward[i]) for i in pieces if free[i[0]] and len(i) > 2]


def _build(
    kind: str, points: Array, outward: Array, number: int, rng: np.random.Generator, batch: Batch
) -> None:
    """Add one barrier along points (n, 3)."""
    heading = np.arctan2(-outward[:, 0], outward[:, 1])
    tall, tone = float(rng.random()), float(rng.uniform(0.75, 1.1))

    def pick(colours: Array) -> Array:
        return np.asarray(colours[int(rng.integers(len(colours)))] * tone)

    def along(section: list[tuple[float, float]], colour: Array, material: float, tag: int) -> None:
        batch.add_mesh(sweep(points, outward, section, colour, material, tag, number))

    def posts(mesh: Mesh, colour: Array, every: int = 1, scale: float | Array = 1.0) -> None:
        batch.add(mesh, points[::every], heading[::every], scale, colour[None].repeat(
            len(points[::every]), 0), number)  # fmt: skip

    if kind == "guard rail":
        steel = np.array([176.0, 180.0, 182.0]) * tone
        w = [(-0.04, 0.4), (-0.12, 0.46), (-0.05, 0.55), (-0.12, 0.64), (-0.04, 0.71)]
        along(w, steel, PLAIN, Tag.GUARD_RAIL)
        posts(_post(0.1, 0.72, Tag.GUARD_RAIL), 0.8 * steel)
    elif kind == "concrete":
        half = [(-0.31, -0.4), (-0.31, 0.08), (-0.19, 0.3), (-0.1, 0.9)]
        section = half + [(-x, z) for x, z in reversed(half)]
        along(section, np.array([178.0, 175.0, 168.0]) * tone, WALL, Tag.WALL)
    elif kind in ("brick", "stone"):
        high = (0.6 + 0.6 * tall) if kind == "brick" and tall < 0.6 else 1.0 + 1.3 * tall
        colour = pick(BRICKS if kind == "brick" else STONES)
        along([(-0.12, -1.0), (-0.12, high), (0.12, high), (0.12, -1.0)], colour, WALL, Tag.WALL)
        cap = [(-0.18, high), (-0.18, high + 0.1), (0.18, high + 0.1), (0.18, high)]
        along(cap, np.array([150.0, 146.0, 138.0]) * tone, PLAIN, Tag.WALL)
    elif kind == "hedge":
        _hedge(points, outward, 0.9 + 1.4 * tall, number, rng, batch)
    elif kind == "screen":
        _screen(points, outward, 2.6 + 2.2 * tall, number, rng, batch)
        posts(_post(0.22, 2.7 + 2.2 * tall, Tag.WALL), np.array([120.0, 122.0, 120.0]))
    elif kind == "hoarding":
        high = 2.0 + 0.6 * tall
        along(
            [(-0.03, -0.4), (-0.03, high), (0.03, high), (0.03, -0.4)],
            pick(BOARDS),
            PLAIN,
            Tag.WALL,
        )
    else:
        _fence(kind, points, pick(PAINTS), tall, number, batch)


def _fence(kind: str, points: Array, paint: Array, tall: float, number: int, batch: Batch) -> None:
    """Add posts with palings, bars, wires or wooden rails between them."""
    along = points[1:] - points[:-1]
    long = np.linalg.norm(along, axis=1)
    turn = np.arctan2(along[:, 1], along[:, 0])
    slope = along[:, 2] / np.maximum(long, 1e-6)
    if kind == "mesh":
        paint = np.array([120.0, 132.0, 124.0])
    elif kind == "pedestrian":
        paint = np.array([150.0, 154.0, 156.0])
    scale = np.column_stack([long / STEP, np.ones((len(long), 2))])
    batch.add(_panel(kind, round(4.0 * tall) / 4.0), points[:-1], turn, scale,
              paint[None].repeat(len(long), 0), number, slope)  # fmt: skip


@functools.cache
def _post(thick: float, high: float, tag: int) -> Mesh:
    half = thick / 2.0
    return block((-half, -half, -0.6), (half, half, high), tag=tag, slot=1)


@functools.cache
def _panel(kind: str, tall: float) -> Mesh:
    """Return `STEP` metres of a fence along x: one mesh in paint slot 1."""
    bars: list[list[tuple[float, float, float]]] = []

    def upright(x: float, high: float, wide: float, low: float = -0.4) -> None:
        bars.append(
            [(x - wide, 0, low), (x + wide, 0, low), (x + wide, 0, high), (x - wide, 0, high)]
        )

    def level(z: float, thick: float, y: float = 0.0) -> None:
        bars.append(
            [(0, y, z - thick), (STEP, y, z - thick), (STEP, y, z + thick), (0, y, z + thick)]
        )

    high = {"mesh": 1.6 + 0.8 * tall, "palings": 0.8 + 0.4 * tall, "railing": 0.9 + 0.7 * tall,
            "rails": 1.1 + 0.3 * tall, "wire": 1.1, "pedestrian": 1.05}[kind]  # fmt: skip
    if kind == "mesh":
        for x in np.arange(0.0, STEP, 0.25):
            upright(x, high, 0.005)
        for z in np.linspace(0.1, high, 8):
            level(z, 0.006)
        upright(0.0, high + 0.1, 0.035)
    elif kind == "palings":
        for x in np.arange(0.06, STEP, 0.2):
            upright(x, high, 0.065, 0.05)
        level(0.25, 0.04, 0.02)
        level(0.75 * high, 0.04, 0.02)
    elif kind in ("railing", "pedestrian"):
        for x in np.arange(0.1, STEP, 0.2):
            upright(x, high, 0.012, 0.12)
        level(0.14, 0.02)
        level(high, 0.025)
        upright(0.0, high + 0.05, 0.035)
    elif kind == "rails":
        for x in (0.0, STEP / 2):
            upright(x, high, 0.06)
        for z in np.linspace(0.4, high - 0.1, 2 if tall < 0.5 else 3):
            level(z, 0.07, -0.03)
    else:
        upright(0.0, high, 0.05)
        for z in np.linspace(0.3, high - 0.1, 4):
            level(z, 0.008)
    return facets(bars, tag=Tag.FENCE, slot=1)


def _hedge(
    points: Array, outward: Array, high: float, number: int, rng: np.random.Generator, batch: Batch
) -> None:
    """Add a clipped hedge: a rounded section whose surface is uneven."""
    leaves = np.array(SEASONS[str(rng.choice(["summer", "summer", "spring", "dry"]))], float)
    tint = leaves[int(rng.integers(len(leaves)))] * float(rng.uniform(0.8, 1.1))
    wide = float(rng.uniform(0.3, 0.5))
    section = [(-wide, -0.3), (-1.1 * wide, 0.55 * high), (-0.7 * wide, high), (0.7 * wide, high),
               (1.1 * wide, 0.55 * high), (wide, -0.3)]  # fmt: skip
    mesh = sweep(points, outward, section, tint, FOLIAGE, Tag.VEGETATION, number)
    bump = rng.uniform(-0.09, 0.09, (len(section), len(points), 3))
    # Neighbouring bands share their points, whose bumps must agree; bands run from the last point.
    bands = np.stack([bump[::-1][:-1], bump[::-1][1:]], axis=1).reshape(-1, 3)
    mesh.vertices["vertex"] += bands.astype(np.float32)
    shade = rng.uniform(0.8, 1.15, (len(mesh.vertices), 1))
    mesh.vertices["color"][:, :3] = np.clip(mesh.vertices["color"][:, :3] * shade, 0, 255)
    batch.add_mesh(mesh)


def _screen(
    points: Array, outward: Array, high: float, number: int, rng: np.random.Generator, batch: Batch
) -> None:
    """Add a noise barrier: panels, on some a band of colour or of glass above."""
    style = float(rng.random())
    base = np.array([[128, 134, 124], [164, 152, 130], [110, 122, 116], [150, 150, 148]])
    colour = base[int(rng.integers(len(base)))] * float(rng.uniform(0.8, 1.1))
    other = (
        colour * 0.7 if style < 0.4 else np.array([[70, 110, 80], [60, 96, 130]])[int(style > 0.7)]
    )
    middle = 0.55 * high
    parts = [(-0.6, middle, colour, WALL), (middle, high, other, GLASS if style > 0.85 else WALL)]
    for low, top, tint, material in parts:
        section = [(-0.08, low), (-0.08, top), (0.08, top), (0.08, low)]
        batch.add_mesh(sweep(points, outward, section, tint, material, Tag.WALL, number))
