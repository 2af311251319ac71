"""The land around the roads: asphalt strips, kerbs, pavements, verges, hills to the horizon.

    land = Land(roads, dice)
    asphalt, ground = land.asphalt(), land.ground(centre_xy=(0.0, 0.0))
    land.height(xy)     # where things stand

A height field follows the terrain, and stays below all that is built more finely: asphalt,
pavements, and the strips of verge along them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carla_bridge.world.land.kerbs import KERB, PAVEMENT, VERGE, Kerbs
from carla_bridge.world.land.median_walls import median_walls
from carla_bridge.world.land.ribbons import Samples
from carla_bridge.world.land.road_grid import RoadGrid
from carla_bridge.world.land.terrain import Terrain
from carla_bridge.world.land.verges import UNDER, free_edges, soffits, verges
from carla_bridge.world.maps.lanes import TRACKS, Lane, Points, Roads
from carla_bridge.world.meshes import Mesh, make, merge, quads, up
from carla_bridge.world.randomization import Dice
from carla_bridge.world.tags import Tag

__all__ = ["CELL", "KERB", "Land", "PAVEMENT", "REACH", "VERGE", "edges", "medians"]

Array = npt.NDArray[np.float64]

CELL = 4.0
"""Metres between height samples near the centre."""
NEAR = 100.0
"""Metres from the centre within which samples are that dense."""
REACH = 236.0
"""Metres of height field on each side of its centre."""
RINGS = (222.0, 262.0, 330.0, 430.0, 580.0, 800.0, 1120.0, 1500.0)
"""Metres from the centre of the coarse squares that lead to the horizon."""
ACROSS = 16
"""Pieces along the side of each."""
SINK = 6.5
"""Metres from asphalt within which the field stays below the verges' strips."""
JOINT = 0.05
"""Metres by which strips of asphalt run, a little lower, under the next one's start."""

TRACKED, UNTRACKED, SHARED = 0.0, 1.0, 2.0
"""Kinds of asphalt (third texture number): a lane, a shoulder, a junction without tracks."""


