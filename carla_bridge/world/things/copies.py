"""Many copies of one mesh: a car, a tree or a lamp post is built once and stood in many places.

    batch = Batch()
    batch.add(car, place, heading, colour=paints, instance=ids.take(len(place)))
    mesh = batch.mesh()

A mesh to be copied is a prototype: metres about its own origin, x forward (or along the road),
z up. Where its instance ids are 0 its colours stay; where they are k > 0 they are multiplied by
the copy's k-th colour (`slots`), so that one car comes in every paint.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from carla_bridge.world.meshes import VERTEX, Array, Mesh, merge

TERMS = ("buildings", "trees", "barriers", "furniture", "traffic", "parked", "people")
"""The terms of `DomainRandomization` whose things are counted here."""
LAST_ID = 65535 // len(TERMS) * len(TERMS)
"""Ids above 65535 would not fit CARLA's two bytes; a multiple keeps the terms apart as ids wrap."""


class Ids:
    """Numbers for one term's objects, from 1 on.

    Terms take turns in the numbers (1, 8, 15, ... and 2, 9, 16, ...): however many trees there
    are, the cars have the same numbers.
    """

    def __init__(self, term: str) -> None:
        self._turn = TERMS.index(term)
        self._taken = 0

    def take(self, count: int) -> npt.NDArray[np.int64]:
        """Return the next ``count`` ids (count,)."""
        number = self._taken + np.arange(count)
        self._taken += count
        return 1 + (self._turn + len(TERMS) * number) % LAST_ID


def place_copies(
    mesh: Mesh,
    place: npt.ArrayLike,
    heading: npt.ArrayLike = 0.0,
    scale: npt.ArrayLike = 1.0,
    colour: npt.ArrayLike | None = None,
    instance: npt.ArrayLike | None = None,
    grade: npt.ArrayLike = 0.0,
) -> Mesh:
    """Return a prototype's copies at n places.

    ``place`` (n, 3) metres, ``heading`` (n,) radians from x, ``scale`` one number, (n,) or (n, 3)
    along the prototype's axes, ``colour`` (n, 3) or (n, k, 3) sRGB 0..255 for its slots,
    ``instance`` (n,) ids or None to keep the slots (a part of a larger prototype), ``grade`` (n,)
    the rise per metre forward.
    """
    place = np.atleast_2d(np.asarray(place, np.float32))
    n, m = len(place), len(mesh.vertices)
    if not n:
        return merge([])
    vertices = np.empty((n, m), VERTEX)
    vertices[:] = mesh.vertices
    sizes = np.asarray(scale, np.float32)
    sizes = np.broadcast_to(sizes[:, None] if sizes.ndim == 1 else sizes, (n, 3))
    heading = np.broadcast_to(np.asarray(heading, np.float32), n)
    cos, sin = np.cos(heading)[:, None], np.sin(heading)[:, None]
    x, y, z = (mesh.vertices["vertex"][:, i] * sizes[:, i, None] for i in range(3))
    vertices["vertex"][..., 0] = place[:, 0, None] + x * cos - y * sin
    vertices["vertex"][..., 1] = place[:, 1, None] + x * sin + y * cos
    slope = np.broadcast_to(np.asarray(grade, np.float32), n)[:, None]
    vertices["vertex"][..., 2] = place[:, 2, None] + z + x * slope
    nx, ny, nz = (mesh.vertices["normal"][:, i] / sizes[:, i, None] for i in range(3))
    length = np.maximum(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-9)
    vertices["normal"][..., 0] = (nx * cos - ny * sin) / length
    vertices["normal"][..., 1] = (nx * sin + ny * cos) / length
    vertices["normal"][..., 2] = nz / length
    if colour is not None:
        _paint(vertices, mesh, np.asarray(colour, np.float32))
    if instance is not None:
        vertices["texcoord"][..., 3] = np.broadcast_to(np.asarray(instance), n)[:, None]
    offset = (np.arange(n, dtype=np.uint32) * m)[:, None, None]
    return Mesh(vertices.ravel(), (mesh.triangles[None] + offset).reshape(-1, 3))


