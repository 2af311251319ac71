"""What building fronts have: shop windows and awnings, doors, bays, balconies, chimneys.

    parts = fronts(frame, KINDS, kind, width, depth, height, top, colour, spread)

``spread`` (n, 8) are each building's own draws, uniform in 0..1: a column decides one feature.
"""

from __future__ import annotations

import numpy as np

from carla_bridge.world.meshes import FACADE, GLASS, PLAIN, Array, Mesh
from carla_bridge.world.things.buildings.shapes import Frame

BOARDS = np.array(
    [
        [24, 60, 40],
        [130, 24, 26],
        [24, 34, 78],
        [30, 30, 32],
        [214, 206, 190],
        [200, 150, 30],
        [30, 110, 130],
        [96, 30, 74],
        [222, 222, 224],
        [190, 70, 30],
    ]
)
"""Colours of shop signs, awnings and doors."""  # fmt: skip
PANES = np.array([[20, 23, 26], [34, 38, 40], [58, 54, 46], [14, 15, 17]])
STOREY = 3.1


def fronts(
    frame: Frame, kinds: list[str], kind: Array, width: Array, depth: Array, height: Array,
    top: Array, colour: Array, spread: Array,
) -> list[Mesh]:  # fmt: skip
    """Return all features of buildings of ``kind`` (n,), an index into ``kinds``.

    ``width``, ``depth``, ``height`` (of the walls) and ``top`` (of the roof) are (n,) metres.
    """

    def of(*names: str) -> np.ndarray:
        return np.isin(kind, [kinds.index(name) for name in names])

    u = spread.T
    shop = of("shops") | (of("blocks", "terrace") & (u[0] < 0.12))
    office = of("blocks", "behind", "outskirts") & (u[1] < 0.5)
    house = of("terrace", "houses", "farm") & ~shop
    chimney = house & (u[2] < 0.75) & (top > height + 0.5)
    chimney |= of("shops") & (u[2] < 0.35) & (top > height + 0.5)
    crown = (of("shops") & (u[3] < 0.6)) | office
    parts = [
        *_shops(frame.where(shop), width[shop], colour[shop], spread[shop]),
        *_houses(frame.where(house), width[house], colour[house], spread[house]),
        *_balconies(frame, width, height, of("blocks") & (u[4] < 0.45)),
        *_halls(frame, width, height, of("industry"), spread),
    ]
    some = frame.where(chimney)
    x = (u[5, chimney] < 0.5) * 0.8 * width[chimney] - 0.4 * width[chimney]
    y, z = depth[chimney] / 2.0, top[chimney]
    low = np.stack([x - 0.45, y - 0.35, z - 1.6], 1)
    high = np.stack([x + 0.45, y + 0.35, z + 0.9], 1)
    parts.append(some.boxes(low, high, colour[chimney] * 0.8))
    some, half = frame.where(crown), width[crown] / 2.0
    z = height[crown]
    low = np.stack([-half - 0.02, np.full(len(z), -0.22), z - 0.35], 1)
    high = np.stack([half + 0.02, np.full(len(z), 0.3), z + 0.35], 1)
    parts.append(some.boxes(low, high, colour[crown] * 1.12))
    return parts


def _shops(frame: Frame, width: Array, colour: Array, spread: Array) -> list[Mesh]:
    """Return dark shop windows between pillars, a board above them, awnings on some."""
    n = len(width)
    half = width / 2.0
    board = BOARDS[(spread[:, 5] * len(BOARDS)).astype(int)]
    pane = PANES[(spread[:, 6] * len(PANES)).astype(int)]
    one = np.ones(n)
    door = -half + 0.5 + spread[:, 7] * (width - 2.2)
    high = np.stack([half - 0.05, np.full(n, 0.1), 3.45 * one], 1)
    low = np.stack([-half + 0.05, np.full(n, -0.28), 2.8 * one], 1)
    parts = [
        frame.panels(-half + 0.15, half - 0.15, 0.0 * one, 2.82 * one, -0.04, board * 0.6),
        frame.panels(-half + 0.4, door - 0.1, 0.55 * one, 2.6 * one, -0.08, pane, GLASS),
        frame.panels(door + 1.2, half - 0.4, 0.55 * one, 2.6 * one, -0.08, pane, GLASS),
        frame.panels(door, door + 1.05, 0.05 * one, 2.5 * one, -0.08, pane * 0.7, GLASS),
        frame.boxes(low, high, board),
    ]
    parts.append(
        frame.panels(-0.55 * half, 0.5 * half, 2.97 * one, 3.25 * one, -0.3, 255.0 - board * 0.55)
    )
    shaded = spread[:, 4] < 0.32
    some, half = frame.where(shaded), half[shaded] - 0.2
    m = len(half)
    y0, y1, z0, z1 = np.full(m, -0.2), np.full(m, -1.35), np.full(m, 2.85), np.full(m, 2.25)
    corners = np.stack(
        [
            np.stack([-half, y1, z1], 1),
            np.stack([half, y1, z1], 1),
            np.stack([half, y0, z0], 1),
            np.stack([-half, y0, z0], 1),
        ],
        axis=1,
    )
    awning = BOARDS[(spread[shaded, 3] * len(BOARDS)).astype(int)]
    parts.append(some.faces(corners[:, None], awning * 1.05, PLAIN))
    parts.append(some.panels(-half, half, z1 - 0.25, z1, -1.35, awning * 0.9))
    hanging = (spread[:, 2] > 0.7) & (width > 4.0)
    some, x = frame.where(hanging), width[hanging] / 2.0 - 0.8
    low = np.stack([x, np.full(len(x), -1.1), np.full(len(x), 3.5)], 1)
    return [*parts, some.boxes(low, low + np.array([0.12, 0.9, 0.8]), board[hanging])]


