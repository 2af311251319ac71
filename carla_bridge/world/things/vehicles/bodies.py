"""What cars look like: eleven bodies from hatchback to pickup, each built once from a side view.

    body, length, width = CARS["estate"].mesh, CARS["estate"].length, CARS["estate"].width

Prototypes for `things.copies`: wheels stand on z = 0, the nose points along x, the
origin is the middle; paint slot 1 is the car's colour. A car is a lower body and a glass house,
both lofted over sections from tail to nose, with windows, lights and plates laid on.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from carla_bridge.world.meshes import GLASS, LAMP, LIGHT, PLAIN, Array, Mesh, boxes, make, merge
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.shapes import disc, facets, loft

BLACK, DARK_GLASS, CHROME = (16, 16, 17), (20, 24, 28), (120, 122, 125)
HEADLIGHT, TAILLIGHT = (236, 238, 232), (104, 8, 8)
PROUD = 0.015
"""Metres by which glass and lights stand out of the body, for the depth buffer."""


@dataclass(frozen=True)
class Body:
    """A side view in metres; x from the middle of the car, forward.

    ``nose``: the height of the bonnet's front; ``cowl`` and ``tail``: (x, z) of the feet of the
    windscreen and of the rear window; ``roof``: x of its front and rear; ``bed``: a pickup's;
    ``blind``: a van without rear side windows.
    """

    length: float
    width: float
    height: float
    nose: float
    cowl: tuple[float, float]
    roof: tuple[float, float]
    tail: tuple[float, float]
    clear: float = 0.2
    wheel: float = 0.31
    bed: bool = False
    blind: bool = False

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The prototype."""
        return merge([_lower(self), *_upper(self), *_ends(self), *_wheels(self)])


CARS = {
    "city": Body(3.55, 1.62, 1.5, 0.78, (1.05, 0.96), (0.4, -1.35), (-1.68, 0.98)),
    "hatch": Body(4.1, 1.76, 1.46, 0.72, (1.0, 0.94), (0.22, -1.45), (-1.93, 0.98)),
    "golf": Body(4.28, 1.8, 1.5, 0.74, (0.98, 0.96), (0.15, -1.6), (-2.0, 1.0), wheel=0.32),
    "saloon": Body(4.6, 1.8, 1.44, 0.7, (0.95, 0.94), (0.1, -1.0), (-1.65, 1.02), wheel=0.32),
    "limousine": Body(4.9, 1.88, 1.46, 0.72, (1.1, 0.96), (0.25, -1.05), (-1.8, 1.04), wheel=0.33),
    "estate": Body(4.65, 1.8, 1.48, 0.72, (1.0, 0.95), (0.15, -1.85), (-2.2, 1.02), wheel=0.32),
    "coupe": Body(4.3, 1.82, 1.3, 0.64, (0.7, 0.86), (-0.15, -0.75), (-1.75, 0.96), wheel=0.33),
    "suv": Body(
        4.55, 1.88, 1.7, 0.94, (1.0, 1.14), (0.35, -1.75), (-2.12, 1.14), clear=0.27, wheel=0.36
    ),
    "jeep": Body(
        4.4, 1.86, 1.86, 1.08, (0.85, 1.2), (0.5, -2.0), (-2.14, 1.2), clear=0.32, wheel=0.39
    ),
    "minivan": Body(4.7, 1.86, 1.78, 0.86, (1.5, 1.08), (0.62, -2.0), (-2.26, 1.08), wheel=0.33),
    "van": Body(
        5.3, 1.98, 2.3, 1.02, (1.95, 1.2), (1.2, -2.5), (-2.6, 1.2), clear=0.24, wheel=0.35,
        blind=True,
    ),
    "pickup": Body(
        5.4, 1.92, 1.82, 1.02, (1.15, 1.18), (0.55, -0.5), (-0.75, 1.18), clear=0.32, wheel=0.4,
        bed=True,
    ),
}  # fmt: skip


def _lower(body: Body) -> Mesh:
    """Return the body below the windows, from the tail to the nose."""
    half, end, low = body.width / 2.0, body.length / 2.0, body.clear
    (cowl, belt), (tail, deck) = body.cowl, body.tail
    # Rows: x, underside, top, half width.
    rows = np.array(
        [
            [-end, low + 0.12, deck - 0.1, 0.84 * half],
            [-end + 0.1, low + 0.04, deck, 0.95 * half],
            [max(tail, -end + 0.2), low, deck, half],
            [cowl, low, belt, half],
            [(cowl + end) / 2.0 + 0.1, low, 0.45 * belt + 0.55 * body.nose, half],
            [end - 0.13, low + 0.02, body.nose, 0.94 * half],
            [end, low + 0.08, body.nose - 0.14, 0.8 * half],
        ]
    )
    x, under, top, wide = rows.T
    waist = under + 0.62 * (top - under)
    right = np.stack(
        [
            np.stack([x, -0.95 * wide, under], 1),
            np.stack([x, -wide, waist], 1),
            np.stack([x, -0.93 * wide, top], 1),
        ],
        axis=1,
    )
    sections = np.concatenate([right * [1.0, -1.0, 1.0], right[:, ::-1]], axis=1)
    caps = facets([sections[0][::-1], sections[-1]], tag=Tag.CAR, slot=1)
    floor = boxes(
        [[0, 0, low]], [[0.9 * body.length, 0.86 * body.width, 0.24]], 0.0, BLACK, tag=Tag.CAR
    )
    return merge([loft(sections, tag=Tag.CAR, slot=1), caps, floor])


