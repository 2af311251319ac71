"""What lorries and buses look like, each built once: vans with boxes, tippers, tankers, coaches.

    lorry, length, width = LORRIES["box"].mesh, LORRIES["box"].length, LORRIES["box"].width

Prototypes for `things.copies`, as the cars in `things.vehicles.bodies`: paint
slot 1 is the cab or the bus, slot 2 what the lorry carries.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from carla_bridge.world.meshes import GLASS, LAMP, LIGHT, PLAIN, Mesh, merge
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.shapes import block, facets, tube
from carla_bridge.world.things.vehicles.bodies import (
    BLACK,
    DARK_GLASS,
    HEADLIGHT,
    PROUD,
    TAILLIGHT,
    wheel,
)

Face = list[list[float]]


@dataclass(frozen=True)
class Large:
    """A lorry or a bus: its size in metres and how it is built."""

    length: float
    width: float
    build: Callable[[float, float], list[Mesh]]

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The prototype."""
        return merge(self.build(self.length, self.width))


def _front(x: float, y: tuple[float, float], z: tuple[float, float]) -> Face:
    """Return a plate that faces forward at ``x``."""
    return [[x, y[0], z[0]], [x, y[1], z[0]], [x, y[1], z[1]], [x, y[0], z[1]]]


def _rear(x: float, y: tuple[float, float], z: tuple[float, float]) -> Face:
    return _front(x, (y[1], y[0]), z)


def _sides(x: tuple[float, float], y: float, z: tuple[float, float]) -> list[Face]:
    """Return the same plate on the left at ``y`` and on the right at ``-y``."""
    left = [[x[1], y, z[0]], [x[0], y, z[0]], [x[0], y, z[1]], [x[1], y, z[1]]]
    return [left, [[a, -b, c] for a, b, c in reversed(left)]]


def _wheels(places: tuple[float, ...], width: float, radius: float, tag: int) -> list[Mesh]:
    return [
        wheel(x, side * (width / 2.0 - 0.04), radius, side, tag, wide=0.3)
        for x in places
        for side in (1.0, -1.0)
    ]


def _lights(front: float, rear: float, width: float, z: float, tag: int) -> list[Mesh]:
    """Return head and tail lights, number plates and a bumper at each end."""
    half = width / 2.0
    pairs = ((0.55 * half, 0.85 * half), (-0.85 * half, -0.55 * half))
    ahead, behind = front + 2 * PROUD, rear - 2 * PROUD
    head = [_front(ahead, y, (z - 0.12, z + 0.06)) for y in pairs]
    tail = [_rear(behind, y, (z + 0.1, z + 0.26)) for y in pairs]
    plates = [_front(ahead, (-0.26, 0.26), (z - 0.3, z - 0.18)),
              _rear(behind, (-0.26, 0.26), (z - 0.1, z + 0.02))]  # fmt: skip
    bumpers = [_front(front + PROUD, (-half, half), (z - 0.35, z - 0.05)),
               _rear(rear - PROUD, (-half, half), (z - 0.3, z + 0.04))]  # fmt: skip
    return [
        facets(head, HEADLIGHT, LAMP, tag),
        facets(tail, TAILLIGHT, LIGHT, tag),
        facets(plates, (216, 214, 190), PLAIN, tag),
        facets(bumpers, (40, 40, 42), PLAIN, tag),
    ]


def _cab(front: float, rear: float, width: float, high: float) -> list[Mesh]:
    """Return a cab over its engine, with windows, mirrors and a grille."""
    half, glass = width / 2.0, 0.62 * high
    x = front + PROUD
    body = block((rear, -half, 0.55), (front, half, high), tag=Tag.TRUCK, slot=1, taper=0.97)
    screen = [_front(x - 0.02, (-0.88 * half, 0.88 * half), (glass, 0.93 * high))]
    doors = _sides((rear + 0.5, front - 0.25), half - 0.005, (glass, 0.92 * high))
    grille = [_front(x, (-0.6 * half, 0.6 * half), (0.75, glass - 0.3))]
    mirrors = [
        block((front - 0.2, y - 0.1, glass), (front - 0.1, y + 0.1, glass + 0.5), BLACK,
              tag=Tag.TRUCK) for y in (half + 0.18, -half - 0.18)
    ]  # fmt: skip
    return [
        body,
        facets(screen + doors, DARK_GLASS, GLASS, Tag.TRUCK),
        facets(grille, (30, 30, 32), PLAIN, Tag.TRUCK),
        *mirrors,
    ]


def _chassis(length: float, width: float) -> Mesh:
    end = length / 2.0
    return block((-end, -0.36 * width, 0.35), (end, 0.36 * width, 0.95), BLACK, tag=Tag.TRUCK)


def _box(length: float, width: float) -> list[Mesh]:
    """Return a lorry with a box: deliveries, removals."""
    end, half = length / 2.0, width / 2.0
    cargo = block(
        (-end, -half, 0.95), (end - 2.2, half, 3.5), tag=Tag.TRUCK, slot=2
    )  # a little higher than the cab
    doors = facets(
        [_rear(-end - PROUD, (-0.01, 0.01), (1.0, 3.45))], (60, 60, 62), PLAIN, Tag.TRUCK
    )
    return [
        *_cab(end, end - 2.0, width - 0.15, 2.75),
        cargo,
        doors,
        _chassis(length, width),
        *_lights(end, -end, width, 0.75, Tag.TRUCK),
        *_wheels((end - 1.2, -end + 1.6), width, 0.46, Tag.TRUCK),
    ]


