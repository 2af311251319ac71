"""What plants look like: crowns of leaf lumps, conifers, poplars, palms, bare branches, bushes.

    tree = shapes("round")[0]   # a prototype 1 m tall: scale it by the tree's height

Prototypes for `things.copies`: paint slot 1 is the leaves, slot 2 the bark. Heights
are 1 so that a copy's scale is its height in metres; a near tree has at most 150 triangles, one
for the background at most 40.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from carla_bridge.world.meshes import FOLIAGE, PLAIN, WALL, Array, Mesh, make, merge
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.shapes import lump, tube

VARIANTS = 4
"""Shapes a kind, so that rows of trees are not of one cast."""
ROOT = -0.12
"""Trunks go on below the ground: slopes."""


def _leaves(
    rng: np.random.Generator, centre: Array, radius: Array, sides: int = 6, rows: int = 2
) -> Mesh:
    return lump(rng, centre, radius, sides, rows, 0.4, FOLIAGE, Tag.VEGETATION, 1)


def _trunk(top: float, thick: float, sides: int = 5) -> Mesh:
    return tube([[0, 0, ROOT], [0, 0, top]], [thick, 0.55 * thick], sides, (255, 255, 255), WALL,
                Tag.VEGETATION, 2)  # fmt: skip


def _sprays(rng: np.random.Generator, centre: Array, radius: Array, each: int, size: float) -> Mesh:
    """Return loose triangles of leaves on lumps (n, 3): they break up round outlines.

    ``each`` on a lump, ``size`` relative to its radius.
    """
    n = len(centre)
    direction = rng.normal(size=(n, each, 3)) + np.array([0.0, 0.0, 0.35])
    direction /= np.linalg.norm(direction, axis=2, keepdims=True)
    middle = centre[:, None] + direction * radius[:, None] * rng.uniform(0.75, 0.98, (n, each, 1))
    first = rng.normal(size=(n, each, 1, 3))
    first /= np.linalg.norm(first, axis=3, keepdims=True)
    second = np.cross(first, rng.normal(size=(n, each, 1, 3)))
    second /= np.linalg.norm(second, axis=3, keepdims=True)
    angle = np.arange(3)[:, None] * 2.0 * np.pi / 3.0
    corner = first * np.cos(angle) + second * np.sin(angle)
    corner = corner * rng.uniform(0.7, 1.3, (n, each, 3, 1)) * size
    place = (middle[:, :, None] + corner * radius[:, None, None]).reshape(-1, 3)
    light = 255.0 * (0.75 + 0.22 * direction[..., 2:] + rng.uniform(-0.2, 0.12, (n, each, 1)))
    shade = np.repeat(np.repeat(light.reshape(-1, 1), 3, axis=0), 3, axis=1)
    normal = np.repeat(direction.reshape(-1, 3), 3, axis=0)
    triangles = np.arange(len(place)).reshape(-1, 3)
    a, b, c = (place[triangles[:, i]] for i in range(3))
    inward = (np.cross(b - a, c - a) * normal[::3]).sum(axis=1) < 0.0
    triangles[inward] = triangles[inward][:, ::-1]
    return make(place, triangles, shade, normal, (0, 0, FOLIAGE), Tag.VEGETATION, 1)


def _crowned(rng: np.random.Generator, low: float, wide: float, lumps: int = 4) -> Mesh:
    """Return a broad-leaved tree: lumps about the crown's middle, from ``low`` up to 1."""
    middle, tall = (1.0 + low) / 2.0, (1.0 - low) / 2.0
    turn = rng.uniform(0.0, 2 * np.pi) + np.arange(lumps - 1) * 2 * np.pi / (lumps - 1)
    centres = [np.array([0.0, 0.0, middle + 0.12 * tall])]
    sizes = [np.array([0.72 * wide, 0.72 * wide, 0.86 * tall])]
    for angle in turn:
        out = wide * rng.uniform(0.42, 0.6)
        size = np.array([1.0, 1.0, 0.85 * tall / wide]) * wide * rng.uniform(0.5, 0.68)
        z = max(middle + tall * rng.uniform(-0.45, 0.2), low + size[2])
        centres.append(np.array([out * np.cos(angle), out * np.sin(angle), z]))
        sizes.append(size)
    parts = [_leaves(rng, c, 0.9 * r, 5) for c, r in zip(centres, sizes, strict=True)]
    parts.append(_sprays(rng, np.array(centres), np.array(sizes), 56 // lumps, 0.27))
    return merge([_trunk(middle, 0.019), *parts])


def _poplar(rng: np.random.Generator) -> Mesh:
    heights, sizes = (0.34, 0.68), (0.1, 0.08)
    centres = np.array([[*rng.uniform(-0.015, 0.015, 2), z] for z in heights])
    radii = np.array([[size, size, 0.32] for size in sizes])
    parts = [_leaves(rng, c, r, 6, 3) for c, r in zip(centres, radii, strict=True)]
    return merge([_trunk(0.4, 0.014), *parts, _sprays(rng, centres, radii, 30, 0.22)])


def _conifer(rng: np.random.Generator, sides: int = 8, tiers: int = 4) -> Mesh:
    parts = [_trunk(0.3, 0.022, 4)] if tiers > 2 else []
    foot = np.linspace(0.1, 0.7, tiers)
    for i, low in enumerate(foot):
        wide = 0.21 * (1.0 - low) ** 0.8 * rng.uniform(0.85, 1.1)
        top = 1.0 if i == tiers - 1 else low + 1.45 * (1.0 - low) / (tiers - i + 0.3)
        skirt = tube([[0, 0, low], [0, 0, min(top, 1.0)]], [wide, 0.012], sides, (170, 170, 170),
                     FOLIAGE, Tag.VEGETATION, 1)  # fmt: skip
        ring = skirt.vertices["vertex"][:sides]
        ring[:, :2] *= rng.uniform(0.75, 1.2, (sides, 1)).astype(np.float32)
        ring[:, 2] += rng.uniform(-0.05, 0.03, sides).astype(np.float32)
        skirt.vertices["normal"][:, 2] += 0.35
        skirt.vertices["color"][:sides, :3] = 120
        parts.append(skirt)
    return merge(parts)


def _pine(rng: np.random.Generator) -> Mesh:
    count = 4
    height = np.linspace(0.62, 0.94, count)
    centres = np.column_stack([rng.normal(0.0, 0.09, (count, 2)), height])
    wide = rng.uniform(0.1, 0.19, count)
    radii = np.column_stack([wide, wide, np.full(count, 0.09)])
    parts = [_leaves(rng, c, r, 5) for c, r in zip(centres, radii, strict=True)]
    return merge([_trunk(0.9, 0.017), *parts, _sprays(rng, centres, radii, 14, 0.3)])


def _palm(rng: np.random.Generator) -> Mesh:
    lean = rng.uniform(-0.04, 0.04, 2)
    parts = [tube([[0, 0, ROOT], [*lean, 0.5], [*lean * 2, 0.86]], [0.024, 0.018, 0.016], 5,
                  (255, 255, 255), WALL, Tag.VEGETATION, 2)]  # fmt: skip
    top = np.array([*lean * 2, 0.86])
    for i in range(12):
        angle = i * 2.4 + rng.uniform(-0.2, 0.2)
        ahead = np.array([np.cos(angle), np.sin(angle), 0.0])
        side = np.array([-np.sin(angle), np.cos(angle), 0.0])
        rise = rng.uniform(0.0, 0.12)
        spine = [
            top,
            top + 0.14 * ahead + np.array([0, 0, 0.04 + rise]),
            top + 0.3 * ahead + np.array([0, 0, rise - 0.1]),
        ]
        leaf = np.array([spine[0], spine[1] - 0.045 * side, spine[1] + 0.045 * side, spine[2]])
        shade = np.array([150, 220, 220, 170])[:, None] * np.ones(3)
        parts.append(make(leaf, [[0, 1, 2], [1, 3, 2]], shade, (0, 0, 1), (0, 0, PLAIN),
                          Tag.VEGETATION, 1))  # fmt: skip
    return merge(parts)


def _bare(rng: np.random.Generator) -> Mesh:
    """Return a tree in winter: limbs, and twigs on them."""
    parts = [tube([[0, 0, ROOT], [0, 0, 0.35], [0.01, 0.01, 0.8]], [0.03, 0.02, 0.006], 4,
                  (255, 255, 255), WALL, Tag.VEGETATION, 2)]  # fmt: skip
    ends: list[Array] = []
    starts: list[Array] = []
    for i in range(7):
        angle, low = i * 2.4 + rng.uniform(-0.4, 0.4), rng.uniform(0.3, 0.6)
        root = np.array([0.0, 0.0, low])
        out = rng.uniform(0.2, 0.34) * (1.1 - low) / 0.7
        tip = root + np.array([out * np.cos(angle), out * np.sin(angle), rng.uniform(0.22, 0.4)])
        parts.append(
            tube([root, tip], [0.012, 0.003], 3, (255, 255, 255), PLAIN, Tag.VEGETATION, 2)
        )
        for share in (0.45, 0.65, 0.8, 0.95):
            starts.append(root + (tip - root) * share)
            ends.append(starts[-1] + rng.normal(0.0, 0.075, 3) + np.array([0.0, 0.0, 0.09]))
    # A twig is a sliver: two triangles that cross.
    a, b = np.array(starts), np.array(ends)
    wide = 0.0045
    offsets = np.array([[wide, 0, 0], [0, wide, 0]])
    corner = np.stack(
        [a[:, None] - offsets, a[:, None] + offsets, b[:, None] + 0 * offsets], axis=2
    )
    place = corner.reshape(-1, 3)
    twigs = make(place, np.arange(len(place)).reshape(-1, 3), (255, 255, 255), (0, 0, 1),
                 (0, 0, PLAIN), Tag.VEGETATION, 2)  # fmt: skip
    return merge([*parts, twigs])


def _bush(rng: np.random.Generator) -> Mesh:
    centres = np.column_stack([rng.uniform(-0.3, 0.3, (2, 2)), rng.uniform(0.3, 0.45, 2)])
    radii = np.tile([0.6, 0.6, 0.55], (2, 1))
    parts = [_leaves(rng, c, r, 5) for c, r in zip(centres, radii, strict=True)]
    return merge([*parts, _sprays(rng, centres, radii, 7, 0.32)])


def _clump(rng: np.random.Generator) -> Mesh:
    """Return a low plant for the verge's edge or a far bush: one lump."""
    return _leaves(rng, np.array([0.0, 0.0, 0.3]), np.array([0.6, 0.6, 0.7]), 5, 2)


def _tuft(rng: np.random.Generator) -> Mesh:
    """Return a tuft of grass: blades that lean out from one root."""
    n = 7
    angle = np.arange(n) * 2.4 + rng.uniform(-0.3, 0.3, n)
    ahead = np.stack([np.cos(angle), np.sin(angle), np.zeros(n)], 1)
    side = np.stack([-ahead[:, 1], ahead[:, 0], np.zeros(n)], 1)
    root = 0.12 * rng.normal(size=(n, 1)) * ahead - np.array([0.0, 0.0, 0.15])
    wide = rng.uniform(0.05, 0.11, (n, 1))
    tip = root + ahead * rng.uniform(0.05, 0.4, (n, 1))
    tip[:, 2] += rng.uniform(0.6, 1.1, n)
    place = np.stack([root - wide * side, root + wide * side, tip], axis=1).reshape(-1, 3)
    shade = np.tile(np.array([[150.0], [150.0], [255.0]]), (n, 3))
    return make(place, np.arange(3 * n).reshape(-1, 3), shade, (0.2, 0, 1), (0, 0, PLAIN),
                Tag.VEGETATION, 1)  # fmt: skip


def _far(rng: np.random.Generator) -> Mesh:
    """Return a broad-leaved tree for the background."""
    middle, radius = np.array([[0.0, 0.0, 0.6]]), np.array([[0.3, 0.3, 0.4]])
    return merge(
        [
            _leaves(rng, middle[0], radius[0], 5, 2),
            _sprays(rng, middle, radius, 9, 0.34),
            tube([[0, 0, ROOT], [0, 0, 0.4]], 0.02, 3, (255, 255, 255), PLAIN, Tag.VEGETATION, 2),
        ]
    )


@functools.cache
def shapes(kind: str) -> list[Mesh]:
    """Return the variants of a kind of plant."""
    builders: dict[str, Callable[[np.random.Generator], Mesh]] = {
        "round": lambda rng: _crowned(rng, 0.24, 0.36),
        "wide": lambda rng: _crowned(rng, 0.22, 0.5),
        "tall": lambda rng: _crowned(rng, 0.3, 0.27),
        "street": lambda rng: _crowned(rng, 0.45, 0.27, 4),
        "poplar": _poplar,
        "conifer": _conifer,
        "pine": _pine,
        "palm": _palm,
        "bare": _bare,
        "bush": _bush,
        "clump": _clump,
        "tuft": _tuft,
        "far": _far,
        "far conifer": lambda rng: _conifer(rng, 5, 2),
    }
    make_one = builders[kind]
    number = list(builders).index(kind)
    return [make_one(np.random.default_rng((number, i))) for i in range(VARIANTS)]
