"""Bicycles and motorcycles with their riders.

    bicycle = BICYCLES["city"]   # paint slots: cloth, trousers, skin, hair, frame

Prototypes for `carla_bridge.world.things.copies`: wheels on z = 0, forward along x. The machine is
tagged as one and its rider as `Tag.RIDER`.
"""

from __future__ import annotations

import functools

import numpy as np

from carla_bridge.world.meshes import LAMP, LIGHT, Mesh, merge
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.figures import body
from carla_bridge.world.things.shapes import block, disc, tube
from carla_bridge.world.things.vehicles.bodies import BLACK, HEADLIGHT, TAILLIGHT

Point = tuple[float, float, float]

FRAME = 5
"""Paint slot of the machine, after its rider's."""


def _tyre(x: float, radius: float, thick: float, tag: int) -> Mesh:
    """Return a tyre as a ring: bicycles are seen through."""
    turn = np.linspace(0.0, 2.0 * np.pi, 11)
    path = np.column_stack(
        [x + (radius - thick) * np.cos(turn), 0.0 * turn, radius + (radius - thick) * np.sin(turn)]
    )
    return tube(path, thick, 3, BLACK, tag=tag)


@functools.cache
def bicycle(step: float = 1.0, upright: float = 0.12) -> Mesh:
    """Return a bicycle and its rider; ``step`` -1..1 is the left pedal's height."""
    tag = Tag.BICYCLE
    rear, front, crank = (-0.52, 0.0, 0.34), (0.52, 0.0, 0.34), (-0.08, 0.0, 0.3)
    saddle, bars = (-0.22, 0.0, 0.92), (0.38, 0.0, 0.98)

    def bar(a: Point, b: Point, thick: float = 0.018) -> Mesh:
        return tube([a, b], thick, 3, tag=tag, slot=FRAME)

    machine = [
        _tyre(-0.52, 0.34, 0.022, tag),
        _tyre(0.52, 0.34, 0.022, tag),
        bar(crank, saddle),
        bar(crank, (0.33, 0, 0.78)),
        bar((-0.2, 0, 0.8), (0.34, 0, 0.84)),
        bar(rear, crank),
        bar(rear, (-0.19, 0, 0.82)),
        bar(front, bars),
        tube([(0.36, -0.24, 1.0), (0.36, 0.24, 1.0)], 0.016, 3, BLACK, tag=tag),
        disc((-0.64, 0, 0.62), 0.05, "-x", 4, TAILLIGHT, LIGHT, tag),
    ]
    lift = 0.17 * step
    rider = body(
        (-0.2, 0.0, 1.0), (-0.08 + upright, 0.0, 1.5),
        [(-0.04, 0.1, 0.36 + lift), (-0.04, -0.1, 0.36 - lift)],
        [(0.36, 0.22, 1.04), (0.36, -0.22, 1.04)], Tag.RIDER,
    )  # fmt: skip
    return merge([*machine, rider])


@functools.cache
def motorcycle(upright: float = 0.1) -> Mesh:
    """Return a motorcycle and its rider, who wears a helmet (the hair's slot)."""
    tag = Tag.MOTORCYCLE
    machine = [
        _tyre(-0.68, 0.32, 0.06, tag),
        _tyre(0.7, 0.32, 0.06, tag),
        block((-0.35, -0.16, 0.28), (0.35, 0.16, 0.66), (44, 44, 46), tag=tag, taper=0.9),
        block((-0.1, -0.15, 0.64), (0.45, 0.15, 0.94), tag=tag, slot=FRAME, taper=0.7),
        block((-0.85, -0.12, 0.68), (-0.05, 0.12, 0.84), BLACK, tag=tag, taper=0.9),
        tube([(0.7, 0, 0.32), (0.42, 0, 1.02)], 0.05, 4, (120, 120, 124), tag=tag),
        tube([(0.38, -0.36, 1.04), (0.38, 0.36, 1.04)], 0.02, 3, BLACK, tag=tag),
        disc((0.58, 0, 0.86), 0.1, "+x", 6, HEADLIGHT, LAMP, tag),
        disc((-0.88, 0, 0.78), 0.07, "-x", 4, TAILLIGHT, LIGHT, tag),
    ]
    rider = body(
        (-0.28, 0.0, 0.9), (-0.16 + upright, 0.0, 1.4),
        [(-0.06, 0.24, 0.36), (-0.06, -0.24, 0.36)],
        [(0.36, 0.3, 1.06), (0.36, -0.3, 1.06)], Tag.RIDER,
    )  # fmt: skip
    return merge([*machine, rider])