def _paint(vertices: npt.NDArray[np.void], mesh: Mesh, colour: npt.NDArray[np.float32]) -> None:
    """Multiply the slots' colours (n, 3) or (n, k, 3) into the copies' vertices (n, m)."""
    colour = colour[:, None] if colour.ndim == 2 else colour
    slot = mesh.vertices["texcoord"][:, 3].astype(int)
    for k in range(colour.shape[1]):
        where = np.flatnonzero(slot == k + 1)
        own = mesh.vertices["color"][where, :3] / np.float32(255.0)
        mixed = own[None] * colour[:, k, None]
        vertices["color"][:, where, :3] = np.clip(mixed, 0.0, 255.0)


def _rows(values: Array, shape: tuple[int, ...]) -> Array:
    """Return values spread over a shape; several times as fast as numpy's broadcasting."""
    if values.shape == shape:
        return values
    rows = np.empty(shape)
    rows[:] = values
    return rows


class Batch:
    """Copies still to be made, gathered by prototype: a few large heaps instead of many small.

    Places may come without a height: ``ground`` gives it, (n, 2) to (n,) metres, all at once.
    """

    def __init__(self, ground: Callable[[Array], Array] | None = None) -> None:
        self._ground = ground
        self._heaps: dict[int, tuple[Mesh, list[tuple[Array, ...]]]] = {}
        self._ready: list[Mesh] = []

    def add(
        self,
        mesh: Mesh,
        place: npt.ArrayLike,
        heading: npt.ArrayLike,
        scale: npt.ArrayLike = 1.0,
        colour: npt.ArrayLike = 255.0,
        instance: npt.ArrayLike = 0,
        grade: npt.ArrayLike = 0.0,
    ) -> None:
        """Add copies as `place_copies` takes them; every heap of a mesh has as many slots.

        ``place`` (n, 2) stands on the ground.
        """
        place = np.atleast_2d(np.asarray(place, float))
        n = len(place)
        if n:
            if place.shape[1] == 2:
                place = np.column_stack([place, np.full(n, np.nan)])
            sizes, paint = np.asarray(scale, float), np.asarray(colour, float)
            sizes = _rows(sizes[:, None] if sizes.ndim == 1 else sizes, (n, 3))
            paint = paint if paint.ndim > 1 and len(paint) == n else _rows(paint, (n, 3))
            flat = [_rows(np.asarray(row, float), (n,)) for row in (heading, instance, grade)]
            self._heaps.setdefault(id(mesh), (mesh, []))[1].append((place, sizes, paint, *flat))

    def add_mesh(self, mesh: Mesh) -> None:
        """Add a mesh that is ready."""
        self._ready.append(mesh)

    def mesh(self) -> Mesh:
        """Make all copies."""
        made = list(self._ready)
        stacks = [
            [np.concatenate(column) for column in zip(*heaps, strict=True)]
            for _, heaps in self._heaps.values()
        ]
        self._lay_down([stack[0] for stack in stacks])
        for (mesh, _), stack in zip(self._heaps.values(), stacks, strict=True):
            place, sizes, paint, heading, instance, grade = stack
            made.append(place_copies(mesh, place, heading, sizes, paint, instance, grade))
        return merge(made)

    def _lay_down(self, places: list[Array]) -> None:
        """Give the places (n, 3) without a height the ground's, in place."""
        hanging = [np.isnan(place[:, 2]) for place in places]
        flat = [place[loose, :2] for place, loose in zip(places, hanging, strict=True)]
        if self._ground is None or not any(map(len, flat)):
            return
        cuts = np.cumsum([len(part) for part in flat])[:-1]
        heights = np.split(self._ground(np.concatenate(flat)), cuts)
        for place, loose, height in zip(places, hanging, heights, strict=True):
            place[loose, 2] = height
