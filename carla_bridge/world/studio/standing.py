"""What stands beside the roads of a whole map: nothing in the way, and boxes to collide with.

    standing = stand(land, dice)
    standing.mesh, standing.lamps     # what the scene draws
    standing.boxes            # (n, 6): x, y, half length, half width, heading, height of the ground

Of each thing, what is between a kerb's and a car's height above the ground counts as solid, but
for leaves; it is cut into pieces, and its sides by where they face, so that no box spans a bend
or the open ground in front of a corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from carla_bridge.world.land.ground import Land
from carla_bridge.world.meshes import FOLIAGE, Array, Mesh
from carla_bridge.world.randomization import Dice
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.distance import DistanceMap
from carla_bridge.world.things.roadside import CARRIAGEWAY
from carla_bridge.world.things.scenery import furnish

SOLID = [
    Tag.BUILDING, Tag.WALL, Tag.FENCE, Tag.POLE, Tag.TRAFFIC_LIGHT, Tag.TRAFFIC_SIGN,
    Tag.VEGETATION, Tag.CAR, Tag.TRUCK, Tag.BUS, Tag.MOTORCYCLE, Tag.STATIC, Tag.GUARD_RAIL,
]  # fmt: skip
"""Tags of what a car collides with."""
LOW, HIGH = 0.25, 1.4
"""Metres above the ground between which a thing is in a car's way."""
FREE = 0.25
"""Metres that all things keep from lanes that are driven on."""
PIECE = 6.0
"""Metres of the squares that things are cut by."""
FACINGS = 8
"""Directions in which the sides of a piece are told apart, back and front being one."""
NEAR = 15.0
"""Metres from a lane that is driven on; what is further away is never met."""
THINNEST = 0.05
"""Half of the metres that the thinnest post is wide."""
LAST_ID = 65535
"""Things are numbered downwards from here, so that their numbers and the actors' do not meet."""


@dataclass(frozen=True)
class Standing:
    """All things as one mesh, the heads of street lamps (n, 3), and boxes of what is solid."""

    mesh: Mesh
    lamps: Array
    boxes: Array


def stand(land: Land, dice: Dice) -> Standing:
    """Return all things along the roads of the land."""
    things = furnish(land, dice)
    driven = DistanceMap(land.roads, CARRIAGEWAY)
    low = _low(things.mesh, land, driven)
    mesh, kept = _clear(things.mesh, low, driven)
    boxes = _boxes(mesh, low[kept])
    ground = land.height(boxes[:, :2])
    return Standing(_renumbered(mesh), things.lamps, np.column_stack([boxes, ground]))


def _low(mesh: Mesh, land: Land, driven: DistanceMap) -> npt.NDArray[np.bool_]:
    """Return which triangles (n,) near lanes are no leaves and at the height of a car."""
    corners = mesh.vertices["vertex"][mesh.triangles].astype(float)
    first = mesh.triangles[:, 0]
    low = mesh.vertices["texcoord"][first, 2] != FOLIAGE
    low &= np.isin(mesh.vertices["color"][first, 3], SOLID)
    middle = corners[:, :, :2].mean(axis=1)
    low[low] = driven.at(middle[low]) < NEAR
    ground = land.height(middle[low])
    z = corners[low, :, 2]
    low[low] = (z.min(axis=1) < ground + HIGH) & (z.max(axis=1) > ground + LOW)
    return np.asarray(low)


def _clear(
    mesh: Mesh, low: npt.NDArray[np.bool_], driven: DistanceMap
) -> tuple[Mesh, npt.NDArray[np.bool_]]:
    """Return the mesh without things that reach over a driven lane, and the triangles kept."""
    number = mesh.vertices["texcoord"][:, 3].astype(np.int64)
    corners = mesh.triangles[low]
    gap = driven.at(mesh.vertices["vertex"][corners.ravel(), :2].astype(float))
    owner = number[corners.ravel()]
    gone = np.unique(owner[gap < FREE])
    kept = ~np.isin(number[mesh.triangles[:, 0]], gone[gone > 0])
    return Mesh(mesh.vertices, mesh.triangles[kept]), kept


def _renumbered(mesh: Mesh) -> Mesh:
    """Return the mesh with its things numbered from `LAST_ID` downwards."""
    vertices = mesh.vertices.copy()
    number = vertices["texcoord"][:, 3]
    _, rank = np.unique(number, return_inverse=True)
    vertices["texcoord"][:, 3] = np.where(number > 0, LAST_ID - rank % LAST_ID, 0)
    return Mesh(vertices, mesh.triangles)


def _boxes(mesh: Mesh, low: npt.NDArray[np.bool_]) -> Array:
    """Return the boxes (n, 5) of ``low`` triangles, thing by thing and side by side."""
    triangles = mesh.triangles[low]
    whole = mesh.vertices["vertex"][triangles].astype(float)
    corners = whole[:, :, :2].astype(np.float32)
    number = mesh.vertices["texcoord"][triangles[:, 0], 3].astype(np.int64)
    cell = np.floor(corners.mean(axis=1) / PIECE).astype(np.int64)
    key = np.column_stack([number, cell, _facing(whole)])
    order = np.lexsort(key.T[::-1])
    cuts = np.flatnonzero((np.diff(key[order], axis=0) != 0).any(axis=1)) + 1
    boxes = [_box(piece.reshape(-1, 2)) for piece in np.split(corners[order], cuts) if len(piece)]
    return np.array(boxes).reshape(-1, 5)


def _facing(corners: Array) -> npt.NDArray[np.int64]:
    """Return the number of the direction that triangles (n, 3, 3) face, -1 for lying ones."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    upright = np.abs(normal[:, 2]) < np.hypot(normal[:, 0], normal[:, 1])
    turn = np.arctan2(normal[:, 1], normal[:, 0]) / np.pi * FACINGS
    return np.where(upright, np.round(turn).astype(np.int64) % FACINGS, -1)


def _box(points: npt.NDArray[np.float32]) -> tuple[float, ...]:
    """Return the smallest rectangle about points (n, 2)."""
    middle = points.mean(axis=0)  # near 0 single precision is exact enough
    (x, y), (length, width), degrees = cv2.minAreaRect(points - middle)
    halves = (max(length / 2.0, THINNEST), max(width / 2.0, THINNEST))
    return (x + float(middle[0]), y + float(middle[1]), *halves, float(np.radians(degrees)))