def _rail(body: Body, z: Array) -> Array:
    """Return how far out (n,) the side of the glass house stands at heights ``z`` (n,)."""
    belt = body.cowl[1]
    up = (z - belt) / (body.height - 0.06 - belt)
    return np.asarray((0.92 - 0.18 * up) * body.width / 2.0)


def _upper(body: Body) -> list[Mesh]:
    """Return pillars, roof and windows."""
    half, high = body.width / 2.0, body.height
    (front, belt), (rear, deck), (roof, back) = body.cowl, body.tail, body.roof
    middle = (roof + back) / 2.0

    def station(x: float, z: float) -> Array:
        drop = 0.0 if z < high - 0.2 else 0.06
        side = [(x, 0.92 * half, min(z, belt)), (x, 0.74 * half, z - drop), (x, 0.6 * half, z)]
        left = np.array(side)
        return np.concatenate([left, left[::-1] * [1.0, -1.0, 1.0]])

    stations = [(rear, deck), (back, high - 0.04), (middle, high), (roof, high - 0.03),
                (front, belt)]  # fmt: skip
    shell = loft([station(x, z) for x, z in stations], tag=Tag.CAR, slot=1)
    return [shell, _side_windows(body), _screens(body)]


def _side_windows(body: Body) -> Mesh:
    """Return the windows of both sides; a blind van has only its doors'."""
    (front, belt), (rear, _), (roof, back) = body.cowl, body.tail, body.roof
    low, high = belt + 0.04, body.height - 0.14
    pillar = 0.5 * (roof + back) + 0.12 if not (body.blind or body.bed) else back + 0.2
    pillar = roof - 0.75 if body.blind else pillar
    # Outlines in x and z, counter-clockwise seen from the left: from +y, x runs to the left.
    panes = [[(front - 0.2, low), (pillar + 0.04, low), (pillar + 0.04, high), (roof - 0.1, high)]]
    if not (body.blind or body.bed):
        foot, head = rear + 0.3, back + 0.12
        door = max(0.5 * (pillar + foot), foot + 0.4)
        panes.append([(pillar - 0.04, low), (door, low), (door, high), (pillar - 0.04, high)])
        panes.append([(door - 0.06, low), (foot, low), (min(head, door - 0.1), high),
                      (door - 0.06, high)])  # fmt: skip
    outline = np.array(panes)
    left = np.stack(
        [outline[..., 0], _rail(body, outline[..., 1]) + PROUD, outline[..., 1]], axis=-1
    )
    both = np.concatenate([left, left[:, ::-1] * [1.0, -1.0, 1.0]])
    return facets(both, DARK_GLASS, GLASS, Tag.CAR)


def _screens(body: Body) -> Mesh:
    """Return windscreen and rear window."""
    half, high = body.width / 2.0, body.height
    (front, belt), (rear, deck), (roof, back) = body.cowl, body.tail, body.roof

    def pane(foot: float, z: float, head: float, ahead: float) -> list[list[float]]:
        low, top = 0.06, 0.93
        x0, z0 = foot + (head - foot) * low, z + (high - 0.05 - z) * low
        x1, z1 = foot + (head - foot) * top, z + (high - 0.05 - z) * top
        out = 2.0 * PROUD * ahead
        y0, y1 = 0.82 * half * ahead, 0.64 * half * ahead
        return [[x0 + out, -y0, z0 + PROUD], [x0 + out, y0, z0 + PROUD],
                [x1 + out, y1, z1 + PROUD], [x1 + out, -y1, z1 + PROUD]]  # fmt: skip

    panes = [pane(front, belt, roof, 1.0)]
    if not body.blind:
        panes.append(pane(rear, deck, back, -1.0))
    return facets(panes, DARK_GLASS, GLASS, Tag.CAR)


