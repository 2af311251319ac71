"""What stands on pavements and verges: lamps, traffic lights, posts, bins, shelters, cones.

    lamp, head = LAMPS["arm"].mesh, LAMPS["arm"].head

Prototypes for `things.copies` in the frame of a roadside: x along the road, y away
from it, the ground at z = 0. Signs and traffic lights face along +x and are turned to the
traffic; paint slot 1 is a thing's own colour.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from carla_bridge.world.meshes import GLASS, LAMP, LIGHT, PLAIN, WALL, Mesh, merge
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.shapes import block, disc, facets, tube

WHITE = (255, 255, 255)
FOOT = -0.5
"""Posts go on below the ground."""


@dataclass(frozen=True)
class Lamp:
    """A street lamp: its prototype, and where its light is, metres."""

    head: tuple[float, float, float]
    build: Callable[[tuple[float, float, float]], list[Mesh]]

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The prototype."""
        return merge(self.build(self.head))


def _mast(high: float, thick: float, sides: int = 6) -> Mesh:
    return tube(
        [[0, 0, FOOT], [0, 0, 1.2], [0, 0, high]],
        [thick, 0.75 * thick, 0.45 * thick],
        sides,
        WHITE,
        tag=Tag.POLE,
        slot=1,
    )


def _glow(y: float, z: float, long: float, wide: float) -> Mesh:
    """Return a lamp's shining underside."""
    a, b = long / 2.0, wide / 2.0
    face = [[-b, y - a, z], [-b, y + a, z], [b, y + a, z], [b, y - a, z]]
    return facets([face], (240, 236, 220), LAMP, Tag.POLE)


def _arm_lamp(head: tuple[float, float, float]) -> list[Mesh]:
    """Return a mast whose arm rises over the road (which is at negative y)."""
    _, y, z = head
    path = [[0, 0, z - 0.9], [0, 0.25 * y, z - 0.3], [0, 0.6 * y, z + 0.02], [0, y + 0.3, z + 0.06]]
    return [
        _mast(z - 0.8, 0.1),
        tube(path, [0.05, 0.045, 0.04, 0.035], 5, WHITE, tag=Tag.POLE, slot=1),
        block(
            (-0.14, y - 0.35, z),
            (0.14, y + 0.35, z + 0.13),
            (210, 210, 210),
            tag=Tag.POLE,
            taper=0.7,
        ),
        _glow(y, z - 0.005, 0.6, 0.22),
    ]


def _straight_lamp(head: tuple[float, float, float]) -> list[Mesh]:
    """Return a modern mast with a flat head."""
    _, y, z = head
    return [
        _mast(z + 0.05, 0.09),
        tube([[0, 0, z], [0, y, z + 0.04]], 0.04, 4, WHITE, tag=Tag.POLE, slot=1),
        block((-0.16, y - 0.4, z), (0.16, y + 0.4, z + 0.08), (170, 172, 176), tag=Tag.POLE),
        _glow(y, z - 0.005, 0.7, 0.26),
    ]


def _double_lamp(head: tuple[float, float, float]) -> list[Mesh]:
    """Return a mast for a median, with a head to each side."""
    _, y, z = head
    parts = _straight_lamp(head)
    other = _straight_lamp((0.0, -y, z))[1:]
    return [*parts, *other]


def _lantern(head: tuple[float, float, float]) -> list[Mesh]:
    """Return a lantern on a short post, as in old towns and parks."""
    z = head[2]
    return [
        _mast(z - 0.3, 0.09, 6),
        tube([[0, 0, z - 0.3], [0, 0, z + 0.2]], [0.12, 0.2], 6, (236, 232, 214), LAMP, Tag.POLE),
        tube([[0, 0, z + 0.2], [0, 0, z + 0.45]], [0.26, 0.03], 6, WHITE, tag=Tag.POLE, slot=1),
    ]


LAMPS = {
    "arm": Lamp((0.0, -1.9, 8.2), _arm_lamp),
    "tall arm": Lamp((0.0, -2.4, 10.5), _arm_lamp),
    "straight": Lamp((0.0, -1.0, 7.0), _straight_lamp),
    "double": Lamp((0.0, -1.8, 10.0), _double_lamp),
    "lantern": Lamp((0.0, 0.0, 4.2), _lantern),
}

LENSES = ((255, 44, 30), (255, 168, 20), (40, 255, 140))
"""Red, amber, green, from above."""


