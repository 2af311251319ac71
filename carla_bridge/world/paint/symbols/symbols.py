"""Symbols on the road: which ones a scene has, and where.

    lay(paint, under, roads, style, dice)   # onto two canvases: paint, and what is beneath it

Symbols stand where they belong where the map says enough: stop lines, crossings and arrows
before junctions, bays in parking lanes, hatchings between directions. The rest is spread
over the lanes at random. Some scenes have none, towns have many.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from carla_bridge.world.maps.roads import Roads
from carla_bridge.world.paint.canvas import Canvas, Shape
from carla_bridge.world.paint.lines import COLOURS, Style
from carla_bridge.world.paint.symbols.areas import (
    box_junction,
    bus_lane,
    bus_stop,
    cycle_lane,
    hatched,
    hatched_shoulder,
    parking_bays,
)
from carla_bridge.world.paint.symbols.crossings import approach, crossing, fitted, stop_line
from carla_bridge.world.paint.symbols.letters import text
from carla_bridge.world.paint.symbols.places import Places
from carla_bridge.world.paint.symbols.plan import Plan
from carla_bridge.world.paint.symbols.shapes import (
    diamond,
    lane_arrow,
    merge_arrow,
    ring,
    strokes_across,
    teeth,
)
from carla_bridge.world.randomization import Dice

LEVELS = (0.0, 0.4, 1.0)
"""How many symbols a scene has; towns more often many."""
TOWN, COUNTRY = (0.15, 0.4, 0.45), (0.4, 0.4, 0.2)
SPACING = 150.0
"""Metres of lane for each symbol that stands just anywhere, at level 1."""
MOST = 60
"""Symbols of that kind, however strong the term is."""


def lay(paint: Canvas, under: Canvas, roads: Roads, style: Style, dice: Dice) -> None:
    """Draw one scene's symbols and coloured surfaces; none at strength 0 of ``symbols``."""
    rng, strength = dice.stream("symbols"), dice.strength("symbols")
    if strength == 0.0 or not any(lane.kind == "Driving" for lane in paint.tracks.lanes):
        return
    city = any(lane.kind == "Sidewalk" for lane in roads.lanes)
    level = float(rng.choice(LEVELS, p=TOWN if city else COUNTRY)) * strength
    if level == 0.0:
        return
    plan = Plan(paint, under, Places(paint.tracks), style, rng, level, city)
    _along_lanes(plan)
    _at_junctions(plan)
    _anywhere(plan)


def _at_junctions(plan: Plan) -> None:
    done: list[tuple[float, ...]] = []
    for lane, along in plan.places.mouths:
        # Lanes abreast have a mouth each and are finished off together.
        if any(abs(end - along) < 6.0 for _, end in plan.taken[lane]):
            continue
        here = tuple(plan.paint.tracks.spot(plan.track(lane), along)[0].tolist())
        if all(math.dist(here, other) > 3.0 for other in done):
            approach(plan, lane, along)
            done.append(here)


def _along_lanes(plan: Plan) -> None:
    """Give some strips what they have over their whole length."""
    places = plan.places
    for i, lane in enumerate(plan.paint.tracks.lanes):
        if places.length[i] < 12.0 or not places.open[i]:
            continue
        if lane.kind == "Parking" and plan.chance(0.55):
            parking_bays(plan, i)
        elif lane.kind == "Biking" and plan.chance(0.7):
            cycle_lane(plan, i)
        elif lane.kind == "Shoulder" and plan.width(i, places.length[i] / 2.0) > 1.0:
            if plan.chance(0.12):
                hatched_shoulder(plan, i)
            elif plan.city and plan.chance(0.12):
                cycle_lane(plan, i)
        elif lane.kind == "Driving" and plan.chance(0.12) and places.length[i] > 40.0:
            _kept_lane(plan, i)


def _kept_lane(plan: Plan, lane: int) -> None:
    """Make the rightmost lane of several a bus lane, or mark off a cycle lane in it."""
    section = plan.places.section(lane, float(plan.places.length[lane]) / 2.0)
    mine = section.rows(mine=True)
    # Where traffic keeps left, the road's edge is on the other side.
    if section.own != mine[-1] or mine[-1] != section.rows(mine=False)[-1]:
        return
    if len(mine) > 1 and plan.one((True, False), (0.6, 0.4)):
        bus_lane(plan, lane)
    elif plan.city:
        cycle_lane(plan, lane)


def _anywhere(plan: Plan) -> None:
    places = plan.places
    fit = np.flatnonzero(places.driving & (places.length > 12.0) & places.open)
    if not len(fit):
        return
    length = places.length[fit]
    expected = float(length.sum()) / SPACING * plan.level
    count = min(int(plan.rng.poisson(min(expected, 1e3))), MOST)
    kinds, weights = zip(*((k, w[0 if plan.city else 1]) for k, w in KINDS.items()), strict=True)
    for _ in range(count):
        lane = int(plan.one(fit.tolist(), length))
        along = plan.between(3.0, float(places.length[lane]) - 8.0)
        DRAW[plan.one(kinds, weights)](plan, lane, along)
    _boxes(plan)


def _boxes(plan: Plan) -> None:
    """Lay box junctions where straight lanes run through crossings."""
    places, tracks = plan.places, plan.paint.tracks
    for i in np.flatnonzero(places.driving & (places.length < 40.0) & (places.crossed > 0.3)):
        lane, long = int(i), float(places.length[i])
        first, last = (tracks.spot(plan.track(lane), x)[1] for x in (0.0, long))
        if plan.chance(0.08) and first @ last > 0.97:
            box_junction(plan, places.section(lane, max(long / 2.0 - 5.0, 0.5)))