class Land:
    """Heights and distances around roads, and the meshes of everything that lies flat."""

    def __init__(self, roads: Roads, dice: Dice) -> None:
        self.roads = roads
        self.urban = any(lane.kind == "Sidewalk" for lane in roads.lanes)
        rng = dice.stream("roads")
        drawn, grass, every = rng.uniform(0.05, 0.16), rng.random(), rng.uniform(18.0, 90.0)
        strength = min(dice.strength("roads"), 1.0)
        kerbs = any(lane.raised or lane.kerb_left or lane.kerb_right for lane in roads.lanes)
        self.kerb_height = 0.12 + strength * (float(drawn) - 0.12) if kerbs else 0.0
        self._grass = bool(grass < 0.6)
        self._every = float(every) / max(strength, 1e-3)
        self._seed = int(rng.integers(2**31))
        self._walled = dice.happens("barriers", 0.8)
        self.grid = RoadGrid(roads, self.kerb_height)
        self.terrain = Terrain(self.grid, dice, self.urban)
        self._samples = Samples(roads.lanes)

    def nearest(self, xy: Array) -> tuple[Array, Array]:
        """Return, for points (n, 2), the distance to the nearest lane's edge and its height.

        Metres; the distance is negative on a lane. Pavements count as lanes.
        """
        found = self.grid.nearest(np.asarray(xy, dtype=float))
        return found.distance, found.height

    def height(self, xy: Array) -> Array:
        """Return the height (n,) of what is on top at points (n, 2): land, pavement or road."""
        return self.terrain.height(np.asarray(xy, dtype=float))

    def ground(self, centre_xy: tuple[float, float]) -> Mesh:
        """Return the land around a place, to the horizon."""
        return merge([self.field(centre_xy), self.horizon(centre_xy)])

    def field(self, centre_xy: tuple[float, float]) -> Mesh:
        """Return the height field within `REACH` metres of a place."""
        dense = np.arange(-NEAR, NEAR + CELL / 2.0, CELL)
        outer = np.arange(NEAR + 2.0 * CELL, REACH + CELL, 2.0 * CELL)
        axis = np.concatenate([-outer[::-1], dense, outer])
        x, y = np.meshgrid(axis + centre_xy[0], axis + centre_xy[1])
        xy = np.stack([x.ravel(), y.ravel()], axis=1)
        found = self.grid.nearest(xy)
        z = self.terrain.height(xy, found)
        coarse = np.abs(xy - np.array(centre_xy)).max(axis=1) > NEAR
        low = found.distance < np.where(coarse, 2.0 * SINK, SINK)
        z = np.where(low, np.minimum(z, found.road_height) - UNDER, z)
        if self.terrain.storeys:  # nor may the banks of a higher road bury a lower one
            for part, reach in ((~coarse, SINK), (coarse, 2.0 * SINK)):
                z[part] = np.minimum(z[part], self.grid.lowest(xy[part], reach) - UNDER)
        n = len(axis)
        return _surface(xy, z, n, _slopes(z.reshape(n, n), axis, axis))

    def horizon(self, centre_xy: tuple[float, float]) -> Mesh:
        """Return the land from the height field's rim to some 1500 m away, in square rings."""
        side = np.linspace(-1.0, 1.0, ACROSS + 1)[:-1]
        one = np.ones(ACROSS)
        square = np.concatenate(
            [np.stack(p, 1) for p in ((side, -one), (one, side), (-side, one), (-one, -side))]
        )
        around = len(square)
        xy = np.array(centre_xy) + (np.array(RINGS)[:, None, None] * square).reshape(-1, 2)
        z = self.terrain.height(xy)
        z[:around] -= 2.0  # under the field's rim
        ring = np.arange(len(RINGS) - 1)[:, None] * around
        a, b = ring + np.arange(around), ring + (np.arange(around) + 1) % around
        inner = np.stack([a, a + around, b + around], 2), np.stack([a, b + around, b], 2)
        step = 20.0
        east, north = np.array([step, 0.0]), np.array([0.0, step])
        dx = self.terrain.height(xy + east) - self.terrain.height(xy - east)
        dy = self.terrain.height(xy + north) - self.terrain.height(xy - north)
        normal = np.stack([-dx / (2 * step), -dy / (2 * step), np.ones(len(z))], axis=1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        faces = np.concatenate([part.reshape(-1, 3) for part in inner])
        return make(np.column_stack([xy, z]), faces, normal=normal, tag=Tag.TERRAIN)

    def asphalt(self) -> Mesh:
        """Return every paved strip.

        ``uvw`` is (across -1..1, along in metres, `TRACKED`, `UNTRACKED` or `SHARED`).
        """
        samples = self._samples
        lanes = samples.lanes
        tracked = samples.per_lane([lane.kind in TRACKS for lane in lanes])
        shared = samples.flags("shared", [False] * len(lanes))
        both = np.append(shared[:-1] & shared[1:], False)
        material = np.where(both, SHARED, np.where(tracked, TRACKED, UNTRACKED))
        runs = samples.runs(samples.per_lane([lane.paved for lane in lanes]), material)
        # Strips run a little under the next one's start, and lower there: no slit shows.
        index = runs.index
        step = np.abs(np.diff(samples.s[index], append=0.0))
        step = np.where(runs.ends, np.roll(step, 1), step)
        reach = JOINT / np.maximum(step, 1e-3)
        longer = runs.longer()
        sunk = np.where(longer.starts | longer.ends, 0.006, 0.0)[:, None] * up(1.0)
        columns = [
            runs.extended(edge[index], reach) - sunk for edge in (samples.left, samples.right)
        ]
        s = runs.extended(samples.s[index], reach)
        kind = runs.extended(
            np.where(runs.ends, np.roll(material[index], 1), material[index]), 0.0 * reach
        )
        uvw = [np.stack([np.full_like(s, side), s, kind], axis=1) for side in (-1.0, 1.0)]
        meshes = [longer.mesh(columns, uvw, tag=Tag.ROAD)]
        if len(self.roads.fills):
            corners = self.roads.fills.reshape(-1, 3)
            faces = quads(len(self.roads.fills))
            meshes.append(make(corners, faces, uvw=(0.0, 0.0, SHARED), tag=Tag.ROAD))
        return merge(meshes)

    def borders(self) -> Mesh:
        """Return pavements, medians and kerbs, and the verges that join roads to the land."""
        kerbs = Kerbs(self._samples, self.kerb_height, self._grass, self._every, self._seed)
        meshes = kerbs.meshes()
        for side in free_edges(self._samples):
            meshes += verges(side, self.kerb_height, self.terrain, self.grid)
        if self._walled:
            meshes += median_walls(self._samples)
        return merge(meshes + soffits(self._samples, self.terrain))


def edges(roads: Roads) -> list[tuple[Points, Points, str]]:
    """Return the outer edges: points (n, 3), unit outward directions (n, 3), the lane's kind."""
    samples = Samples(roads.lanes)
    found = []
    for side in free_edges(samples, thin=False):
        lanes = samples.lane[side.runs.index[side.runs.starts]]
        parts = zip(side.runs.split(side.points), side.runs.split(side.outward), lanes, strict=True)
        found += [(points, out, roads.lanes[lane].kind) for points, out, lane in parts]
    return found


def medians(roads: Roads) -> list[Lane]:
    """Return the strips between opposite carriageways: where barriers and bushes stand."""
    return [lane for lane in roads.lanes if lane.kind == "Median"]


def _surface(xy: Array, z: Array, columns: int, normal: Array) -> Mesh:
    """Return the mesh of a grid of heights, row by row."""
    rows = len(z) // columns
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + columns + 1], 1),
            np.stack([corner, corner + columns + 1, corner + columns], 1),
        ]
    )
    return make(np.column_stack([xy, z]), faces, normal=normal, tag=Tag.TERRAIN)


def _slopes(z: Array, x: Array, y: Array) -> Array:
    """Return the normals (n, 3) of heights (rows, columns)."""
    dy, dx = np.gradient(z, y, x)
    normal = np.stack([-dx, -dy, np.ones_like(z)], axis=-1).reshape(-1, 3)
    return np.asarray(normal / np.linalg.norm(normal, axis=1, keepdims=True))