def _articulated(length: float, width: float) -> list[Mesh]:
    """Return a tractor with a long trailer."""
    end, half = length / 2.0, width / 2.0
    cargo = block((-end, -half, 1.1), (end - 2.6, half, 3.95), tag=Tag.TRUCK, slot=2)
    guards = facets(_sides((-2.5, end - 6.5), half - 0.05, (0.5, 1.0)), (90, 92, 95), PLAIN,
                    Tag.TRUCK)  # fmt: skip
    return [
        *_cab(end, end - 2.2, width - 0.06, 3.5),
        cargo,
        guards,
        _chassis(length, width),
        *_lights(end, -end, width, 0.8, Tag.TRUCK),
        *_wheels((end - 1.35, end - 4.9, -end + 1.8, -end + 3.1, -end + 4.4), width, 0.5,
                 Tag.TRUCK),
    ]  # fmt: skip


def _tipper(length: float, width: float) -> list[Mesh]:
    """Return a lorry with an open body, as on building sites."""
    end, half = length / 2.0, width / 2.0
    body = block((-end, -half, 1.15), (end - 2.3, half, 2.35), tag=Tag.TRUCK, slot=2, taper=1.04)
    load = block((-end + 0.3, -half + 0.2, 2.3), (end - 2.6, half - 0.2, 2.7), (120, 104, 80),
                 tag=Tag.TRUCK, taper=0.6)  # fmt: skip
    return [
        *_cab(end, end - 1.9, width - 0.1, 2.85),
        body,
        load,
        _chassis(length, width),
        *_lights(end, -end, width, 0.8, Tag.TRUCK),
        *_wheels((end - 1.3, -end + 1.1, -end + 2.4), width, 0.5, Tag.TRUCK),
    ]


def _tanker(length: float, width: float) -> list[Mesh]:
    """Return a lorry with a tank."""
    end = length / 2.0
    tank = tube(
        [[end - 2.5, 0, 2.15], [end - 2.6, 0, 2.15], [-end + 0.2, 0, 2.15], [-end, 0, 2.15]],
        [0.9, 1.15, 1.15, 0.95], 10, tag=Tag.TRUCK, slot=2, cap=True,
    )  # fmt: skip
    return [
        *_cab(end, end - 2.1, width - 0.1, 3.0),
        tank,
        _chassis(length, width),
        *_lights(end, -end, width, 0.8, Tag.TRUCK),
        *_wheels((end - 1.3, -end + 1.2, -end + 2.5), width, 0.5, Tag.TRUCK),
    ]


def _bus_of(floors: int) -> Callable[[float, float], list[Mesh]]:
    """Return how a bus of one or two floors is built."""

    def build(length: float, width: float) -> list[Mesh]:
        end, half, high = length / 2.0, width / 2.0, 3.05 if floors == 1 else 4.3
        body = block((-end, -half, 0.32), (end, half, high), tag=Tag.BUS, slot=1, taper=0.985)
        stripe = _sides((-end + 0.02, end - 0.02), half + 0.002, (0.4, 0.95))
        windows = _sides((-end + 0.35, end - 0.9), half + 0.004, (1.35, 2.45))
        doors = _sides((end - 1.75, end - 0.5), half + 0.006, (0.45, 2.45))[1:]
        glass = [_front(end + PROUD, (-0.9 * half, 0.9 * half), (1.1, 2.5)),
                 _rear(-end - PROUD, (-0.8 * half, 0.8 * half), (1.6, 2.5))]  # fmt: skip
        if floors == 2:
            windows += _sides((-end + 0.3, end - 0.25), half - 0.015, (2.95, 3.85))
            glass += [_front(end, (-0.88 * half, 0.88 * half), (2.95, 3.9)),
                      _rear(-end, (-0.8 * half, 0.8 * half), (2.95, 3.8))]  # fmt: skip
        sign = [_front(end + 2 * PROUD, (-0.6 * half, 0.6 * half), (2.52, 2.8))]
        return [
            body,
            facets(stripe, tag=Tag.BUS, slot=2),
            facets(windows + doors + glass, DARK_GLASS, GLASS, Tag.BUS),
            facets(sign, (232, 160, 40), LIGHT, Tag.BUS),
            block((-end + 0.1, -half + 0.15, 0.2), (end - 0.1, half - 0.15, 0.4), BLACK,
                  tag=Tag.BUS),
            *_lights(end, -end, width, 0.75, Tag.BUS),
            *_wheels((end - 2.5, -end + 2.9), width + 0.11, 0.48, Tag.BUS),
        ]  # fmt: skip

    return build


LORRIES = {
    "box": Large(7.6, 2.45, _box),
    "parcels": Large(6.2, 2.2, _box),
    "articulated": Large(15.5, 2.5, _articulated),
    "tipper": Large(7.8, 2.45, _tipper),
    "tanker": Large(9.0, 2.45, _tanker),
}
BUSES = {
    "city": Large(11.8, 2.55, _bus_of(1)),
    "short": Large(8.6, 2.4, _bus_of(1)),
    "double": Large(10.6, 2.55, _bus_of(2)),
}
