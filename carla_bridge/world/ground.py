"""The land around the roads: asphalt strips, kerbs, pavements, and a height field of verge.

    land = Land(roads, rng)
    asphalt, ground = land.asphalt(), land.ground(centre_xy=(0.0, 0.0))

The height field follows the nearest road, a little below it, and rises or falls away
from it; it never comes above asphalt.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carla_bridge.world.meshes import Mesh, make, merge, strip, up
from carla_bridge.world.roads import DRIVABLE, Lane, Points, Roads

Array = npt.NDArray[np.float64]

VERGE, PAVEMENT, KERB = 0.0, 1.0, 2.0
"""The ground shader's materials (third texture number)."""

CELL = 4.0
"""Metres between height samples."""
REACH = 170.0
"""Metres of height field on each side of its centre."""
BENEATH = 0.4
"""Metres by which the height field stays below asphalt; skirts hide the step."""


class Land:
    """Heights and distances around roads, and the meshes of everything that lies flat."""

    def __init__(self, roads: Roads, rng: np.random.Generator) -> None:
        self.roads = roads
        self.urban = any(lane.kind == "Sidewalk" for lane in roads.lanes)
        self.kerb_height = float(rng.uniform(0.05, 0.16)) if self.urban else 0.0
        self._slopes = rng.uniform(-0.12, 0.3, 2) * (0.1 if self.urban else 1.0)
        self._waves = rng.uniform(-1.0, 1.0, (4, 2)) * 0.12
        self._phase = rng.uniform(0.0, 6.28, 4)
        self._bump = float(rng.uniform(0.0, 1.5)) * (0.1 if self.urban else 1.0)
        centres = [lane.centre[::3] for lane in roads.lanes]
        widths = [np.linalg.norm(lane.left - lane.right, axis=1)[::3] / 2 for lane in roads.lanes]
        self._samples = np.concatenate(centres)
        self._half_widths = np.concatenate(widths)

    def nearest(self, xy: Array) -> tuple[Array, Array]:
        """Return, for points (n, 2), the distance to the nearest lane's edge and its height.

        Metres; the distance is negative on a lane.
        """
        low, high = xy.min(axis=0) - 60.0, xy.max(axis=0) + 60.0
        near = np.all((self._samples[:, :2] > low) & (self._samples[:, :2] < high), axis=1)
        if not near.any():
            near[:] = True
        samples, half = self._samples[near], self._half_widths[near].astype(np.float32)
        # Single precision is exact enough about a nearby origin, and twice as fast.
        origin = samples[0, :2]
        flat = (samples[:, :2] - origin).astype(np.float32)
        flat_squared = (flat**2).sum(axis=1)
        distance = np.empty(len(xy))
        height = np.empty(len(xy))
        for begin in range(0, len(xy), 4096):
            part = (xy[begin : begin + 4096] - origin).astype(np.float32)
            squared = (part**2).sum(axis=1)[:, None] - 2.0 * part @ flat.T + flat_squared
            gap = np.sqrt(np.maximum(squared, 0.0)) - half
            closest = gap.argmin(axis=1)
            rows = np.arange(len(part))
            distance[begin : begin + 4096] = gap[rows, closest]
            height[begin : begin + 4096] = samples[closest, 2]
        return distance, height

    def height(self, xy: Array) -> Array:
        """Return the ground's height (n,) under points (n, 2)."""
        distance, base = self.nearest(xy)
        return base + self._relief(xy, distance)

    def _relief(self, xy: Array, distance: Array) -> Array:
        waves = np.sin(xy @ self._waves.T + self._phase).sum(axis=1)
        side = self._slopes[(waves > 0).astype(int)]
        away = np.clip(distance - 6.0, 0.0, 60.0)
        # Nothing within 6 m of a lane may rise: the field's cells are coarser than a kerb.
        # Heights jump from sample to sample of the roads: a grade of 8 % by 3 m is 0.24 m.
        fall = -BENEATH
        level = self.kerb_height * np.clip((distance - 6.0) / 3.0, 0.0, 1.0)
        total = fall + level + away * side * np.abs(waves) / 2.0 + self._bump * waves * away / 30.0
        return np.asarray(total)

    def ground(self, centre_xy: tuple[float, float]) -> Mesh:
        """Return the verge within `REACH` metres of a place, and a flat apron beyond."""
        axis = np.arange(-REACH, REACH + CELL, CELL)
        n = len(axis)
        x, y = np.meshgrid(axis + centre_xy[0], axis + centre_xy[1])
        xy = np.stack([x.ravel(), y.ravel()], axis=1)
        z = self.height(xy)
        far = np.max(np.abs(xy - np.array(centre_xy)), axis=1) > REACH - CELL
        z[far] -= 3.0
        corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
        triangles = np.concatenate(
            [
                np.stack([corner, corner + 1, corner + n + 1], 1),
                np.stack([corner, corner + n + 1, corner + n], 1),
            ]
        )
        field = make(np.column_stack([xy, z]), triangles, normal=_normals(z.reshape(n, n)))
        apron_z = float(np.median(z)) - 4.0
        square = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * 3000.0
        apron = make(square + np.array([*centre_xy, apron_z]), [[0, 1, 2], [0, 2, 3]])
        return merge([field, apron])

    def asphalt(self) -> Mesh:
        """Return every paved strip; ``uvw`` is (across -1..1, along in metres, 1 if a shoulder)."""
        return merge([_lane_strip(lane) for lane in self.roads.lanes if lane.kind in DRIVABLE])

    def borders(self) -> Mesh:
        """Return pavements with their kerbs, and the skirts that join asphalt to the verge."""
        meshes: list[Mesh] = []
        for lane in self.roads.lanes:
            if lane.kind not in DRIVABLE:
                meshes += self._pavement(lane)
        for points, outward, kind in edges(self.roads):
            lift = 0.0 if kind in DRIVABLE else self.kerb_height
            top = points + up(lift)
            foot = points + outward * 1.6 + up(lift - BENEATH - 0.05)
            # Outward is to the right or to the left of the points' order: face up either way.
            turn = np.cross(points[1] - points[0], outward[0])[2] < 0
            meshes.append(strip(top, foot) if turn else strip(foot, top))
        return merge(meshes)

    def _pavement(self, lane: Lane) -> list[Mesh]:
        lift = np.array([0.0, 0.0, self.kerb_height])
        left, right = lane.left + lift, lane.right + lift
        kerb_width = 0.15 / np.maximum(np.linalg.norm(right - left, axis=1, keepdims=True), 0.3)
        kerb = left + (right - left) * np.minimum(kerb_width, 0.5)
        along = np.stack([np.zeros_like(lane.s), lane.s], 1)
        wide = np.stack([np.linalg.norm(right - left, axis=1), lane.s], 1)

        def uvw(first: Array, second: Array, kind: float) -> tuple[Array, Array]:
            column = np.full((len(first), 1), kind)
            return np.hstack([first, column]), np.hstack([second, column])

        return [
            strip(lane.left - up(0.1), left, uvw=uvw(along, along, KERB), normal=(0, 0, 0.5)),
            strip(left, kerb, uvw=uvw(along, along, KERB)),
            strip(kerb, right, uvw=uvw(along, wide, PAVEMENT)),
        ]


def edges(roads: Roads) -> list[tuple[Points, Points, str]]:
    """Return the outer edges: points (n, 3), unit outward directions (n, 3), the lane's kind."""
    found = []
    for lane in roads.lanes:
        across = lane.right - lane.left
        across = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
        if lane.outer_right:
            found.append((lane.right, across, lane.kind))
        if lane.outer_left:
            found.append((lane.left, -across, lane.kind))
    return found


def _lane_strip(lane: Lane) -> Mesh:
    shoulder = np.full(len(lane.s), 0.0 if lane.kind == "Driving" else 1.0)
    left = np.stack([np.full_like(lane.s, -1.0), lane.s, shoulder], axis=1)
    right = np.stack([np.full_like(lane.s, 1.0), lane.s, shoulder], axis=1)
    return strip(lane.left, lane.right, uvw=(left, right))


def _normals(z: Array) -> Array:
    dy, dx = np.gradient(z, CELL)
    normal = np.stack([-dx, -dy, np.ones_like(z)], axis=-1).reshape(-1, 3)
    return np.asarray(normal / np.linalg.norm(normal, axis=1, keepdims=True))
