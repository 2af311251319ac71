"""Faces and boxes of many buildings at once, each in its building's own frame.

    frame = Frame(place, heading, instance)
    walls = frame.faces(corners, colour, material)   # corners (n, faces, points, 3)

A building's origin is its front's middle on the ground: x along the front, y back, z up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.world.meshes import PLAIN, Array, Mesh, boxes
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.shapes import facets


@dataclass(frozen=True)
class Frame:
    """n buildings: ``place`` (n, 3) metres, ``heading`` and ``instance`` (n,)."""

    place: Array
    heading: Array
    instance: npt.NDArray[np.int64]

    def where(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Frame:
        """Return some of them, or the same ones repeated."""
        return Frame(self.place[index], self.heading[index], self.instance[index])

    def world(self, local: Array) -> Array:
        """Return local points (n, ..., 3) in the world."""
        shape = (-1,) + (1,) * (local.ndim - 2)
        cos, sin = np.cos(self.heading).reshape(shape), np.sin(self.heading).reshape(shape)
        place = self.place.reshape(*shape, 3)
        x, y, z = local[..., 0], local[..., 1], local[..., 2]
        return np.stack([x * cos - y * sin, x * sin + y * cos, z], axis=-1) + place

    def faces(
        self, corners: Array, colour: npt.ArrayLike, kind: npt.ArrayLike, floor: float = 0.0
    ) -> Mesh:
        """Return faces between corners (n, faces, points, 3).

        ``colour`` (3,) or (n, 3), ``kind`` one or (n, faces); ``floor`` is the texture's height
        at a face's first edge, metres.
        """
        n, faces, points = corners.shape[:3]
        tint = np.broadcast_to(np.asarray(colour, float), (n, 3))
        mesh = facets(
            self.world(corners).reshape(-1, points, 3),
            np.repeat(tint, faces, axis=0),
            tag=Tag.BUILDING,
            slot=np.repeat(self.instance, faces),
            floor=floor,
        )
        kinds = np.broadcast_to(np.asarray(kind, float), (n, faces)).ravel()
        mesh.vertices["texcoord"][:, 2] = np.repeat(kinds, points)
        return mesh

    def panels(
        self, left: Array, right: Array, low: Array, high: Array, y: npt.ArrayLike,
        colour: npt.ArrayLike, kind: float = PLAIN,
    ) -> Mesh:  # fmt: skip
        """Return one plate a building that faces the street: extents (n,) metres."""
        y = np.broadcast_to(np.asarray(y, float), left.shape)
        corners = [(left, low), (right, low), (right, high), (left, high)]
        plates = np.stack([np.stack([x, y, z], 1) for x, z in corners], axis=1)
        return self.faces(plates[:, None], colour, kind)

    def boxes(self, low: Array, high: Array, colour: npt.ArrayLike, kind: float = PLAIN) -> Mesh:
        """Return one box a building between local corners (n, 3)."""
        centre = self.world((low + high) / 2.0)
        colour = np.broadcast_to(np.asarray(colour, float), (len(centre), 3))
        return boxes(centre, high - low, self.heading, colour, kind, 1.0, Tag.BUILDING,
                     self.instance)  # fmt: skip
