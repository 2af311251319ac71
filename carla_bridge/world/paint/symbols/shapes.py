"""Drawings of road symbols in metres, as a driver who comes towards them reads them.

    arrow = lane_arrow("left", length=5.0)
    arrow.size   # (across, along) metres

A drawing's origin is the middle of its near edge; x is to the right, y ahead. Sizes are
those of the rules cited at each: MUTCD 2009 (USA) chapter 3B, RMS-1 1993 (Germany), and the
British TSRGD 2016 with the Traffic Signs Manual, chapter 5 ("TSM 5").
"""

from __future__ import annotations

import functools

import numpy as np

from carla_bridge.world.paint.canvas import PART, Shape, filled, joined, stroke
from carla_bridge.world.paint.tracks import Array

DIRECTIONS = ("ahead", "left", "right", "ahead-left", "ahead-right", "left-right")
"""What `lane_arrow` draws."""


@functools.cache
def lane_arrow(direction: str, length: float = 5.0, width: float = 1.0) -> Shape:
    """Return an arrow of one of `DIRECTIONS`.

    RMS-1: 5 m long in towns, 7.5 m outside; MUTCD figure 3B-24: 2.9 m ahead, 2.4 m turning;
    TSM 5 (diagram 1038): 4, 6 or 8 m. ``width`` scales what lies across.
    """
    half = 0.075 * width
    ahead = "ahead" in direction
    parts = [_straight(length, half, width)] if ahead else []
    # A turn leaves a combined arrow's stem further back than it bends a single one.
    bend = length * (0.2 if ahead else 0.6)
    for side in ("left", "right"):
        if side in direction:
            turn = _turn(length, bend, half, width, stem=not ahead)
            parts.append(turn.flipped() if side == "left" else turn)
    return joined(*parts)


def _straight(length: float, half: float, width: float) -> Shape:
    head, wing = 0.4 * length, 0.375 * width
    neck = length - head
    stem = stroke([[0.0, 0.0], [0.0, neck + 0.02]], half)
    return joined(stem, filled([[[-wing, neck], [wing, neck], [0.0, length]]]))


def _turn(length: float, bend: float, half: float, width: float, stem: bool) -> Shape:
    """Return a stem that turns to the right, and a head that points there and a bit ahead."""
    top, reach = (0.78 * length, 0.42 * width) if stem else (0.41 * length, 0.5 * width)
    rise = 0.17 * length
    curve = [[0.0, bend], [0.07 * width, bend + 0.6 * (top - bend)], [reach, top]]
    path = [[0.0, 0.0], *curve] if stem else [[0.0, bend - 0.05], *curve]
    head = [[reach - 0.02, top - rise], [reach + 0.42 * width, top + 0.03 * length],
            [reach - 0.02, top + rise]]  # fmt: skip
    return joined(stroke(path, half * 1.15), filled([head]))


@functools.cache
def merge_arrow(length: float = 6.0) -> Shape:
    """Return the arrow that sends a lane's traffic to the right (TSM 5, diagram 1014)."""
    lean = 0.2 * length
    shaft = stroke(
        [[-lean / 2, 0.0], [-0.1 * lean, 0.45 * length], [0.3 * lean, 0.7 * length]], 0.1
    )
    tip = [0.62 * lean, length]
    head = [[-0.13 * lean, 0.72 * length], [0.72 * lean, 0.66 * length], tip]
    return joined(shaft, filled([head]))


def teeth(width: float, base: float = 0.5, height: float = 0.75, gap: float = 0.2) -> Shape:
    """Return a row of triangles over ``width`` metres that point at whoever must give way.

    MUTCD 3B.16: 0.3-0.6 m at the base, 1.5 times as high, 0.08-0.3 m apart.
    """
    count = max(int((width + gap) / (base + gap)), 1)
    x = (np.arange(count) - (count - 1) / 2.0) * (base + gap)
    near, far = np.stack([x, np.zeros(count)], 1), np.full(count, height)
    left, right = np.stack([x - base / 2, far], 1), np.stack([x + base / 2, far], 1)
    return filled(np.stack([near, right, left], axis=1))


@functools.cache
def give_way_triangle(height: float = 3.75, base: float = 1.25) -> Shape:
    """Return the hollow triangle before a give-way line (TSM 5, diagram 1023)."""
    inner = base / 2.0 - 0.1
    edge = [[0.0, 0.3], [inner, height - 0.12], [-inner, height - 0.12]]
    return stroke(edge, 0.1, closed=True)


