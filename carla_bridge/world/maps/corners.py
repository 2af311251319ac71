"""Gutters and pavements around the corners of junctions whose map stops them at the arms.

    add_corners(roads)     # strips go on beside the connecting roads that form the outline

Many maps (CARLA's towns too) give a junction's connecting roads driving lanes only. What
lies beyond the outermost lane of both arms is carried on beside it, its width going over
from one arm's to the other's. Where another connecting road's asphalt lies, pavements are
cut later (`carla_bridge.world.maps.overlap`), so that only the outline keeps them.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from carla_bridge.world.maps.lane_sections import Road
from carla_bridge.world.maps.lane_tracks import Strip
from carla_bridge.world.maps.lanes import DRIVABLE

Array = npt.NDArray[np.float64]
Mouth = tuple[Array, float, float]
"""Where the outermost driving lane ends (3,), and how wide gutter and pavement are beyond."""

REACH = 0.5
"""Metres within which a connecting road's edge meets an arm's."""
BEND = 0.85
"""Share of a bend's radius that a strip on its inside may take up."""


def add_corners(roads: list[Road]) -> list[Road]:
    """Return the roads, connecting roads with gutters and pavements; sharpest right turns first."""
    mouths: dict[tuple[int, int], list[Mouth]] = {}
    for road in roads:
        if road.junction == "-1":
            for mouth in _mouths(road):
                mouths.setdefault(_cell(mouth[0]), []).append(mouth)
    if not mouths:
        return roads
    return [road if road.junction == "-1" else _with_corners(road, mouths) for road in roads]


def _cell(point: Array) -> tuple[int, int]:
    return int(np.floor(point[0] / 4.0)), int(np.floor(point[1] / 4.0))


def _mouths(road: Road) -> list[Mouth]:
    found: list[Mouth] = []
    last = max((strip.s[-1] for strip in road.strips), default=0.0)
    for at, s, junction in ((0, 0.0, road.junctions[0]), (-1, last, road.junctions[1])):
        if junction:
            strips = [strip for strip in road.strips if abs(strip.s[at] - s) < 1e-6]
            for towards, (driving, *beyond), closed in _outwards(strips, at):
                gutter, pavement = _widths(beyond, at, closed)
                if gutter + pavement:
                    found.append((_edge(driving, towards)[at], gutter, pavement))
    return found


def _outwards(strips: list[Strip], at: int) -> list[tuple[int, list[Strip], bool]]:
    """Return, to the left (1) and right (-1) of each carriageway, its last lane and those beyond.

    The flag says that another carriageway follows.
    """
    if not strips:
        return []
    widest = max(strips, key=lambda x: float(np.linalg.norm(x.outer[at] - x.inner[at])))
    left = (widest.outer[at] - widest.inner[at]) * widest.side
    across = sorted(strips, key=lambda x: -float((x.outer[at] + x.inner[at]) @ left))
    found = []
    for towards, row in ((1, across[::-1]), (-1, across)):
        driving = [i for i, strip in enumerate(row) if strip.kind == "Driving"]
        for i, following in itertools.pairwise([*driving, len(row)]):
            if following > i + 1:
                found.append((towards, row[i:following], following < len(row)))
    return found


def _widths(beyond: list[Strip], at: int, closed: bool) -> tuple[float, float]:
    """Return how wide gutter and pavement are beside a carriageway."""
    gutter = pavement = 0.0
    open_end = False
    for strip in beyond:
        width = float(np.linalg.norm(strip.outer[at] - strip.inner[at]))
        if strip.kind in DRIVABLE and not open_end:
            gutter += width
        else:
            open_end = True
            pavement += width if strip.kind == "Sidewalk" else 0.0
    if closed:  # asphalt up to the other carriageway is half of each
        return gutter if open_end else gutter / 2.0, 0.0
    return gutter, pavement


def _edge(strip: Strip, towards: int) -> Array:
    """Return a strip's left (1) or right (-1) edge."""
    return strip.outer if strip.side == towards else strip.inner


def _nearest(point: Array, mouths: dict[tuple[int, int], list[Mouth]]) -> Mouth | None:
    x, y = _cell(point)
    around = [m for i in (-1, 0, 1) for j in (-1, 0, 1) for m in mouths.get((x + i, y + j), [])]
    close = [m for m in around if np.abs(m[0] - point).max() < REACH]
    return min(close, key=lambda m: float(np.abs(m[0] - point).sum()), default=None)


def _with_corners(road: Road, mouths: dict[tuple[int, int], list[Mouth]]) -> Road:
    strips = list(road.strips)
    for i, strip in enumerate(road.strips):
        for towards in (1, -1) if strip.kind == "Driving" else ():
            which = int(strip.side == towards)
            edge = _edge(strip, towards)
            if strip.beside[which]:
                continue
            start, end = _nearest(edge[0], mouths), _nearest(edge[-1], mouths)
            if start is None or end is None:
                continue
            part = (strip.s - strip.s[0]) / max(strip.s[-1] - strip.s[0], 1e-9)
            gutter = start[1] + (end[1] - start[1]) * part
            pavement = start[2] + (end[2] - start[2]) * part
            grown = _grow(strip, towards, gutter, pavement)
            if grown:
                beside = list(strips[i].beside)
                beside[which] = grown[0].kind
                strips[i] = replace(strips[i], beside=(beside[0], beside[1]))
                strips += grown
    return replace(road, strips=strips)


def _grow(strip: Strip, towards: int, gutter: Array, pavement: Array) -> list[Strip]:
    """Return strips beyond an edge, no wider than the inside of a bend allows."""
    edge = _edge(strip, towards)
    outward = edge - _edge(strip, -towards)
    outward[:, 2] = 0.0
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
    room = _room(edge, outward)
    found: list[Strip] = []
    inner, reached = edge, np.zeros(len(edge))
    for kind, wanted in (("Shoulder", gutter), ("Sidewalk", gutter + pavement)):
        across = np.minimum(wanted, room)
        if (across - reached).max() < 0.05:
            continue
        outer = edge + outward * across[:, None]
        before = found[-1].kind if found else strip.kind
        beside, kerbs = (before, ""), (False, False)
        found.append(Strip(kind, towards, inner, outer, strip.s, kerbs, beside, ""))
        inner, reached = outer, across
    if len(found) == 2:
        found[0] = replace(found[0], beside=(strip.kind, "Sidewalk"))
    return found


def _room(edge: Array, outward: Array) -> Array:
    """Return how far (n,) a strip may reach outwards before the bend's middle."""
    if len(edge) < 3:
        return np.full(len(edge), np.inf)
    run = np.maximum(np.linalg.norm(np.diff(edge[:, :2], axis=0), axis=1), 1e-6)
    length = np.concatenate([[0.0], np.cumsum(run)])
    narrowing = np.linalg.norm(np.diff((edge + outward)[:, :2], axis=0), axis=1) / run
    curvature = np.maximum(1.0 - narrowing, 0.0)  # of the inside: edges a metre in are shorter
    middle = (length[1:] + length[:-1]) / 2.0
    sharpest = np.maximum(curvature, np.maximum(np.roll(curvature, 1), np.roll(curvature, -1)))
    return np.asarray(BEND / np.maximum(np.interp(length, middle, sharpest), 1e-4))
