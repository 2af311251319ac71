"""What lies across a road: stop lines, give-way lines, crossings, and what leads up to them.

    approach(plan, lane, along)          # where a lane runs into a junction
    crossing(plan, section, depth=3.0)   # anywhere

Sizes: MUTCD 2009, 3B.16 (stop and yield lines) and 3B.18 (crosswalks); RMS-1 1993, Zeichen
293 (zebra: bars and gaps of 0.5 m), 294 and 341; Traffic Signs Manual, chapter 5 ("TSM 5").
"""

from __future__ import annotations

import numpy as np

from carla_bridge.world.paint.canvas import Shape, joined, stroke
from carla_bridge.world.paint.symbols.letters import text
from carla_bridge.world.paint.symbols.places import Section
from carla_bridge.world.paint.symbols.plan import Plan
from carla_bridge.world.paint.symbols.shapes import (
    blocks,
    give_way_triangle,
    lane_arrow,
    strokes_across,
    strokes_ahead,
    teeth,
)
from carla_bridge.world.paint.tracks import Array, Index

RED, GREEN, OCHRE, BUFF, BLUE = (
    np.array(c, float)
    for c in ((122, 64, 54), (68, 98, 78), (168, 130, 82), (174, 150, 116), (70, 92, 132))
)
"""Surfacing: sRGB of coloured binders and chippings, as seen on roads some years old."""


def approach(plan: Plan, lane: int, along: float) -> None:
    """Finish off the lanes of one direction where they run into a junction."""
    section = plan.places.section(lane, along)
    mine = section.rows(mine=True)
    if not plan.take_rows(section, mine, -4.0, -0.1) or not plan.chance(0.8):
        return
    kind = plan.one(("stop", "give way", "crossing", "none"), (0.35, 0.25, 0.3, 0.1))
    back = 0.0
    if kind == "crossing":
        depth = plan.between(2.5, 4.0)
        back = depth + 0.5
        whole = plan.places.section(lane, along - back) if along > back + 12.0 else section
        if whole is not section and plan.take_rows(whole, whole.rows(False), -2.5, -2.0):
            bars(plan, whole, whole.rows(False), depth)
            back += plan.between(1.2, 2.0)
    if kind in ("stop", "crossing"):
        stop_line(plan, section, mine, -back)
    elif kind == "give way":
        give_way(plan, section, mine)
    for row in mine:
        lead_up(plan, section, int(row), mine, back + 4.5)


def crossing(plan: Plan, section: Section, depth: float) -> bool:
    """Lay a crossing over the whole carriageway; False where there is no room."""
    rows = section.rows(mine=False)
    if not plan.take_rows(section, rows, -3.0, depth + 3.0):
        return False
    bars(plan, section, rows, depth)
    low, high = section.span(rows)
    if plan.one((True, False), (0.5, 0.5)):
        gap = plan.between(1.0, 2.0)
        mine = section.rows(mine=True)
        stop_line(plan, section, mine, -gap)
        others = np.setdiff1d(rows, mine)
        if len(others):
            stop_line(plan, section, others, depth + gap)
    if plan.chance(0.25):
        _zigzags(plan, section, low, high, depth)
    if plan.chance(0.15):
        # High-friction surfacing on the approach: TSM 5 has it up to 50 m before a crossing.
        lane, along = section.here
        begin = max(along - plan.between(12.0, 45.0), 0.5)
        plan.ribbon(lane, begin, along - 0.5, -0.97, 0.97, plan.shade((RED, BUFF, OCHRE)))
    return True


def bars(plan: Plan, section: Section, rows: Index, depth: float) -> None:
    """Paint one of the kinds of crossings over strips of a section."""
    low, high = section.span(rows)
    lane, along = section.here
    kind = plan.one(("zebra", "ladder", "lines", "blocks", "studs"), (0.5, 0.15, 0.2, 0.1, 0.05))
    shapes = []
    if kind in ("zebra", "ladder"):
        # Zeichen 293: 0.5 and 0.5 m; MUTCD 3B.18: 0.3-0.6 m wide, 0.3-1.5 m apart.
        wide, gap = plan.one(((0.5, 0.5), (0.6, 0.6), (0.4, 0.6), (0.3, 0.6), (0.5, 0.9)))
        shapes.append(
            strokes_ahead(_even(low + 0.15, high - 0.15, wide, gap), 0.0, depth, wide / 2)
        )
    if kind in ("ladder", "lines"):
        ends = np.array([[low + 0.1, high - 0.1]] * 2)
        half = plan.between(0.075, 0.2)
        shapes.append(strokes_across(ends, np.array([half, depth - half]), half))
    if kind in ("blocks", "studs"):  # a German Furt; British studs are 0.1 m, 0.25-0.7 m apart
        length, gap, thick = (0.5, 0.2, 0.12) if kind == "blocks" else (0.1, 0.5, 0.1)
        row = blocks(high - low - 0.3, thick, length, gap).moved((low + high) / 2.0, 0.0)
        shapes += [row, row.moved(0.0, depth - thick)]
    yellow = plan.one((False, True), (0.88, 0.12))
    plan.draw(joined(*shapes), lane, along, yellow=yellow)
    if plan.chance(0.1):
        shade, age = plan.shade((RED, BUFF, OCHRE)), plan.between(0.3, 0.9)
        for row in rows:
            begin = float(section.along[row]) - (0.0 if section.same[row] else depth)
            if begin >= 0.0 and begin + depth <= plan.places.length[section.lane[row]]:
                plan.ribbon(int(section.lane[row]), begin, begin + depth, -1.0, 1.0, shade, age)


