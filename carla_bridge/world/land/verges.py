"""What joins roads to the land: verges that follow ditches and banks, and the sides of bridges.

    edges = free_edges(samples)
    meshes = verges(edges, lift=0.12, terrain=terrain, grid=grid)

The height field is too coarse for a kerb or a ditch; along each free edge strips of some
metres follow the land exactly, and the field stays below them. Where they run into another
road they dive under it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.world.land.kerbs import KERB, ROOT, TOP, face
from carla_bridge.world.land.ribbons import Runs, Samples
from carla_bridge.world.land.road_grid import RoadGrid
from carla_bridge.world.land.terrain import Terrain
from carla_bridge.world.maps.lanes import Flags, Points
from carla_bridge.world.meshes import Mesh, up
from carla_bridge.world.tags import Tag

Array = npt.NDArray[np.float64]

OFFSETS = np.array([0.45, 1.2, 2.4, 4.2, 6.8, 10.0])
"""Metres from the edge at which strips follow the land."""
IN_TOWN = np.array([0.45, 2.4, 6.8, 10.0])
"""The same where land is level with pavements."""
TUCK = 0.12
"""Metres by which the first strip reaches under its own lane."""
UNDER = 0.45
"""Metres by which land stays below asphalt."""
DECK = 1.1
"""Metres of thickness of a bridge."""
REST = 25
"""Samples, a metre or less apart, by which a bridge's underside goes on into the banks."""
HIGH = 2.2
"""Metres above the land from which a road stands on a bridge."""
CONCRETE = (150, 148, 142)


@dataclass(frozen=True)
class Edges:
    """Stretches of outer edges on one side of lanes: ``side`` is 1 right, -1 left.

    ``points`` and unit ``outward`` (m, 3) lie along the ``runs``; ``s`` (m,) metres; the flags
    (m,) say whether the map marks a kerb there, and whether the lane is raised itself.
    """

    side: int
    runs: Runs
    points: Points
    outward: Points
    s: Array
    kerb: Flags
    raised: Flags


def free_edges(samples: Samples, thin: bool = True) -> list[Edges]:
    """Return the edges beyond which nothing lies, right ones and left ones.

    They are in driving direction; with ``thin``, of the samples that shapes need.
    """
    found = []
    keep = samples.keep if thin else np.ones_like(samples.keep)
    for side, name in ((1, "right"), (-1, "left")):
        outer = [getattr(lane, f"outer_{name}") for lane in samples.lanes]
        marked = [
            getattr(lane, f"kerb_{name}") and lane.paved and o
            for lane, o in zip(samples.lanes, outer, strict=True)
        ]
        free = samples.flags(f"free_{name}", outer) & samples.per_lane(outer)
        runs = samples.runs(free, keep=keep)
        index = runs.index
        outward = (samples.right[index] - samples.left[index]) * side
        outward[:, 2] = 0.0
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
        found.append(
            Edges(
                side,
                runs,
                (samples.right if side > 0 else samples.left)[index],
                outward,
                samples.s[index],
                samples.per_lane(marked)[index],
                samples.per_lane([lane.raised for lane in samples.lanes])[index],
            )
        )
    return found


def verges(edges: Edges, lift: float, terrain: Terrain, grid: RoadGrid) -> list[Mesh]:
    """Return the strips from edges to the land; kerbs stand ``lift`` metres above the road."""
    if not len(edges.points):
        return []
    points, outward = edges.points, edges.outward
    offsets = IN_TOWN if terrain.urban else OFFSETS
    high = np.where(edges.kerb | edges.raised, lift, 0.0)[:, None] * up(1.0)
    out = points[None] + outward[None] * offsets[:, None, None]
    flat = out[..., :2].reshape(-1, 2)
    found = grid.nearest(flat)
    height = terrain.height(flat, found)
    # Where another lane lies, or is about to, land is below it.
    under = found.distance < 0.25
    height = np.where(under, np.minimum(found.road_height, height) - UNDER, height)
    own = np.tile(points[:, 2], len(offsets))
    height = np.where(under & (found.road_height > own + HIGH), own - 0.05, height)  # a bridge
    out[..., 2] = height.reshape(len(offsets), -1)
    out[-1, :, 2] -= 0.06
    columns = np.concatenate([(points - outward * TUCK + high - up(0.03))[None], out])
    bridge = points[:, 2] - out[1, :, 2] > HIGH
    meshes = [_bands(columns, _without(edges.runs, bridge), edges.side)]
    if bridge.any():
        meshes += _bridge_sides(edges, bridge)
    if edges.kerb.any():
        meshes += _kerbs(edges, high)
    return meshes


