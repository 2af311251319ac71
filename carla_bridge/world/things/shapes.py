"""Shapes that things are built of: flat faces, tubes, lofts, bands along a line, lumps.

    post = tube([[0, 0, 0], [0, 0, 8]], [0.1, 0.06], sides=6, colour=(120, 120, 120))
    plate = facets([[[0, -0.3, 2], [0, 0.3, 2], [0, 0.3, 2.6], [0, -0.3, 2.6]]], (200, 30, 30))

Every face is counter-clockwise seen from outside. ``slot`` is the paint slot of a prototype
(see `carla_bridge.world.things.copies`) or, for what is built in place, the instance id.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from carla_bridge.world.meshes import PLAIN, Array, Mesh, boxes, make, merge

Colour = npt.ArrayLike


def facets(
    corners: npt.ArrayLike,
    colour: Colour = (255, 255, 255),
    kind: float = PLAIN,
    tag: int = 0,
    slot: npt.ArrayLike = 0,
    floor: npt.ArrayLike = 0.0,
) -> Mesh:
    """Return n flat convex faces of k corners: ``corners`` (n, k, 3) metres.

    ``colour`` (3,) or (n, 3), ``slot`` one or (n,). The texture is in metres: u along a face's
    first edge, v across it from ``floor`` (one or (n,)) metres.
    """
    corners = np.asarray(corners, float)
    n, k = corners.shape[:2]
    following = np.roll(corners, -1, axis=1)
    normal = _unit(_cross(corners, following).sum(axis=1))
    along = _unit(corners[:, 1] - corners[:, 0])
    across = _cross(normal, along)
    local = corners - corners[:, :1]
    uvw = np.empty((n, k, 3))
    uvw[..., 0] = np.einsum("nkc,nc->nk", local, along)
    uvw[..., 1] = np.einsum("nkc,nc->nk", local, across) + np.reshape(floor, (-1, 1))
    uvw[..., 2] = kind
    fan = np.stack([np.zeros(k - 2, int), np.arange(1, k - 1), np.arange(2, k)], axis=1)
    triangles = (np.arange(n)[:, None, None] * k + fan).reshape(-1, 3)
    return make(
        corners.reshape(-1, 3),
        triangles,
        np.repeat(np.broadcast_to(np.asarray(colour, float), (n, 3)), k, axis=0),
        np.repeat(normal, k, axis=0),
        uvw.reshape(-1, 3),
        tag,
        np.repeat(np.broadcast_to(np.asarray(slot), n), k),
    )


def block(
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    colour: Colour = (255, 255, 255),
    kind: float = PLAIN,
    tag: int = 0,
    slot: int = 0,
    taper: float = 1.0,
) -> Mesh:
    """Return a box without a floor between two corners."""
    first, last = np.array(low), np.array(high)
    return boxes([(first + last) / 2.0], [last - first], 0.0, colour, kind, taper, tag, slot)


def disc(
    centre: npt.ArrayLike,
    radius: float,
    axis: str,
    sides: int = 8,
    colour: Colour = (255, 255, 255),
    kind: float = PLAIN,
    tag: int = 0,
    slot: int = 0,
    turn: float = 0.0,
) -> Mesh:
    """Return a regular polygon that faces ``axis``: "+x", "-x", "+y" or "-y"."""
    angle = turn + np.arange(sides) * 2.0 * np.pi / sides
    wide, tall = radius * np.cos(angle), radius * np.sin(angle)
    zero = np.zeros(sides)
    ring = {
        "+x": np.stack([zero, wide, tall], 1),
        "-x": np.stack([zero, -wide, tall], 1),
        "+y": np.stack([-wide, zero, tall], 1),
        "-y": np.stack([wide, zero, tall], 1),
    }[axis]
    return facets([np.asarray(centre) + ring], colour, kind, tag, slot)


def tube(
    path: Sequence[Sequence[float] | Array] | Array,
    radii: npt.ArrayLike,
    sides: int = 5,
    colour: Colour = (255, 255, 255),
    kind: float = PLAIN,
    tag: int = 0,
    slot: int = 0,
    cap: bool = False,
) -> Mesh:
    """Return a round bar along ``path`` (k, 3) with a radius at each point; ``cap`` its far end."""
    path = np.asarray(path, float)
    radii = np.broadcast_to(np.asarray(radii, float), len(path))
    ahead = _unit(np.gradient(path, axis=0))
    # Any direction across will do, but one for the whole tube, or it would twist.
    hint = np.eye(3)[np.abs(ahead).max(axis=0).argmin()]
    first = _unit(_cross(hint, ahead))
    second = _cross(ahead, first)
    angle = np.arange(sides) * 2.0 * np.pi / sides + np.pi / sides
    radial = (
        np.cos(angle)[None, :, None] * first[:, None]
        + np.sin(angle)[None, :, None] * second[:, None]
    )
    ring = path[:, None] + radial * radii[:, None, None]
    i, j = np.meshgrid(np.arange(len(path) - 1), np.arange(sides), indexing="ij")
    a, b = i * sides + j, i * sides + (j + 1) % sides
    first_half = np.stack([a, b, b + sides], -1)
    second_half = np.stack([a, b + sides, a + sides], -1)
    triangles = np.concatenate([first_half.reshape(-1, 3), second_half.reshape(-1, 3)])
    body = make(
        ring.reshape(-1, 3), triangles, colour, radial.reshape(-1, 3), (0.0, 0.0, kind), tag, slot
    )
    return merge([body, facets([ring[-1]], colour, kind, tag, slot)]) if cap else body


def loft(
    sections: npt.ArrayLike,
    colour: Colour = (255, 255, 255),
    kind: float = PLAIN,
    tag: int = 0,
    slot: int = 0,
) -> Mesh:
    """Return the skin over ``sections`` (n, k, 3): round along them, creased between their points.

    Seen along the sections' order, a section's points run from the left over the top to the
    right.
    """
    lines = np.asarray(sections, float).transpose(1, 0, 2)  # (k, n, 3)
    k, n = lines.shape[:2]
    band = np.stack([lines[:-1], lines[1:]], axis=1)  # (k - 1, 2, n, 3)
    face = _cross(band[:, 1, 1:] - band[:, 0, :-1], band[:, 0, 1:] - band[:, 1, :-1])
    padded = np.concatenate([face[:, :1], face, face[:, -1:]], axis=1)
    normal = np.repeat(_unit(padded[:, :-1] + padded[:, 1:])[:, None], 2, axis=1)
    first = (np.arange(k - 1)[:, None] * 2 * n + np.arange(n - 1)).ravel()
    a, b, c, d = first, first + n, first + n + 1, first + 1
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    place = band.reshape(-1, 3)
    return make(place, triangles, colour, normal.reshape(-1, 3), (0, 0, kind), tag, slot)


def sweep(
    points: Array,
    outward: Array,
    section: npt.ArrayLike,
    colour: Colour = (255, 255, 255),
    kind: float = PLAIN,
    tag: int = 0,
    slot: int = 0,
) -> Mesh:
    """Return a profile drawn along a line: a rail, a wall, a hedge.

    ``points`` and unit ``outward`` (n, 3) metres, with the line's own direction so that outward is
    on its left; ``section`` (k, 2) is (outward, up) from the road's side over the top to the other.
    The texture is in metres: u along, v around the section.
    """
    section = np.asarray(section, float)
    rows = points[:, None] + outward[:, None] * section[:, :1] + section[:, 1:] * [0.0, 0.0, 1.0]
    skin = loft(rows[:, ::-1], colour, kind, tag, slot)
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    around = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(section, axis=0), axis=1))])
    around = around[::-1]
    skin.vertices["texcoord"][:, 0] = np.tile(s, 2 * (len(section) - 1))
    edges = np.stack([around[:-1], around[1:]], axis=1).ravel()
    skin.vertices["texcoord"][:, 1] = np.repeat(edges, len(points))
    return skin


def lump(
    rng: np.random.Generator,
    centre: npt.ArrayLike,
    radius: npt.ArrayLike,
    sides: int = 6,
    rows: int = 3,
    rough: float = 0.25,
    kind: float = PLAIN,
    tag: int = 0,
    slot: int = 1,
) -> Mesh:
    """Return an uneven ball, (rows + 1) rings high: its normals are a smooth ball's.

    ``radius`` is one number or (3,) metres. Darker below than above, as crowns are.
    """
    level = np.linspace(-1.0, 1.0, rows + 2)[1:-1]
    flat = np.sqrt(1.0 - level**2)
    shift = rng.uniform(0.0, 2.0 * np.pi)
    angle = shift + (np.arange(sides) + 0.5 * (np.arange(rows)[:, None] % 2)) * 2 * np.pi / sides
    ring = np.stack([flat[:, None] * np.cos(angle), flat[:, None] * np.sin(angle)], axis=-1)
    unit = np.concatenate(
        [
            [[0.0, 0.0, -1.0]],
            np.dstack([ring, np.broadcast_to(level[:, None], angle.shape)]).reshape(-1, 3),
            [[0.0, 0.0, 1.0]],
        ]
    )
    place = np.asarray(centre) + unit * radius * rng.uniform(1.0 - rough, 1.0, (len(unit), 1))
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(sides), indexing="ij")
    a, b = 1 + i * sides + j, 1 + i * sides + (j + 1) % sides
    top = len(unit) - 1
    bottom_fan = np.stack([np.zeros(sides, int), 1 + (np.arange(sides) + 1) % sides,
                           1 + np.arange(sides)], 1)  # fmt: skip
    last = 1 + (rows - 1) * sides
    top_fan = np.stack([last + np.arange(sides), last + (np.arange(sides) + 1) % sides,
                        np.full(sides, top)], 1)  # fmt: skip
    triangles = np.concatenate(
        [
            bottom_fan,
            np.stack([a, b, b + sides], -1).reshape(-1, 3),
            np.stack([a, b + sides, a + sides], -1).reshape(-1, 3),
            top_fan,
        ]
    )
    shade = 255.0 * (0.72 + 0.2 * unit[:, 2:] + rng.uniform(-0.08, 0.08, (len(unit), 1)))
    return make(place, triangles, np.repeat(shade, 3, axis=1), unit, (0.0, 0.0, kind), tag, slot)


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def _cross(a: Array, b: Array) -> Array:
    """Return the cross product along the last axis; several times as fast as numpy's."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)
