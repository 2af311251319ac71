"""What covers a stretch of road: hatchings, box junctions, bus and cycle lanes, bays.

    hatched(plan, lane, shoulder=True)
    bus_lane(plan, lane)

Sizes: MUTCD 2009, 3B.24 (diagonal and chevron markings), 3B.19 (parking spaces); TSM 5:
the Traffic Signs Manual, chapter 5, diagrams 1040 (hatching), 1043 (box junction), 1048
(bus lane), 1025 (bus stop), 1057 (cycles); RMS-1 1993, Zeichen 298.
"""

from __future__ import annotations

import numpy as np

from carla_bridge.world.paint.canvas import Shape, joined, stroke
from carla_bridge.world.paint.symbols.crossings import BLUE, GREEN, OCHRE, RED, fitted
from carla_bridge.world.paint.symbols.places import Section
from carla_bridge.world.paint.symbols.plan import Plan
from carla_bridge.world.paint.symbols.shapes import (
    bicycle,
    chevrons,
    segments,
    strokes_across,
    strokes_ahead,
)
from carla_bridge.world.paint.tracks import Array


def hatched(plan: Plan, section: Section) -> None:
    """Hatch an island about the line between two directions, or a wedge at the road's edge."""
    own, (lane, along) = section.own, section.here
    rows, mine = section.rows(mine=False), section.rows(mine=True)
    long = min(plan.between(20.0, 50.0), float(plan.places.length[lane]) - along - 1.0)
    wide = float(section.high[own] - section.low[own])
    inner, outer = own > rows[0] and not section.same[own - 1], own == mine[-1]
    if not (inner or outer) or long < 15.0 or wide < 2.8:
        return
    if not plan.take(lane, along, along + long):
        return
    swell = plan.between(0.35, min(0.9, wide - 2.2))
    y = np.linspace(0.0, long, 25)
    grown = swell * np.clip(1.6 * np.sin(np.pi * y / long), 0.0, 1.0)
    if inner and (not outer or plan.one((True, False), (0.6, 0.4))):
        low, high = section.low[own] - grown, section.low[own] + grown
    else:
        high = np.full(len(y), section.high[own] - 0.15)
        low = high - grown
    yellow = plan.one((False, True), (0.75, 0.25))
    hatching = _hatching(plan, y, low, high)
    plan.draw(hatching, lane, along, yellow=yellow)


def hatched_shoulder(plan: Plan, lane: int) -> None:
    """Hatch a stretch of a shoulder that nobody may drive on."""
    whole = float(plan.places.length[lane])
    long = plan.between(0.2, 1.0) * min(whole - 2.0, 120.0)
    begin = plan.between(1.0, max(whole - long - 1.0, 1.01))
    wide = plan.width(lane, begin + long / 2.0)
    y = np.linspace(0.0, long, max(int(long / 2.0), 2))
    half = plan.paint.tracks.half_width(plan.track(lane), begin + y) - 0.2
    if long > 8.0 and wide > 1.0 and half.min() > 0.2 and plan.take(lane, begin, begin + long):
        plan.draw(_hatching(plan, y, -half, half, border=False), lane, begin)


def _hatching(plan: Plan, y: Array, low: Array, high: Array, border: bool = True) -> Shape:
    """Return diagonal stripes between two edges (n,) that run along ``y`` (n,), and the edges.

    TSM 5, diagram 1040: stripes of 0.15 m, 2 m and more apart; MUTCD 3B.24: 0.2-0.3 m.
    """
    half, pitch = plan.one((0.075, 0.1, 0.15)), plan.one((1.5, 2.0, 3.0, 5.0))
    lean = plan.one((1.0, 1.7)) * plan.one((-1.0, 1.0))
    near = np.arange(pitch, y[-1] - pitch, pitch)
    wide = np.interp(near, y, high - low)
    far = near + lean * wide
    keep = (wide > 0.25) & (far > 0.0) & (far < y[-1])
    near, far = near[keep], far[keep]
    begin = np.stack([np.interp(near, y, low), near], axis=1)
    end = np.stack([np.interp(far, y, high), far], axis=1)
    shapes = [segments(begin, end, half)] if len(near) else []
    if border or not shapes:
        shapes += [stroke(np.stack([x, y], axis=1), 0.06) for x in (low, high)]
    return joined(*shapes)


def box_junction(plan: Plan, section: Section) -> None:
    """Paint criss-cross lines that keep a place clear (TSM 5, diagram 1043: yellow, 2 m apart)."""
    rows = section.rows(mine=False)
    low, high = section.span(rows)
    lane, along = section.here
    deep = min(plan.between(6.0, 14.0), float(plan.places.length[lane]) - along - 0.5)
    if deep < 4.0 or not plan.take_rows(section, rows, 0.0, deep):
        return
    half, pitch = plan.one((0.05, 0.075, 0.1)), plan.one((1.2, 1.6, 2.0, 2.5))
    left, right = low + 0.2, high - 0.2
    wide = right - left
    first = np.arange(pitch - wide, deep, pitch)
    strokes = []
    for begin, end in ((left, right), (right, left)):
        # A 45 degree line leaves one side at ``first`` and is cut off at the box's ends.
        start = np.clip(-first, 0.0, None)
        stop = np.minimum(wide, deep - first)
        keep = stop - start > 0.3
        a, b, y = start[keep], stop[keep], first[keep]
        way = np.sign(end - begin)
        strokes.append(
            segments(
                np.stack([begin + way * a, y + a], axis=1),
                np.stack([begin + way * b, y + b], axis=1),
                half,
            )
        )
    edge = stroke([[left, 0.0], [right, 0.0], [right, deep], [left, deep]], half, closed=True)
    plan.draw(joined(edge, *strokes), lane, along, yellow=plan.one((True, False), (0.85, 0.15)))