def _signal(x: float, y: float, low: float, lit: int) -> list[Mesh]:
    """Return a housing with three lenses and a backing board, facing +x; ``lit`` 0 is red."""
    tag = Tag.TRAFFIC_LIGHT
    parts = [
        block((x - 0.16, y - 0.15, low), (x + 0.1, y + 0.15, low + 1.0), (26, 27, 28), tag=tag),
        facets([[[x - 0.02, y - 0.26, low - 0.1], [x - 0.02, y + 0.26, low - 0.1],
                 [x - 0.02, y + 0.26, low + 1.1], [x - 0.02, y - 0.26, low + 1.1]]],
               (20, 20, 21), tag=tag),
    ]  # fmt: skip
    for i, colour in enumerate(LENSES):
        shown = colour if i == lit else tuple(c // 8 + 8 for c in colour)
        z = low + 0.82 - 0.32 * i
        kind = LIGHT if i == lit else PLAIN
        parts.append(disc((x + 0.12, y, z), 0.11, "+x", 8, shown, kind, tag))
        visor = [[x + 0.1, y - 0.12, z + 0.12], [x + 0.3, y - 0.12, z + 0.1],
                 [x + 0.3, y + 0.12, z + 0.1], [x + 0.1, y + 0.12, z + 0.12]]  # fmt: skip
        parts.append(facets([visor], (18, 18, 19), tag=tag))
    return parts


@functools.cache
def traffic_light(style: str, lit: int) -> Mesh:
    """Return a traffic light: "post", "arm" over the lane, or "far" (tall, with two heads)."""
    post = tube([[0, 0, FOOT], [0, 0, 3.5]], [0.07, 0.055], 6, WHITE, tag=Tag.POLE, slot=1)
    if style == "post":
        return merge([post, *_signal(0.1, 0.0, 2.4, lit)])
    # Lanes are on the left of who comes: +y, seen along -x, is on the right.
    reach = 4.2 if style == "arm" else 6.5
    mast = tube([[0, 0, FOOT], [0, 0, 5.9]], [0.13, 0.09], 6, WHITE, tag=Tag.POLE, slot=1)
    arm = tube(
        [[0, 0, 5.6], [0, -0.5 * reach, 5.9], [0, -reach, 6.0]],
        [0.08, 0.06, 0.045],
        5,
        WHITE,
        tag=Tag.POLE,
        slot=1,
    )
    heads = [*_signal(0.1, -reach + 0.3, 5.1, lit), *_signal(0.1, 0.0, 2.5, lit)]
    if style == "far":
        heads += _signal(0.1, -reach + 3.2, 5.1, lit)
    return merge([mast, arm, *heads])


def _bin() -> list[Mesh]:
    return [tube([[0, 0, 0], [0, 0, 0.85], [0, 0, 1.0]], [0.24, 0.28, 0.2], 7, WHITE,
                 tag=Tag.STATIC, slot=1, cap=True)]  # fmt: skip


def _wheeled_bin() -> list[Mesh]:
    return [
        block((-0.28, -0.3, 0.05), (0.28, 0.3, 1.0), tag=Tag.STATIC, slot=1, taper=1.15),
        block((-0.35, -0.38, 1.0), (0.35, 0.38, 1.08), (60, 60, 60), tag=Tag.STATIC),
    ]


def _bollard() -> list[Mesh]:
    return [
        tube(
            [[0, 0, FOOT], [0, 0, 0.95]], [0.08, 0.07], 6, WHITE, tag=Tag.STATIC, slot=1, cap=True
        ),
        tube([[0, 0, 0.72], [0, 0, 0.84]], 0.082, 6, (230, 230, 226), tag=Tag.STATIC),
    ]


def _delineator() -> list[Mesh]:
    """Return a post with a slanted black band and a reflector on each side."""
    parts = [
        block((-0.06, -0.06, FOOT), (0.06, 0.06, 1.0), (236, 236, 232), tag=Tag.STATIC, taper=0.8),
        block(
            (-0.062, -0.062, 0.72), (0.062, 0.062, 0.92), (22, 22, 22), tag=Tag.STATIC, taper=0.95
        ),
    ]
    plate = np.array(
        [[0.066, -0.03, 0.74], [0.066, 0.03, 0.74], [0.066, 0.03, 0.9], [0.066, -0.03, 0.9]]
    )
    back = plate[::-1] * [-1.0, 1.0, 1.0]
    return [*parts, facets([plate, back], (226, 120, 40), 7.0, Tag.STATIC)]


def _cone() -> list[Mesh]:
    tag = Tag.DYNAMIC
    return [
        block((-0.2, -0.2, 0.0), (0.2, 0.2, 0.05), (40, 40, 42), tag=tag),
        tube([[0, 0, 0.04], [0, 0, 0.72]], [0.15, 0.03], 7, (232, 84, 24), tag=tag, cap=True),
        tube([[0, 0, 0.32], [0, 0, 0.5]], [0.108, 0.074], 7, (240, 240, 236), tag=tag),
    ]


def _hydrant() -> list[Mesh]:
    return [
        tube([[0, 0, 0], [0, 0, 0.55], [0, 0, 0.75]], [0.14, 0.13, 0.05], 7, WHITE, tag=Tag.STATIC,
             slot=1, cap=True),
        block((-0.22, -0.06, 0.4), (0.22, 0.06, 0.52), tag=Tag.STATIC, slot=1),
    ]  # fmt: skip


def _cabinet() -> list[Mesh]:
    return [block((-0.6, -0.2, -0.2), (0.6, 0.2, 1.25), tag=Tag.STATIC, slot=1)]


def _bench() -> list[Mesh]:
    wood = (130, 98, 66)
    return [
        block((-0.9, -0.2, 0.4), (0.9, 0.25, 0.46), wood, tag=Tag.STATIC),
        block((-0.9, 0.2, 0.5), (0.9, 0.26, 0.9), wood, tag=Tag.STATIC),
        block((-0.8, -0.15, 0.0), (-0.7, 0.22, 0.42), (50, 50, 52), tag=Tag.STATIC),
        block((0.7, -0.15, 0.0), (0.8, 0.22, 0.42), (50, 50, 52), tag=Tag.STATIC),
    ]


def _planter() -> list[Mesh]:
    green = tube(
        [[0, 0, 0.5], [0, 0, 1.1]], [0.55, 0.2], 7, (70, 104, 48), 2.0, Tag.VEGETATION, cap=True
    )
    return [
        block((-0.6, -0.6, 0.0), (0.6, 0.6, 0.55), (170, 164, 154), WALL, Tag.STATIC, taper=1.1),
        green,
    ]


def _shelter() -> list[Mesh]:
    """Return a bus shelter that is open to the road."""
    tag = Tag.STATIC
    posts = [block((x - 0.05, y - 0.05, 0.0), (x + 0.05, y + 0.05, 2.4), (60, 64, 68), tag=tag)
             for x in (-1.9, 1.9) for y in (-0.6, 0.6)]  # fmt: skip
    panes = facets(
        [
            [[-1.9, 0.58, 0.3], [1.9, 0.58, 0.3], [1.9, 0.58, 2.2], [-1.9, 0.58, 2.2]],
            [[1.88, -0.6, 0.3], [1.88, 0.6, 0.3], [1.88, 0.6, 2.2], [1.88, -0.6, 2.2]],
        ],
        (88, 100, 104), GLASS, tag,
    )  # fmt: skip
    poster = facets([[[-1.9, 0.6, 0.4], [-1.9, -0.5, 0.4], [-1.9, -0.5, 2.1], [-1.9, 0.6, 2.1]]],
                    tag=tag, slot=1)  # fmt: skip
    roof = block((-2.1, -0.85, 2.4), (2.1, 0.75, 2.52), (80, 84, 88), tag=tag)
    return [
        *posts,
        panes,
        poster,
        roof,
        block((-1.4, 0.15, 0.42), (1.4, 0.5, 0.5), (150, 60, 50), tag=tag),
    ]


def _column() -> list[Mesh]:
    """Return an advertising column."""
    return [
        tube([[0, 0, 0], [0, 0, 2.7]], 0.62, 9, WHITE, tag=Tag.STATIC, slot=1),
        tube(
            [[0, 0, 2.7], [0, 0, 2.85], [0, 0, 3.2]],
            [0.74, 0.74, 0.1],
            9,
            (70, 84, 76),
            tag=Tag.STATIC,
        ),
    ]


def _board() -> list[Mesh]:
    """Return a sandwich board, as shops put out."""
    low, high = 0.0, 1.05
    front = [[-0.3, -0.25, low], [0.3, -0.25, low], [0.3, -0.03, high], [-0.3, -0.03, high]]
    back = [[0.3, 0.25, low], [-0.3, 0.25, low], [-0.3, 0.03, high], [0.3, 0.03, high]]
    return [facets([front, back], tag=Tag.DYNAMIC, slot=1)]


BUILDERS: dict[str, Callable[[], list[Mesh]]] = {
    "bin": _bin,
    "wheeled bin": _wheeled_bin,
    "bollard": _bollard,
    "delineator": _delineator,
    "cone": _cone,
    "hydrant": _hydrant,
    "cabinet": _cabinet,
    "bench": _bench,
    "planter": _planter,
    "shelter": _shelter,
    "column": _column,
    "board": _board,
}


@functools.cache
def thing(name: str) -> Mesh:
    """Return one of the small things in `BUILDERS`."""
    return merge(BUILDERS[name]())
