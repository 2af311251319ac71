"""What signs look like: plates of many countries on posts, direction signs, gantries.

    plate = sign("stop")        # faces +x, its post at the origin
    direction = board(4.5, 2.4, "green", seed=3)

Prototypes for `carla_bridge.world.things.copies`. Shapes and colours after the Vienna Convention on
Road Signs and Signals (1968) and the MUTCD; letters are bars, which is what they look like from
a moving car.
"""

from __future__ import annotations

import functools

import numpy as np

from carla_bridge.world.meshes import PLAIN, SIGN, Mesh, merge
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.shapes import block, facets, tube

RED, BLUE, YELLOW = (196, 28, 30), (24, 70, 160), (240, 196, 24)
GREEN, WHITE, BLACK, ORANGE = (14, 104, 64), (240, 240, 238), (24, 24, 24), (240, 130, 24)
BACK = (120, 122, 124)
BOARDS = {"green": GREEN, "blue": BLUE, "white": WHITE, "yellow": YELLOW, "brown": (110, 66, 36)}
PROUD = 0.012

Outline = list[tuple[float, float]]
"""Points (y, z) of a plate that faces +x, metres about its middle."""


def _round(radius: float, sides: int = 12, turn: float = 0.0) -> Outline:
    angle = turn + np.arange(sides) * 2.0 * np.pi / sides
    return [(radius * float(np.cos(a)), radius * float(np.sin(a))) for a in angle]


def _box(wide: float, tall: float, y: float = 0.0, z: float = 0.0) -> Outline:
    a, b = wide / 2.0, tall / 2.0
    return [(y - a, z - b), (y + a, z - b), (y + a, z + b), (y - a, z + b)]


def _triangle(radius: float, up: bool = True) -> Outline:
    return _round(radius, 3, np.pi / 2 if up else -np.pi / 2)


def _layers(
    plates: list[tuple[Outline, tuple[int, int, int]]], z: float, y: float = 0.0
) -> list[Mesh]:
    """Return plates one before the other at height ``z``, and the grey back of the first."""
    parts = []
    for i, (outline, colour) in enumerate(plates):
        x = 0.06 + PROUD * i
        face = [[x, y + a, z + b] for a, b in outline]
        parts.append(facets([face], colour, SIGN, Tag.TRAFFIC_SIGN))
    back = [[0.055, y + a, z + b] for a, b in reversed(plates[0][0])]
    return [*parts, facets([back], BACK, PLAIN, Tag.TRAFFIC_SIGN)]


_ARROW_TOP: Outline = [(-0.2, 0.0), (-0.02, 0.0), (0.2, 0.3), (0.02, 0.3)]
_ARROW_FOOT: Outline = [(-0.2, 0.0), (0.02, -0.3), (0.2, -0.3), (-0.02, 0.0)]

SIGNS: dict[str, list[tuple[Outline, tuple[int, int, int]]]] = {
    "speed": [
        (_round(0.34), RED),
        (_round(0.265), WHITE),
        (_box(0.11, 0.22, -0.08), BLACK),
        (_box(0.05, 0.12, -0.08), WHITE),
        (_box(0.11, 0.22, 0.08), BLACK),
        (_box(0.05, 0.12, 0.08), WHITE),
    ],
    "no stopping": [
        (_round(0.32), RED),
        (_round(0.25), BLUE),
        ([(-0.2, -0.15), (-0.15, -0.2), (0.2, 0.15), (0.15, 0.2)], RED),
    ],
    "no entry": [(_round(0.34), RED), (_box(0.48, 0.12), WHITE)],
    "keep": [(_round(0.34), BLUE), ([(-0.2, 0.1), (-0.1, 0.2), (0.2, -0.2), (0.12, -0.24)], WHITE)],
    "cycles": [(_round(0.32), BLUE), (_round(0.09, 8), WHITE)],
    "ban": [(_round(0.34), RED), (_round(0.265), WHITE), (_box(0.28, 0.12), BLACK)],
    "warning": [
        (_triangle(0.5), RED),
        (_triangle(0.36), WHITE),
        (_box(0.06, 0.24, 0, -0.04), BLACK),
    ],
    "yellow warning": [
        (_triangle(0.5), RED),
        (_triangle(0.36), YELLOW),
        (_box(0.06, 0.22, 0, -0.04), BLACK),
    ],
    "yield": [(_triangle(0.5, False), RED), (_triangle(0.34, False), WHITE)],
    "diamond": [
        (_round(0.5, 4), BLACK),
        (_round(0.47, 4), YELLOW),
        (_box(0.08, 0.34), BLACK),
        (_box(0.26, 0.08, 0, 0.1), BLACK),
    ],
    "works": [
        (_round(0.55, 4), BLACK),
        (_round(0.52, 4), ORANGE),
        (_box(0.3, 0.08, 0, -0.08), BLACK),
        (_box(0.08, 0.24), BLACK),
    ],
    "priority": [(_round(0.4, 4), WHITE), (_round(0.3, 4), YELLOW)],
    "stop": [
        (_round(0.4, 8, np.pi / 8), WHITE),
        (_round(0.37, 8, np.pi / 8), RED),
        (_box(0.5, 0.16), WHITE),
        (_box(0.05, 0.17, -0.09), RED),
        (_box(0.05, 0.17, 0.07), RED),
    ],
    "limit": [
        (_box(0.62, 0.78), WHITE),
        (_box(0.4, 0.07, 0, 0.28), BLACK),
        (_box(0.14, 0.3, -0.12, -0.12), BLACK),
        (_box(0.14, 0.3, 0.12, -0.12), BLACK),
    ],
    "parking": [
        (_box(0.62, 0.62), BLUE),
        (_box(0.09, 0.4, -0.09), WHITE),
        (_box(0.22, 0.22, 0.03, 0.09), WHITE),
    ],
    "crossing": [
        (_box(0.62, 0.62), BLUE),
        (_triangle(0.3), WHITE),
        (_box(0.06, 0.2, 0, -0.05), BLACK),
    ],
    "one way": [(_box(0.9, 0.32), BLUE), (_box(0.6, 0.1), WHITE)],
    "chevron": [
        (_box(0.6, 0.75), RED),
        (_ARROW_TOP, WHITE),
        (_ARROW_FOOT, WHITE),
    ],
    "black chevron": [
        (_box(0.6, 0.75), YELLOW),
        (_ARROW_TOP, BLACK),
        (_ARROW_FOOT, BLACK),
    ],
    "street name": [(_box(0.95, 0.2), BLUE), (_box(0.7, 0.08), WHITE)],
    "bus stop": [(_box(0.42, 0.5), YELLOW), (_box(0.28, 0.12), GREEN)],
}
LOW, HIGH = {"chevron": 1.0, "black chevron": 1.0, "keep": 1.0}, 2.35
"""Height of a plate's middle, metres: of some signs, and of all others."""


