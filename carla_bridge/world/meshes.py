"""Triangle meshes in numpy, and how they become Panda3D geometry.

    box = boxes(centre=[[0, 0, 1]], size=[[4, 2, 2]], heading=[0.0], colour=[[200, 30, 30]])
    node = to_node(merge([box]), "cars")

A vertex carries place, normal, colour, three texture numbers ``uvw`` whose meaning is each
material's own (see the shaders), CARLA's semantic tag and the id of the thing it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from panda3d.core import (
    Geom,
    GeomEnums,
    GeomNode,
    GeomTriangles,
    GeomVertexArrayFormat,
    GeomVertexData,
    GeomVertexFormat,
    PandaNode,
)

Array = npt.NDArray[np.float64]

VERTEX = np.dtype(
    [("vertex", "<f4", 3), ("normal", "<f4", 3), ("color", "u1", 4), ("texcoord", "<f4", 4)]
)
"""``color`` is sRGB and the semantic tag, ``texcoord`` is ``uvw`` and the instance id."""


PLAIN, FACADE, FOLIAGE, GLASS, WALL, LAMP, LIGHT, SIGN = 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0
"""The object shader's materials (third texture number)."""


@dataclass(frozen=True)
class Mesh:
    """``vertices`` (n,) of dtype `VERTEX` and ``triangles`` (m, 3) counter-clockwise indices."""

    vertices: npt.NDArray[np.void]
    triangles: npt.NDArray[np.uint32]


def make(
    place: npt.ArrayLike,
    triangles: npt.ArrayLike,
    colour: npt.ArrayLike = (255, 255, 255),
    normal: npt.ArrayLike = (0.0, 0.0, 1.0),
    uvw: npt.ArrayLike = (0.0, 0.0, 0.0),
    tag: npt.ArrayLike = 0,
    instance: npt.ArrayLike = 0,
) -> Mesh:
    """Build a mesh; colour, normal, uvw, tag and instance (n,) broadcast over the vertices."""
    place = np.asarray(place, dtype=np.float32).reshape(-1, 3)
    vertices = np.zeros(len(place), dtype=VERTEX)
    vertices["vertex"] = place
    vertices["normal"] = normal
    vertices["color"][:, :3] = np.clip(colour, 0, 255)
    vertices["color"][:, 3] = tag
    vertices["texcoord"][:, :3] = uvw
    vertices["texcoord"][:, 3] = instance
    return Mesh(vertices, np.asarray(triangles, dtype=np.uint32).reshape(-1, 3))


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """Return one mesh of many."""
    if not meshes:
        return Mesh(np.zeros(0, dtype=VERTEX), np.zeros((0, 3), dtype=np.uint32))
    offsets = np.cumsum([0, *(len(m.vertices) for m in meshes[:-1])], dtype=np.uint32)
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.triangles + o for m, o in zip(meshes, offsets, strict=True)]),
    )


def up(metres: float) -> Array:
    """Return the vector (3,) that lifts a point."""
    return np.array([0.0, 0.0, metres])


def quads(count: int) -> npt.NDArray[np.int64]:
    """Return the triangles (2 * count, 3) of quads whose four corners follow each other."""
    first = 4 * np.arange(count)[:, None]
    return np.concatenate([first + np.array([0, 1, 2]), first + np.array([0, 2, 3])])


def strip(
    left: Array,
    right: Array,
    colour: npt.ArrayLike = (255, 255, 255),
    uvw: tuple[Array, Array] | None = None,
    normal: npt.ArrayLike = (0.0, 0.0, 1.0),
    tag: int = 0,
) -> Mesh:
    """Return the band between two polylines (n, 3); it faces up where left is on the left."""
    n = len(left)
    first = np.arange(n - 1)
    a, b, c, d = first, first + n, first + n + 1, first + 1
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    texture = (0.0, 0.0, 0.0) if uvw is None else np.concatenate(uvw)
    return make(np.concatenate([left, right]), triangles, colour, normal, texture, tag)


# The unit cube's faces: four corners each, counter-clockwise from outside.
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_FACES = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [1, 5, 7, 3]])
_NORMALS = np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, 1]])
_FACE_UV = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
_UV = np.array([[0, 3, 2, 1], [0, 1, 2, 3], [0, 1, 2, 3], [0, 3, 2, 1], [0, 1, 2, 3]])


