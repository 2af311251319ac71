"""Concrete walls that part the carriageways of motorways with a narrow, paved median.

    meshes = median_walls(samples)

The section is much like that of the step and New Jersey barriers that motorways have:
0.6 m wide at the foot, 0.2 m on top, 0.85 m high.
"""

from __future__ import annotations

import numpy as np

from carla_bridge.world.land.kerbs import KERB
from carla_bridge.world.land.ribbons import Samples
from carla_bridge.world.meshes import Mesh, up
from carla_bridge.world.tags import Tag

SECTION = ((-0.3, -0.05), (-0.27, 0.08), (-0.14, 0.3), (-0.1, 0.85), (0.1, 0.85), (0.14, 0.3),
           (0.27, 0.08), (0.3, -0.05))  # fmt: skip
"""Metres to the right and above the road."""
NARROW = 3.0
"""Metres: a wider median has bushes or a ditch."""


def median_walls(samples: Samples) -> list[Mesh]:
    """Return walls along paved medians, one where two halves lie side by side."""
    halves, wholes = [], []
    for lane in samples.lanes:
        paved = lane.kind == "Median" and lane.surface == "concrete" and not lane.raised
        half = lane.beside_left == "Median"
        narrow = float(lane.width.max()) * (2.0 if half else 1.0) < NARROW
        onwards = float(lane.s[-1]) > float(lane.s[0])  # one half of the two has the wall
        halves.append(paved and narrow and half and onwards)
        wholes.append(paved and narrow and not half and lane.beside_left != "")
    meshes = []
    for chosen, share in ((halves, 0.0), (wholes, 0.5)):
        runs = samples.runs(samples.per_lane(chosen))
        if not len(runs.index):
            continue
        left, right = samples.left[runs.index], samples.right[runs.index]
        width = np.linalg.norm(right - left, axis=1, keepdims=True)
        across = (right - left) / np.maximum(width, 1e-3)
        middle = left + (right - left) * share
        columns = [middle + across * away + up(height) for away, height in SECTION]
        s = samples.s[runs.index]
        for i in range(len(SECTION) - 1):
            (x, z), (x_after, z_after) = SECTION[i], SECTION[i + 1]
            normal = across * (z - z_after) + up(x_after - x)
            normal /= np.linalg.norm(normal, axis=1, keepdims=True)
            uvw = [
                np.stack([np.full_like(s, a), s, np.full_like(s, KERB)], 1) for a in (x, x_after)
            ]
            normals = np.concatenate([normal, normal])
            meshes.append(runs.mesh(columns[i : i + 2], uvw, normals, Tag.WALL))
    return meshes