def _put(plan: Plan, lane: int, along: float, shape: Shape, yellow: bool = False) -> None:
    """Draw a shape in the middle of a lane if it fits there."""
    across, deep = shape.size
    if across < plan.width(lane, along) - 0.3 and plan.take(lane, along, along + deep):
        plan.draw(shape, lane, along, yellow=yellow)


def _arrow(plan: Plan, lane: int, along: float) -> None:
    section = plan.places.section(lane, along)
    mine = section.rows(mine=True)
    first, last = section.own == mine[0], section.own == mine[-1]
    choices = ["ahead", "ahead"]
    choices += ["left", "ahead-left"] * int(first) + ["right", "ahead-right"] * int(last)
    if len(mine) == 1:
        choices.append("left-right")
    length = plan.one((2.9, 4.0, 5.0) if plan.city else (4.0, 5.0, 7.5))
    _put(plan, lane, along, lane_arrow(plan.one(choices), length, plan.one((1.0, 1.2))))


def _merge_arrow(plan: Plan, lane: int, along: float) -> None:
    arrow = merge_arrow(plan.one((4.5, 6.0)))
    _put(plan, lane, along, plan.one((arrow, arrow.flipped())))


def _word(plan: Plan, lane: int, along: float) -> None:
    words = plan.one(
        ("SLOW", "STOP", "BUS", "TAXI", "SCHOOL", "ONLY", "KEEP CLEAR", "XING", "LOOK LEFT",
         "BUS STOP", "AHEAD STOP", "NO ENTRY", "A40", "EXIT")
    )  # fmt: skip
    yellow = plan.one((False, True), (0.9, 0.1))
    _put(plan, lane, along, fitted(plan, words, plan.width(lane, along)), yellow)


def _speed(plan: Plan, lane: int, along: float) -> None:
    number = plan.one(("20", "30", "40", "50", "60", "70", "80", "25", "35", "100"))
    height, half = plan.one((1.6, 2.4, 3.2)), plan.one((0.06, 0.08))
    width = 0.42 if len(number) > 2 else 0.55
    digits = text(number, height, width, half)
    deep, wide = height * 1.6, digits.size[0] + 0.7
    if plan.one((False, True), (0.6, 0.4)) or wide > plan.width(lane, along) - 0.3:
        _put(plan, lane, along, digits)
    elif plan.take(lane, along, along + deep):
        rim = ring(deep, wide, plan.one((0.06, 0.1)))
        red = plan.one((True, False), (0.35, 0.65))
        plan.draw(rim, lane, along, colour=COLOURS["Red"] if red else None)
        plan.draw(digits, lane, along + (deep - height) / 2.0)


def _bars(plan: Plan, lane: int, along: float) -> None:
    """Paint bars that come closer together (TSM 5, chapter 11: yellow, 0.6 m) or rumble strips."""
    wide, half = plan.width(lane, along), plan.one((0.1, 0.15, 0.3))
    gaps = np.linspace(plan.between(2.0, 5.0), plan.between(0.8, 2.0), int(plan.one((3, 5, 8, 12))))
    at = np.cumsum(gaps)
    ends = np.array([[-wide / 2.0 + 0.25, wide / 2.0 - 0.25]] * len(at))
    yellow = plan.one((True, False))
    _put(plan, lane, along, strokes_across(ends, at, half), yellow)


def _hump(plan: Plan, lane: int, along: float) -> None:
    """Paint the triangles on a hump's ramp (TSM 5, diagram 1062: 1.85 m long)."""
    wide = plan.width(lane, along)
    _put(plan, lane, along, teeth(wide - 0.5, 0.75, plan.one((1.0, 1.85)), plan.between(0.1, 0.5)))


def _lone_stop(plan: Plan, lane: int, along: float) -> None:
    if plan.take(lane, along - 1.0, along + 1.0):
        section = plan.places.section(lane, along)
        stop_line(plan, section, section.rows(mine=True), 0.0)


KINDS: dict[str, tuple[float, float]] = {
    "arrow": (0.22, 0.3),
    "merge": (0.03, 0.12),
    "word": (0.16, 0.14),
    "speed": (0.1, 0.1),
    "diamond": (0.03, 0.04),
    "bars": (0.04, 0.06),
    "hump": (0.04, 0.0),
    "stop": (0.05, 0.01),
    "crossing": (0.12, 0.02),
    "hatched": (0.08, 0.14),
    "box": (0.03, 0.01),
    "bus stop": (0.06, 0.02),
}
"""Kinds of symbols and their weights in a town and outside."""

DRAW: dict[str, Callable[[Plan, int, float], object]] = {
    "arrow": _arrow,
    "merge": _merge_arrow,
    "word": _word,
    "speed": _speed,
    "diamond": lambda plan, lane, along: _put(plan, lane, along, diamond()),
    "bars": _bars,
    "hump": _hump,
    "stop": _lone_stop,
    "crossing": lambda plan, lane, along: crossing(
        plan, plan.places.section(lane, along), plan.between(2.5, 4.5)
    ),
    "hatched": lambda plan, lane, along: hatched(plan, plan.places.section(lane, along)),
    "box": lambda plan, lane, along: box_junction(plan, plan.places.section(lane, along)),
    "bus stop": bus_stop,
}