def bus_lane(plan: Plan, lane: int) -> None:
    """Make a lane a bus lane: colour, a wide line on its left, and its name every so often."""
    begin, end = 2.0, float(plan.places.length[lane]) - 2.0
    half = plan.paint.tracks.half_width(plan.track(lane), np.linspace(begin, end, 9))
    if end - begin < 40.0 or np.ptp(half) > 0.15 or half.min() < 1.25:
        return
    if plan.one((True, False), (0.7, 0.3)):
        plan.ribbon(lane, begin, end, -0.99, 0.99, plan.shade((RED, RED, GREEN, OCHRE)))
    track, thick = plan.track(lane), plan.one((0.1, 0.125, 0.15))
    across = -float(half.min()) + thick + 0.1
    plan.paint.band(track, begin, end, across, thick, plan.style.white, plan.between(0.4, 1.2))
    words = plan.one(("BUS", "BUS LANE", "TAXI BUS", "BUS ONLY"))
    name = fitted(plan, words, 2.0 * float(half.min()))
    for along in np.arange(begin + plan.between(3.0, 30.0), end - 12.0, plan.between(35.0, 70.0)):
        if plan.take(lane, along, along + name.size[1]):
            plan.draw(name, lane, float(along))


def cycle_lane(plan: Plan, lane: int) -> None:
    """Mark off the right side of a lane for cycles, or a strip of their own as a whole."""
    begin, end = 2.0, float(plan.places.length[lane]) - 2.0
    half = plan.paint.tracks.half_width(plan.track(lane), np.linspace(begin, end, 9))
    driven = bool(plan.places.driving[lane])
    if end - begin < 25.0 or np.ptp(half) > 0.2 or half.min() < (1.55 if driven else 0.6):
        return
    wide = plan.between(1.2, min(1.8, 2.0 * float(half.min()) - 1.9)) if driven else 2 * half.min()
    left = float(half.min()) - wide
    if plan.one((True, False), (0.65, 0.35)):
        colour = plan.shade((RED, RED, GREEN, BLUE))
        plan.ribbon(lane, begin, end, left / float(half.min()), 0.98, colour)
    if driven:
        starts = np.arange(begin, end - 6.0, 6.0)
        run = plan.one((6.0, 4.0, 2.0))  # solid, or dashes of 4 and 2 m (TSM 5, diagram 1004)
        white = plan.style.white
        plan.paint.band(plan.track(lane), starts, starts + run, left, 0.05, white)
    symbol = bicycle(plan.between(1.6, 2.6), min(wide - 0.2, plan.one((0.9, 1.2))))
    if plan.one((False, True), (0.7, 0.3)):
        symbol = joined(symbol, chevrons(2, min(wide - 0.3, 0.9)).moved(0.0, symbol.size[1] + 0.4))
    for along in np.arange(begin + plan.between(2.0, 20.0), end - 6.0, plan.between(25.0, 60.0)):
        if plan.take(lane, along, along + symbol.size[1]):
            plan.draw(symbol, lane, float(along), left + wide / 2.0)


def bus_stop(plan: Plan, lane: int, along: float) -> None:
    """Paint the dashed box and the words of a bus stop (TSM 5, diagram 1025.1)."""
    wide = plan.width(lane, along)
    long = plan.between(13.0, 19.0)
    if wide < 2.6 or not plan.take(lane, along, along + long):
        return
    right = wide / 2.0 - 0.15
    left = max(right - 2.7, -wide / 2.0 + 0.2)
    marks = np.arange(0.0, long - 1.0, 2.0)
    first = np.stack([np.full(len(marks), left), marks], axis=1)
    side = segments(first, first + np.array([0.0, 1.0]), 0.05)
    ends = np.array([[left, right]] * 2)
    words = fitted(plan, "BUS STOP", right - left).moved((left + right) / 2.0, 0.28 * long)
    box = joined(side, strokes_across(ends, np.array([0.05, long - 0.05]), 0.05), words)
    plan.draw(box, lane, along, yellow=plan.one((True, False), (0.6, 0.4)))


def parking_bays(plan: Plan, lane: int) -> None:
    """Divide a parking lane into bays: MUTCD 3B.19, lines of 0.1 m, 6-8 m stalls; 2.5 m abreast."""
    whole = float(plan.places.length[lane])
    wide = plan.width(lane, whole / 2.0)
    if whole < 12.0 or wide < 1.5:
        return
    pitch = plan.between(5.0, 6.7) if wide < 4.0 else plan.between(2.4, 2.7)
    at = np.arange(plan.between(1.0, 4.0), whole - 1.0, pitch)
    half_lane = wide / 2.0
    shown = plan.one((1.0, 0.35, 0.15))  # whole lines, or ticks at the lane's left edge
    ends = np.stack([np.full(len(at), -half_lane), np.full(len(at), -half_lane + wide * shown)], 1)
    shapes = [strokes_across(ends, at, 0.05)]
    kind = plan.one(("line", "T", "none"))
    left = np.array([-half_lane + 0.05])
    if kind == "line":
        shapes.append(strokes_ahead(left, float(at[0]), float(at[-1]), 0.05))
    elif kind == "T":
        first = np.stack([np.full(len(at), left[0]), at - 0.4], axis=1)
        shapes.append(segments(first, first + np.array([0.0, 0.8]), 0.05))
    plan.draw(joined(*shapes), lane, 0.0)