@functools.cache
def sign(name: str) -> Mesh:
    """Return a sign on its post."""
    z = LOW.get(name, HIGH)
    post = tube([[0, 0, -0.5], [0, 0, z + 0.3]], 0.035, 5, (150, 152, 154), tag=Tag.POLE)
    return merge([post, *_layers(SIGNS[name], z)])


@functools.cache
def second_plate(name: str) -> Mesh:
    """Return a sign without a post, to hang below another."""
    return merge(_layers(SIGNS[name], HIGH - 0.75))


def _lettering(
    rng: np.random.Generator, wide: float, tall: float, dark: bool
) -> list[tuple[Outline, tuple[int, int, int]]]:
    """Return lines of words as bars, and an arrow."""
    ink = BLACK if dark else WHITE
    plates = []
    lines = max(1, int(tall / 0.6))
    for i in range(lines):
        z = tall / 2.0 - (i + 0.75) * tall / (lines + 0.5)
        y = -wide / 2.0 + 0.3
        while y < wide / 2.0 - 0.7:
            long = float(rng.uniform(0.3, 0.9))
            if y + long < wide / 2.0 - 0.4:
                plates.append((_box(long, 0.5 * tall / (lines + 1.0), y + long / 2.0, z), ink))
            y += long + 0.25
    y = wide / 2.0 - 0.28
    plates.append(([(y - 0.06, -0.3), (y + 0.06, -0.3), (y + 0.06, 0.05), (y - 0.06, 0.05)], ink))
    plates.append(([(y - 0.2, 0.05), (y + 0.2, 0.05), (y, 0.35)], ink))
    return plates


def _sheet(
    wide: float, tall: float, colour: str, z: float, y: float, rng: np.random.Generator
) -> list[Mesh]:
    """Return a board with a rim and lettering, its middle at (y, z)."""
    dark = colour in ("white", "yellow")
    rim = BLACK if dark else WHITE
    plates = [(_box(wide, tall), rim), (_box(wide - 0.1, tall - 0.1), BOARDS[colour])]
    inks = _lettering(rng, wide, tall, dark)
    faces = _layers(plates, z, y)
    x = 0.06 + 3 * PROUD
    for corners in (3, 4):
        bars = [[[x, y + a, z + b] for a, b in ink] for ink, _ in inks if len(ink) == corners]
        faces.append(facets(bars, inks[0][1], SIGN, Tag.TRAFFIC_SIGN))
    return faces


@functools.cache
def board(wide: float, tall: float, colour: str, seed: int) -> Mesh:
    """Return a direction sign on two posts, ``wide`` by ``tall`` metres."""
    rng = np.random.default_rng(seed)
    low = 1.2 if tall < 2.0 else 1.8
    posts = [
        tube([[0, y, -0.8], [0, y, low + tall]], 0.05, 5, (140, 142, 144), tag=Tag.POLE)
        for y in (-0.3 * wide, 0.3 * wide)
    ]
    return merge([*posts, *_sheet(wide, tall, colour, low + tall / 2.0, 0.0, rng)])


@functools.cache
def gantry(span: int, colour: str, seed: int) -> Mesh:
    """Return a gantry: columns at y = 0 and y = -``span`` metres, boards over what is between.

    It faces +x; the lanes below are on -y.
    """
    rng = np.random.default_rng(seed)
    steel = (156, 160, 162)
    parts = [
        block((-0.2, y - 0.15, -0.8), (0.2, y + 0.15, 6.6), steel, tag=Tag.POLE)
        for y in (0.0, -span)
    ]
    for z in (5.7, 6.5):
        parts.append(block((-0.1, -span, z), (0.05, 0.0, z + 0.14), steel, tag=Tag.POLE))
    bars = [
        [[0.0, y, 5.8], [0.0, y + 0.08, 5.8], [0.0, y + 0.88, 6.5], [0.0, y + 0.8, 6.5]]
        for y in np.arange(-span + 0.5, -0.5, 1.6)
    ]
    parts.append(facets(bars, steel, tag=Tag.POLE))
    count = int(rng.integers(1, max(2, span // 4) + 1))
    wide = min(4.4, (span - 1.0) / count - 0.4)
    for i in range(count):
        y = -span + (i + 0.5) * span / count
        parts += _sheet(wide, float(rng.uniform(1.6, 2.6)), colour, 6.5, y, rng)
    return merge(parts)