def stop_line(plan: Plan, section: Section, rows: Index, offset: float) -> None:
    """Paint a bar across strips, its near edge ``offset`` metres beyond the section.

    MUTCD 3B.16: 0.3-0.6 m; Zeichen 294: 0.5 m; TSM 5, diagram 1002.1: 0.2-0.4 m.
    """
    low, high = section.span(rows)
    half = plan.one((0.1, 0.15, 0.2, 0.25, 0.3))
    line = strokes_across(np.array([[low + 0.12, high - 0.12]]), np.array([half]), half)
    shift = offset if offset > 0.0 else offset - 2.0 * half
    lane, along = section.here
    plan.draw(line, lane, along + shift)


def give_way(plan: Plan, section: Section, rows: Index) -> None:
    """Paint a give-way line across strips: teeth, blocks, or two broken lines."""
    low, high = section.span(rows)
    middle, wide = (low + high) / 2.0, high - low - 0.3
    lane, along = section.here
    kind = plan.one(("teeth", "blocks", "rows"))
    if kind == "teeth":
        base = plan.between(0.3, 0.6)
        plan.draw(teeth(wide, base, 1.5 * base, plan.between(0.08, 0.3)), lane, along - 1.2, middle)
    elif kind == "blocks":  # Zeichen 341: 0.5 m long and deep, 0.25 m apart
        plan.draw(blocks(wide, plan.one((0.25, 0.5)), 0.5, 0.25), lane, along - 0.7, middle)
    else:  # TSM 5, diagram 1003: 0.6 m and 0.3 m, 0.2 m deep, two of them 0.3 m apart
        row = blocks(wide, 0.2, 0.6, 0.3)
        plan.draw(joined(row, row.moved(0.0, 0.5)), lane, along - 0.9, middle)
        if plan.width(lane, along) > 2.4 and plan.take(lane, along - 8.0, along - 4.0):
            plan.draw(give_way_triangle(), lane, along - 7.8)


def lead_up(plan: Plan, section: Section, row: int, mine: Index, back: float) -> None:
    """Paint arrows or a word on one lane before a junction."""
    lane, along = int(section.lane[row]), float(section.along[row]) - back
    wide = plan.width(lane, along)
    if wide < 2.3:
        return
    if plan.chance(0.55 if len(mine) > 1 else 0.25):
        first, last = row == mine[0], row == mine[-1]
        choices = ["ahead"]
        choices += ["left", "ahead-left"] * int(first) + ["right", "ahead-right"] * int(last)
        direction = plan.one(choices)
        length = plan.one((2.9, 4.0, 5.0) if plan.city else (5.0, 6.0, 7.5))
        arrow = lane_arrow(direction, length, plan.one((1.0, 1.2)))
        for number in range(1 + int(plan.chance(0.5))):
            near = along - length - number * plan.between(12.0, 25.0)
            if plan.take(lane, near - 0.5, near + length + 0.5):
                plan.draw(arrow, lane, near)
    elif plan.chance(0.15):
        word = plan.one(("STOP", "SLOW", "ONLY", "KEEP CLEAR", "LOOK"))
        letters = fitted(plan, word, wide)
        deep = letters.size[1]
        if plan.take(lane, along - deep - 1.0, along):
            plan.draw(letters, lane, along - deep - 0.5)


def fitted(plan: Plan, words: str, wide: float) -> Shape:
    """Return a text as large as road letters are, and no wider than a lane allows."""
    count = max(map(len, words.split()))
    width = round(min(plan.one((0.45, 0.6, 0.7)), (wide - 0.7) / (1.35 * count)), 2)
    height = plan.one((1.6, 2.0, 2.4, 2.8) if plan.city else (2.4, 2.8, 4.0))
    return text(words, height, width, min(plan.one((0.05, 0.06, 0.075)), 0.12 * width))


def _even(low: float, high: float, wide: float, gap: float) -> Array:
    """Return the middles of as many bars as fit between two edges, evenly about the middle."""
    count = max(int((high - low + gap) / (wide + gap)), 1)
    spread = (np.arange(count) - (count - 1) / 2.0) * (wide + gap)
    return np.asarray(spread + (low + high) / 2.0, float)


def _zigzags(plan: Plan, section: Section, low: float, high: float, depth: float) -> None:
    """Paint the zig-zags of British crossings: marks of 2 m, eight of them (TSM 5, 1001.3)."""
    lane, along = section.here
    count = int(plan.one((4, 6, 8)))
    if (
        along - 2.0 * count - 3.0 < 0.0
        or along + depth + 2.0 * count + 3.0 > plan.places.length[lane]
    ):
        return
    y = np.arange(count + 1) * 2.0
    x = np.where(np.arange(count + 1) % 2 == 0, -0.15, 0.15)
    line = stroke(np.stack([x, y], axis=1), 0.05)
    for edge in (low + 0.4, high - 0.4):
        plan.draw(line, lane, along - 2.5 - y[-1], edge)
        plan.draw(line, lane, along + depth + 2.5, edge)