def _houses(frame: Frame, width: Array, colour: Array, spread: Array) -> list[Mesh]:
    """Return front doors, bay windows and garages."""
    n = len(width)
    one = np.ones(n)
    side = np.where(spread[:, 6] < 0.5, 1.0, -1.0)
    door = side * (0.5 * width - 1.1)
    paint = BOARDS[(spread[:, 5] * len(BOARDS)).astype(int)]
    parts = [
        frame.panels(door - 0.65, door + 0.65, 0.0 * one, 2.45 * one, -0.03, [214, 212, 204]),
        frame.panels(door - 0.48, door + 0.48, 0.05 * one, 2.15 * one, -0.06, paint),
    ]
    bay = spread[:, 3] < 0.45
    some, m = frame.where(bay), int(bay.sum())
    x = -side[bay] * 0.2 * width[bay]
    tall = np.where(spread[bay, 4] < 0.5, 2.9, 2.9 + STOREY)
    low = np.stack([x - 1.05, np.full(m, -0.7), np.full(m, -1.5)], 1)
    high = np.stack([x + 1.05, np.full(m, 0.2), tall], 1)
    parts.append(some.boxes(low, high, np.minimum(colour[bay] * 1.15, 240.0)))
    for begin, keep in ((0.8, bay), (0.8 + STOREY, bay & (spread[:, 4] >= 0.5))):
        x, k = -side[keep] * 0.2 * width[keep], np.ones(int(keep.sum()))
        parts.append(
            frame.where(keep).panels(
                x - 0.9, x + 0.9, begin * k, (begin + 1.6) * k, -0.73, [24, 27, 30], GLASS
            )
        )
    garage = (spread[:, 1] < 0.4) & (width > 9.0)
    some, x = frame.where(garage), -side[garage] * (0.5 * width[garage] + 1.45)
    m = len(x)
    low = np.stack([x - 1.5, np.full(m, 1.0), np.full(m, -2.0)], 1)
    high = np.stack([x + 1.5, np.full(m, 6.5), np.full(m, 2.7)], 1)
    parts.append(some.boxes(low, high, colour[garage] * 0.92))
    shut = [np.zeros(m) + 0.05, np.zeros(m) + 2.2]
    parts.append(some.panels(x - 1.2, x + 1.2, shut[0], shut[1], 0.96, paint[garage]))
    return parts


def _balconies(frame: Frame, width: Array, height: Array, keep: np.ndarray) -> list[Mesh]:
    """Return a balcony a storey above the ground floor, as wide as a third of the front or all."""
    floors = np.maximum((height / STOREY).astype(int) - 1, 0) * keep
    index = np.repeat(np.arange(len(width)), floors)
    first = np.cumsum(floors) - floors
    z = (np.arange(len(index)) - first[index] + 1) * STOREY
    wide = np.where(index % 2 == 0, 0.9, 0.34) * width[index] / 2.0
    some, n = frame.where(index), len(index)
    low = np.stack([-wide, np.full(n, -1.25), z - 0.12], 1)
    high = np.stack([wide, np.zeros(n), z + 0.1], 1)
    rail = some.panels(-wide, wide, z + 0.15, z + 1.05, -1.24, [150, 156, 160], GLASS)
    return [some.boxes(low, high, [188, 186, 182]), rail]


def _halls(
    frame: Frame, width: Array, height: Array, keep: np.ndarray, spread: Array
) -> list[Mesh]:
    """Return the roller doors, high windows and name boards of halls."""
    some, half, top, u = frame.where(keep), width[keep] / 2.0, height[keep], spread[keep]
    one = np.ones(len(half))
    door = (u[:, 0] - 0.5) * half
    board = BOARDS[(u[:, 1] * len(BOARDS)).astype(int)]
    return [
        some.panels(door - 2.0, door + 2.0, 0.0 * one, 4.2 * one, -0.04, [92, 98, 104]),
        some.panels(-half + 1.0, half - 1.0, top - 1.6, top - 0.8, -0.04, [40, 46, 52], GLASS),
        some.panels(door + 3.0, door + 3.0 + 0.5 * half * u[:, 2], 2.5 * one, 4.0 * one, -0.05,
                    board),
        some.panels(-half + 1.0, -half + 4.0, 0.3 * one, 2.6 * one, -0.04, [60, 64, 70], FACADE),
    ]  # fmt: skip