def boxes(
    centre: npt.ArrayLike,
    size: npt.ArrayLike,
    heading: npt.ArrayLike,
    colour: npt.ArrayLike,
    kind: float = 0.0,
    taper: npt.ArrayLike = 1.0,
    tag: int = 0,
    instance: npt.ArrayLike = 0,
) -> Mesh:
    """Return n boxes without floors.

    ``centre`` and ``size`` (n, 3) metres, ``heading`` (n,) radians about z, ``colour`` (n, 3),
    ``kind`` the object material (`PLAIN`, ...), ``taper`` the size of the top relative to the
    bottom, ``instance`` (n,) ids. The texture runs over a side in metres.
    """
    centre, size = np.atleast_2d(centre).astype(float), np.atleast_2d(size).astype(float)
    heading = np.broadcast_to(np.asarray(heading, dtype=float), len(centre))
    colour = np.broadcast_to(np.asarray(colour), (len(centre), 3))
    n = len(centre)
    local = _CORNERS[_FACES.ravel()][None] * size[:, None]
    top = np.where(_CORNERS[_FACES.ravel()][:, 2] > 0, np.reshape(taper, (-1, 1)), 1.0)
    local[:, :, :2] *= np.broadcast_to(top, (n, 20))[..., None]
    cos, sin = np.cos(heading)[:, None], np.sin(heading)[:, None]
    place = np.empty_like(local)
    place[..., 0] = local[..., 0] * cos - local[..., 1] * sin
    place[..., 1] = local[..., 0] * sin + local[..., 1] * cos
    place[..., 2] = local[..., 2]
    place += centre[:, None]
    face_normal = np.repeat(_NORMALS, 4, axis=0)[None].astype(float)
    normal = np.empty((n, 20, 3))
    normal[..., 0] = face_normal[..., 0] * cos - face_normal[..., 1] * sin
    normal[..., 1] = face_normal[..., 0] * sin + face_normal[..., 1] * cos
    normal[..., 2] = face_normal[..., 2]
    across = np.stack([size[:, 1], size[:, 1], size[:, 0], size[:, 0], size[:, 0]], 1)
    up = np.stack([size[:, 2]] * 4 + [size[:, 1]], 1)
    uvw = np.empty((n, 5, 4, 3))
    uvw[..., 0] = _FACE_UV[_UV][..., 0] * across[..., None]
    uvw[..., 1] = _FACE_UV[_UV][..., 1] * up[..., None]
    uvw[..., 2] = kind
    return make(
        place.reshape(-1, 3),
        quads(n * 5),
        np.repeat(colour, 20, axis=0),
        normal.reshape(-1, 3),
        uvw.reshape(-1, 3),
        tag,
        np.repeat(np.broadcast_to(np.asarray(instance), n), 20),
    )


def _format() -> GeomVertexFormat:
    array = GeomVertexArrayFormat()
    array.addColumn("vertex", 3, GeomEnums.NTFloat32, GeomEnums.CPoint)
    array.addColumn("normal", 3, GeomEnums.NTFloat32, GeomEnums.CNormal)
    array.addColumn("color", 4, GeomEnums.NTUint8, GeomEnums.CColor)
    array.addColumn("texcoord", 4, GeomEnums.NTFloat32, GeomEnums.CTexcoord)
    layout = GeomVertexFormat()
    layout.addArray(array)
    return GeomVertexFormat.registerFormat(layout)


TILE = 64.0
"""Metres; a mesh is drawn in square tiles, so that what is behind the camera costs nothing."""


def to_node(mesh: Mesh, name: str, tile: float = TILE) -> PandaNode:
    """Return a Panda3D node that draws the mesh, one child a square of ``tile`` metres."""
    parent = PandaNode(name)
    count = len(mesh.vertices)
    corner = mesh.vertices["vertex"][mesh.triangles[:, 0], :2]
    cell = np.floor(corner / tile).astype(np.int64)
    key = cell[:, 0] * 100_003 + cell[:, 1]
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=key[order[0]] - 1))
    number = np.zeros(len(order), np.int64)
    number[starts] = 1
    # A tile's vertices lie side by side: one that two tiles use is there twice.
    pairs = (np.cumsum(number)[:, None] - 1) * count + mesh.triangles[order].astype(np.int64)
    used, index = np.unique(pairs, return_inverse=True)
    data = _vertices(mesh.vertices[used % count], name)
    for triangles in np.split(index.reshape(-1, 3).astype("<u4"), starts[1:]):
        parent.addChild(_triangles(data, triangles, name))
    return parent


def _vertices(vertices: npt.NDArray[np.void], name: str) -> GeomVertexData:
    data = GeomVertexData(name, _format(), GeomEnums.UHStatic)
    data.uncleanSetNumRows(len(vertices))
    memoryview(data.modifyArray(0)).cast("B")[:] = memoryview(vertices.tobytes())
    return data


def _triangles(data: GeomVertexData, triangles: npt.NDArray[np.uint32], name: str) -> GeomNode:
    primitive = GeomTriangles(GeomEnums.UHStatic)
    primitive.setIndexType(GeomEnums.NTUint32)
    indices = primitive.modifyVertices()
    indices.uncleanSetNumRows(triangles.size)
    memoryview(indices).cast("B")[:] = memoryview(triangles.tobytes())
    geom = Geom(data)
    geom.addPrimitive(primitive)
    node = GeomNode(name)
    node.addGeom(geom)
    return node