def _without(runs: Runs, hidden: Flags) -> Runs:
    """Return runs that are interrupted where ``hidden`` (m,)."""
    starts = runs.starts | hidden
    starts[1:] |= hidden[:-1]
    return Runs(runs.index, starts)


def _bands(columns: Array, runs: Runs, side: int) -> Mesh:
    """Return bands between polylines (k, m, 3) that lie side by side, with smooth normals."""
    along = np.empty_like(columns)
    step = np.diff(columns, axis=1)
    along[:, 1:], along[:, 0] = step, step[:, 0]
    first = np.flatnonzero(runs.starts[:-1])
    along[:, first] = step[:, first]
    across = np.gradient(columns, axis=0)
    normal = np.cross(across, along) * side
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-9)
    normal = np.where(normal[..., 2:] < 0.2, [0.0, 0.0, 1.0], normal)
    order = slice(None, None, side)
    return runs.mesh(list(columns[order]), normal=normal[order].reshape(-1, 3), tag=Tag.TERRAIN)


def _strip(edges: Edges, near: Points, far: Points, normal: Array, hidden: Flags) -> Mesh:
    """Return a strip of concrete from ``near`` the lane outwards."""
    pair = [near, far][:: edges.side]
    uvw = np.full_like(near, KERB)
    normals = np.broadcast_to(normal, near.shape)
    return _without(edges.runs, hidden).mesh(
        pair, [uvw, uvw], np.concatenate([normals, normals]), Tag.BRIDGE, CONCRETE
    )


def _bridge_sides(edges: Edges, bridge: Flags) -> list[Mesh]:
    """Return the beams under parapets and the sides of bridges."""
    padded = np.pad(bridge, 1, mode="edge")
    hidden = ~(padded[:-2] | bridge | padded[2:])
    beam = edges.points + up(0.12)
    rim = beam + edges.outward * 0.3
    return [
        _strip(edges, beam, rim, up(1.0), hidden),
        _strip(edges, rim, rim - up(DECK + 0.12), edges.outward, hidden),
        _strip(edges, edges.points - up(0.05), beam, -edges.outward, hidden),
    ]


def _kerbs(edges: Edges, high: Array) -> list[Mesh]:
    """Return kerbs along asphalt with land behind it."""
    runs = _without(edges.runs, ~edges.kerb)
    top = edges.points + high
    back = top + edges.outward * TOP
    s = edges.s
    uvw = [np.stack([np.full_like(s, x), s, np.full_like(s, KERB)], 1) for x in (0.0, TOP)]
    foot = edges.points - up(ROOT)
    pair = (foot, top) if edges.side > 0 else (top, foot)
    order = slice(None, None, edges.side)
    return [
        face(runs, *pair, -edges.outward, s),
        runs.mesh([top, back][order], uvw[order], tag=Tag.SIDEWALK),
    ]


def soffits(samples: Samples, terrain: Terrain) -> list[Mesh]:
    """Return the undersides of lanes that cross something well below them: they face down."""
    index = np.flatnonzero(samples.keep)
    middle = (samples.left[index] + samples.right[index]) / 2.0
    high = np.zeros(len(samples.s), dtype=bool)
    high[index] = middle[:, 2] - terrain.height(middle[:, :2]) > DECK
    if not high.any():
        return []
    among = samples.keep.nonzero()[0]
    order = np.searchsorted(among, np.arange(len(samples.s)), side="right") - 1
    high = high[among[np.maximum(order, 0)]]
    # On into the banks, which hide the rest: the land between samples may lie lower.
    runs = samples.runs(np.convolve(high, np.ones(2 * REST + 1), "same") > 0.5)
    below = up(DECK)
    columns = [samples.right[runs.index] - below, samples.left[runs.index] - below]
    uvw = np.full_like(columns[0], KERB)
    mesh = runs.mesh(columns, [uvw, uvw], (0.0, 0.0, -1.0), Tag.BRIDGE, CONCRETE)
    return [mesh]
