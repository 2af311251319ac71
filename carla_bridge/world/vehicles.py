"""Cars, lorries and buses: where they drive, and what they look like.

place, heading = traffic(lane, crowd=0.5, rng=rng)
mesh = cars(place, heading, rng)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carla_bridge.world.meshes import FACADE, GLASS, PLAIN, Array, Mesh, boxes, merge, up
from carla_bridge.world.roads import Lane

BODIES = np.array([[226, 226, 226], [30, 30, 34], [140, 144, 148], [128, 26, 24], [28, 50, 104],
                   [84, 90, 92], [180, 172, 150], [40, 80, 60], [200, 160, 40]])  # fmt: skip


def traffic(lane: Lane, crowd: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return where vehicles drive on a lane (n, 3) and their headings (n,)."""
    centre = lane.centre
    index = np.arange(int(rng.integers(5, 60)), len(centre) - 2, int(rng.integers(25, 120)))
    index = index[rng.random(len(index)) < crowd]
    ahead = centre[index + 1] - centre[index]
    place = centre[index] + rng.normal(0.0, 0.2, (len(index), 3)) * [1.0, 1.0, 0.0]
    return place, np.arctan2(ahead[:, 1], ahead[:, 0])


def cars(place: Array, heading: Array, rng: np.random.Generator) -> Mesh:
    """Return cars whose wheels stand at ``place`` and whose noses point along ``heading``."""
    n = len(place)
    colour = BODIES[rng.integers(len(BODIES), size=n)] * rng.uniform(0.8, 1.1, (n, 1))
    scale = rng.uniform(0.9, 1.15, (n, 1))
    forward = np.stack([np.cos(heading), np.sin(heading), np.zeros(n)], axis=1)
    side = np.stack([-np.sin(heading), np.cos(heading), np.zeros(n)], axis=1)

    def part(
        x: float, y: float, z: float, size: tuple[float, float, float], paint: npt.ArrayLike,
        kind: float = PLAIN, taper: float = 1.0,
    ) -> Mesh:  # fmt: skip
        centre = place + (forward * x + side * y + up(z)) * scale
        return boxes(centre, np.array(size) * scale, heading, paint, kind, taper)

    high = float(rng.uniform(0.5, 0.75))
    meshes = [
        part(0.0, 0.0, 0.57, (4.3, 1.78, 0.62), colour, taper=0.95),
        part(-0.25, 0.0, 0.88 + high / 2, (2.7, 1.6, high), [26, 30, 36], GLASS, 0.74),
        part(-0.25, 0.0, 0.9 + high, (1.95, 1.2, 0.06), colour),
        part(-2.1, 0.0, 0.34, (0.14, 1.7, 0.2), [40, 40, 42]),
        part(-2.12, 0.0, 0.55, (0.04, 0.5, 0.12), [220, 220, 190]),
    ]
    for y in (-0.68, 0.68):
        meshes.append(part(-2.1, y, 0.72, (0.1, 0.28, 0.16), [170, 20, 18]))
        meshes.append(part(2.08, y, 0.66, (0.1, 0.3, 0.16), [235, 235, 225]))
        for x in (-1.35, 1.35):
            meshes.append(part(x, y * 1.12, 0.31, (0.62, 0.22, 0.62), [18, 18, 19]))
    return merge(meshes)


def trucks(place: Array, heading: Array, rng: np.random.Generator) -> Mesh:
    """Return lorries or buses, all of one length, standing and pointing as `cars` do."""
    n = len(place)
    length = float(rng.uniform(6.0, 11.0))
    colour = BODIES[rng.integers(len(BODIES), size=n)]
    windows = FACADE if rng.random() < 0.4 else PLAIN  # a bus has windows all along
    body = boxes(place + up(1.9), np.tile([length, 2.4, 2.7], (n, 1)), heading, colour, windows)
    base = boxes(place + up(0.45), np.tile([length, 2.2, 0.5], (n, 1)), heading, [24, 24, 25])
    return merge([body, base])