@functools.cache
def diamond(height: float = 3.6, width: float = 0.9) -> Shape:
    """Return the hollow diamond of lanes kept for some (MUTCD 3D.01: 12 ft by 2.5 ft)."""
    x, y = width / 2.0, height / 2.0
    return stroke([[0.0, 0.0], [x, y], [0.0, height], [-x, y]], 0.075, closed=True)


@functools.cache
def ring(height: float, width: float, half: float = 0.08) -> Shape:
    """Return an ellipse that looks round from a car: a speed limit's rim (TSM 5, 1065)."""
    angle = np.linspace(0.0, 2.0 * np.pi, 20, endpoint=False)
    edge = np.stack([np.sin(angle) * width / 2.0, (1.0 + np.cos(angle)) * height / 2.0], axis=1)
    return stroke(edge, half, closed=True)


@functools.cache
def bicycle(height: float = 1.9, width: float = 1.25) -> Shape:
    """Return a bicycle seen from its side: two wheels, a frame, bars and a saddle.

    TSM 5, diagram 1057: 1.2 m by 1.8 m and more (MUTCD figure 9C-3: 6 ft high).
    """
    x, y, half = width, height, 0.035 * width
    radius = 0.25 * x
    angle = np.linspace(0.0, 2.0 * np.pi, 12, endpoint=False)
    wheel = np.stack([np.cos(angle) * radius, np.sin(angle) * 0.21 * y], axis=1)
    rear, front = np.array([-0.36 * x, 0.22 * y]), np.array([0.36 * x, 0.22 * y])
    pedals, seat, head = [-0.06 * x, 0.24 * y], [-0.14 * x, 0.66 * y], [0.22 * x, 0.68 * y]
    bars = [[0.12 * x, 0.86 * y], [0.2 * x, 0.86 * y], [0.22 * x, 0.68 * y], list(front)]
    return joined(
        stroke(wheel[::-1] + rear, half, closed=True),
        stroke(wheel[::-1] + front, half, closed=True),
        stroke([list(rear), pedals, head, seat, pedals], half),
        stroke([list(rear), seat, [-0.16 * x, 0.78 * y]], half),
        stroke(bars, half),
        stroke([[-0.24 * x, 0.79 * y], [-0.08 * x, 0.79 * y]], half * 1.2),
    )


@functools.cache
def chevrons(count: int, width: float, gap: float = 0.9, half: float = 0.06) -> Shape:
    """Return angles that point ahead, one after the other (MUTCD figure 9C-9 has two)."""
    return joined(*(
        stroke([[-width / 2, i * gap], [0.0, i * gap + width * 0.55], [width / 2, i * gap]], half)
        for i in range(count)
    ))  # fmt: skip


def blocks(width: float, depth: float, length: float, gap: float) -> Shape:
    """Return a broken line across ``width`` metres, ``depth`` deep: RMS-1 (Zeichen 341), TSM 5."""
    count = max(int((width + gap) / (length + gap)), 1)
    middle = (np.arange(count) - (count - 1) / 2.0) * (length + gap)
    ends = np.stack([middle - length / 2, middle + length / 2], axis=1)
    return strokes_across(ends, np.full(count, depth / 2.0), depth / 2.0)


def strokes_across(ends: Array, along: Array, half: float) -> Shape:
    """Return strokes that run from left to right: ``ends`` (n, 2) across, ``along`` (n,)."""
    return segments(np.stack([ends[:, 0], along], 1), np.stack([ends[:, 1], along], 1), half)


def strokes_ahead(across: Array, begin: float, end: float, half: float) -> Shape:
    """Return strokes that run ahead side by side: ``across`` (n,) metres, between two places."""
    first = np.stack([across, np.full(len(across), begin)], 1)
    return segments(first, np.stack([across, np.full(len(across), end)], 1), half)


def segments(begin: Array, end: Array, half: float) -> Shape:
    """Return straight strokes from points (n, 2) to points (n, 2), cut so that they can bend."""
    span = end - begin
    length = np.linalg.norm(span, axis=1)
    parts = np.maximum(np.ceil(length / PART - 1e-6), 1.0).astype(int)
    row = np.repeat(np.arange(len(begin)), parts)
    part = np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
    low, high = part / parts[row], (part + 1) / parts[row]
    right = np.stack([span[:, 1], -span[:, 0]], 1) / np.maximum(length, 1e-9)[:, None] * half
    first, last = begin[row] + span[row] * low[:, None], begin[row] + span[row] * high[:, None]
    right = right[row]
    corners = np.stack([first - right, first + right, last + right, last - right], axis=1)
    run = np.stack([low, low, high, high], axis=1) * length[row, None]
    return Shape(corners, np.full(len(row), half), run)