def _ends(body: Body) -> list[Mesh]:
    """Return lights, number plates, grille, bumpers and mirrors."""
    half, end = body.width / 2.0, body.length / 2.0
    nose, deck, low = body.nose - 0.14, body.tail[1] - 0.1, body.clear + 0.12
    # Saloons have low and wide tail lights, cars with a tailgate upright ones.
    upright = body.tail[0] < -end + 0.45 or body.bed
    tall, inner = (0.36, 0.6) if upright else (0.14, 0.38)
    lamp = min(0.17, 0.3 * (nose - low))

    def plate(
        y: tuple[float, float], z: tuple[float, float], ahead: float, out: float = PROUD
    ) -> list[list[float]]:
        x = (end + out) * ahead
        a, b = (y[0], y[1]) if ahead > 0 else (y[1], y[0])
        return [[x, a, z[0]], [x, b, z[0]], [x, b, z[1]], [x, a, z[1]]]

    def pair(inside: float, low: float, high: float, ahead: float) -> list[list[list[float]]]:
        spans = ((inside * half, 0.8 * half), (-0.8 * half, -inside * half))
        return [plate(span, (low, high), ahead) for span in spans]

    head = pair(0.47, nose - lamp, nose - 0.02, 1.0)
    rear = pair(inner, deck - tall, deck - 0.02, -1.0)
    # The lights go round the corners, where the body narrows.
    back, side = (-end - 0.01, 0.84 * half), (-end + 0.1, 0.955 * half)
    wrap = [[*back, deck - tall], [*back, deck - 0.02], [*side, deck + 0.02], [*side, deck - tall]]
    wraps = np.array([wrap, [[x, -y, z] for x, y, z in reversed(wrap)]])
    grille = plate((-0.42 * half, 0.42 * half), (nose - 0.16, nose - 0.05), 1.0)
    intake = plate((-0.62 * half, 0.62 * half), (low, low + 0.14), 1.0)
    skirt = plate((-0.8 * half, 0.8 * half), (low, low + 0.16), -1.0)
    number = [plate((-0.26, 0.26), (low + 0.1, low + 0.21), 1.0, 2 * PROUD)]
    middle = 0.5 * (low + 0.14 + deck)
    number.append(plate((-0.26, 0.26), (middle - 0.06, middle + 0.06), -1.0))
    x = body.cowl[0] - 0.3
    z = body.cowl[1]
    spans = ((half - 0.02, half + 0.17), (-half - 0.17, -half + 0.02))
    glass = [[[x, b, z], [x, a, z], [x, a, z + 0.14], [x, b, z + 0.14]] for a, b in spans]
    shells = [[[x + 0.1, *corner[1:]] for corner in reversed(pane)] for pane in glass]
    return [
        facets(head, HEADLIGHT, LAMP, Tag.CAR),
        facets(rear, TAILLIGHT, LIGHT, Tag.CAR),
        facets(wraps, TAILLIGHT, LIGHT, Tag.CAR),
        facets([grille, intake, skirt], (24, 24, 26), PLAIN, Tag.CAR),
        facets(number, (222, 222, 206), PLAIN, Tag.CAR),
        facets(glass, DARK_GLASS, GLASS, Tag.CAR),
        facets(shells, (235, 235, 235), PLAIN, Tag.CAR, 1),
    ]


def _wheels(body: Body) -> list[Mesh]:
    """Return four wheels in their arches."""
    front, rear = 0.5 * body.length - 0.82, -0.5 * body.length + 0.78
    return [
        wheel(x, side * (body.width / 2.0 + 0.012), body.wheel, side, Tag.CAR, arch=1.17)
        for x in (front, rear)
        for side in (1.0, -1.0)
    ]


def wheel(
    x: float, y: float, radius: float, side: float, tag: int, arch: float = 0.0, wide: float = 0.22
) -> Mesh:
    """Return a wheel whose outer face is at ``y``, on the left (``side`` 1) or right (-1).

    ``arch`` is the radius of the dark ring in the body behind it, in wheel radii.
    """
    axis = "+y" if side > 0 else "-y"
    turn = np.arange(8) * np.pi / 4.0 + np.pi / 8.0
    ring = np.stack([x + radius * np.cos(turn), radius * np.sin(turn) + radius], axis=1)
    out = np.column_stack([ring[:, 0], np.full(8, y), ring[:, 1]])
    inner = out - [0.0, side * wide, 0.0]
    # Of the tread only what faces forward and backward is ever seen.
    a = np.array([0, 2, 3, 4, 6, 7])
    b = (a + 1) % 8
    if side < 0:
        a, b = b, a
    triangles = np.concatenate([np.stack([a, b, b + 8], 1), np.stack([a, b + 8, a + 8], 1)])
    normal = np.column_stack([np.cos(turn), np.zeros(8), np.sin(turn)])
    tread = make(np.concatenate([out, inner]), triangles, BLACK, np.tile(normal, (2, 1)), tag=tag)
    parts = [
        tread,
        disc((x, y, radius), radius, axis, 8, BLACK, tag=tag, turn=np.pi / 8.0),
        disc((x, y + side * 0.01, radius), 0.62 * radius, axis, 5, CHROME, tag=tag),
    ]
    if arch:
        hub = (x, y - side * 0.007, radius)
        parts.append(disc(hub, arch * radius, axis, 6, (12, 12, 13), tag=tag))
    return merge(parts)
