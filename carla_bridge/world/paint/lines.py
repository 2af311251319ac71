"""Lines along the road: dashes, doubles, dots, and what is left of the lines before them.

    style = Style(dice, roads.lines)
    lines(canvas, roads.lines, style)            # what the map says
    old_lines(canvas, under, roads.lines, dice)  # ghosts of removed lines, and tar over them

A map gives a line's type, colour and width; dash lengths, gaps and shades are the style's.
Dash lengths are those of road rules around the world: 10 ft with gaps of 30 ft in the USA
(MUTCD 2009, 3A.06), 6 m with gaps of 12 m on German motorways (RMS-1, 1993), 2 and 4 m in
British towns (Traffic Signs Manual, chapter 5, table 4-1), T1, T2, T3 in France (IISR, 7e
partie); raised dots as in California (0.1 m across, four of them in place of a dash).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.world.maps.roads import Line
from carla_bridge.world.paint.canvas import Canvas
from carla_bridge.world.paint.tracks import Array, Index
from carla_bridge.world.randomization import Dice

DASHES = ((3.05, 9.14), (3.0, 6.0), (6.0, 12.0), (4.0, 8.0), (2.0, 4.0), (1.0, 1.0), (4.0, 2.0),
          (3.0, 4.5), (6.0, 3.0), (1.5, 1.5), (0.6, 0.6), (3.0, 10.0), (3.0, 3.5), (3.0, 1.33),
          (5.0, 5.0), (0.5, 0.5))  # fmt: skip
"""(paint, gap) in metres."""
USUAL = 1
"""The dash without a style: 3 m with gaps of 6 m."""

MARK = (0.1, 0.0)
"""Metres of the shortest paint and gap taken from a map."""
WIDTH = 0.12
"""Metres, where the map gives none."""
DOT = 0.055
"""Half the width of a dot in metres, which stands `DOT_HEIGHT` out of the road."""
DOT_HEIGHT = 0.014
DOT_ROWS = ((1, 1.2, 1.2), (4, 1.0, 9.6), (4, 0.9, 14.6))
"""Dots in a row, metres from one to the next, metres from row to row."""

COLOURS = {
    "White": (235, 235, 228),
    "Yellow": (232, 178, 42),
    "Blue": (60, 110, 200),
    "Green": (60, 150, 90),
    "Red": (190, 60, 50),
}
YELLOWS = ((232, 178, 42), (240, 206, 70), (222, 150, 30), (238, 216, 120))

STROKES = {
    "Solid": ("solid",),
    "Broken": ("broken",),
    "BottsDots": ("dots",),
    "SolidSolid": ("solid", "solid"),
    "SolidBroken": ("solid", "broken"),
    "BrokenSolid": ("broken", "solid"),
    "BrokenBroken": ("broken", "broken"),
}
"""CARLA's marking types and their strokes from left to right; the others have no paint."""

OCTAGON = np.stack([np.cos(np.pi / 4 * np.arange(8)), np.sin(np.pi / 4 * np.arange(8))], axis=1)


class Style:
    """How a scene's lines are painted where the map leaves it open.

    ``dash`` (n, 2) paint and gap in metres, ``phase`` (n,) metres by which the first dash has
    begun before the line, ``colour`` (n, 3), ``gap`` between a double's strokes in widths.
    """

    def __init__(self, dice: Dice, painted: Sequence[Line]) -> None:
        rng = dice.stream("marking_styles")
        n = len(painted)
        strength = min(dice.strength("marking_styles"), 1.0)
        on = strength > 0.0
        # Lines of one colour and width are of one kind, and dashed alike.
        kinds: dict[tuple[str, int], int] = {}
        groups = [kinds.setdefault((p.colour, round(p.width * 1000)), len(kinds)) for p in painted]
        usual = rng.integers(len(DASHES))
        own = np.where(rng.random(64) < 0.7, usual, rng.integers(len(DASHES), size=64))
        number = own[np.array(groups, np.intp) % 64] if on else np.full(n, USUAL)
        self.dash = np.array(DASHES)[number.astype(np.intp)]
        for i, line in enumerate(painted):
            if line.dash is not None:  # the map's own
                self.dash[i] = np.maximum(line.dash, MARK)
        shared, alone = rng.uniform(0.0, 1.0), rng.uniform(0.0, 1.0, n)
        phase = np.where(rng.random(n) < 0.35, alone, shared)
        self.phase = phase * self.dash.sum(axis=1) * on
        self.dots = DOT_ROWS[int(rng.integers(len(DOT_ROWS))) if on else 0]
        self.gap = 1.0 + (rng.uniform(0.8, 2.0) - 1.0) * strength
        self.width = WIDTH + (rng.uniform(0.08, 0.2) - WIDTH) * strength
        warm = np.array([1.0, rng.uniform(0.93, 1.04), rng.uniform(0.78, 1.08)])
        warm = 1.0 + (warm * rng.uniform(0.86, 1.05) - 1.0) * strength
        self.white = np.array(COLOURS["White"]) * warm
        shade = np.array(YELLOWS[int(rng.integers(len(YELLOWS)))], float)
        self.yellow = np.array(COLOURS["Yellow"]) * (1.0 - strength) + shade * strength
        shades = {"White": self.white, "Yellow": self.yellow}
        colours = [shades.get(p.colour, COLOURS.get(p.colour, self.white)) for p in painted]
        each = 1.0 + (rng.uniform(0.9, 1.06, n) - 1.0) * strength
        self.colour = np.array(colours, float).reshape(-1, 3) * each[:, None]


@dataclass(frozen=True)
class _Strokes:
    """Strokes of lines: of which line, metres to its right, what kind; all (m,)."""

    line: Index
    across: Array
    kind: npt.NDArray[np.str_]
    half: Array


def lines(canvas: Canvas, painted: Sequence[Line], style: Style) -> None:
    """Paint all lines; line i is the canvas's track i."""
    strokes = _strokes(painted, style)
    length = canvas.tracks.length
    for kind in ("solid", "broken"):
        of = strokes.kind == kind
        line, across, half = strokes.line[of], strokes.across[of], strokes.half[of]
        if kind == "broken":
            paint, gap = style.dash[line].T
            index, begin, end = dashes(length[line], paint, gap, style.phase[line])
            line, across, half = line[index], across[index], half[index]
        else:
            begin, end = np.zeros(len(line)), length[line]
        canvas.band(line, begin, end, across, half, style.colour[line])
    dotted = strokes.line[strokes.kind == "dots"]
    _dots(canvas, dotted, style)


def dashes(length: Array, paint: Array, gap: Array, phase: Array) -> tuple[Index, Array, Array]:
    """Return the dashes of n lines: of which line, where they begin and end in metres.

    All arguments are (n,) metres; at a line's start the first dash began ``phase`` before.
    """
    period = paint + gap
    count = np.ceil((length + phase) / period).astype(int)
    line = np.repeat(np.arange(len(length)), count)
    number = np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count)
    begin = number * period[line] - phase[line]
    end = np.minimum(begin + paint[line], length[line])
    begin = np.maximum(begin, 0.0)
    keep = end - begin > 0.02
    return line[keep], begin[keep], end[keep]


def _strokes(painted: Sequence[Line], style: Style) -> _Strokes:
    rows = [
        (i, side, kind, line.width)
        for i, line in enumerate(painted)
        for side, kind in _sides(STROKES.get(line.kind, ()))
    ]
    width = np.array([w for *_, w in rows], float)
    width = np.where(width < 0.03, style.width, width)
    return _Strokes(
        np.array([i for i, *_ in rows], np.intp),
        np.array([side for _, side, *_ in rows], float) * width * (1.0 + style.gap) / 2.0,
        np.array([kind for _, _, kind, _ in rows], np.str_),
        width / 2.0,
    )


def _sides(kinds: tuple[str, ...]) -> list[tuple[float, str]]:
    """Return strokes with -1 for the left one of two, 1 for the right, 0 for one alone."""
    if len(kinds) == 1:
        return [(0.0, kinds[0])]
    return list(zip((-1.0, 1.0), kinds, strict=False))


def _dots(canvas: Canvas, line: Index, style: Style) -> None:
    """Put round dots along lines: an octagon each, as three quads about its middle."""
    number, spacing, period = style.dots
    length = canvas.tracks.length[line]
    some = np.full(len(line), 0.05)
    index, row, _ = dashes(length, some, period - some, np.zeros(len(line)))
    middle = (row[:, None] + spacing * np.arange(number)).ravel()
    index = np.repeat(index, number)
    keep = middle < length[index] - DOT
    index, middle = index[keep], middle[keep] + DOT
    ring = DOT * OCTAGON
    quads = ring[np.array([[0, 1, 2, 3], [0, 3, 4, 7], [4, 5, 6, 7]])]
    place = np.stack([np.zeros(len(middle)), middle], axis=1)
    corners = (quads[None] + place[:, None, None, :]).reshape(-1, 4, 2)
    track = np.repeat(line[index], 3)
    colour = style.colour[track]
    canvas.quads(track, corners, 0.0, corners[:, :, 1], colour, lift=DOT_HEIGHT)


TAR = (34, 34, 36)


def old_lines(canvas: Canvas, under: Canvas, painted: Sequence[Line], dice: Dice) -> None:
    """Leave what is left of removed lines beside some of the lines of one scene in four.

    Ghosts of their paint go onto ``canvas``, the tar that covers others onto ``under``. Both
    are road to whoever drives there, and a classic mistake of those who look for lanes: MUTCD
    2009, 6F.77, asks for removal because painting over a line does not hide it.
    """
    rng = dice.stream("marking_cover")
    strength = dice.strength("marking_cover")
    happens, share, tarred = rng.random(3)
    n = len(painted)
    chosen = rng.random(n) < (0.15 + 0.45 * share) * min(strength, 2.0)
    offset = rng.uniform(0.2, 1.7, n)
    side = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    drift = rng.uniform(-0.5, 0.5, n)
    cap, as_tar, dark = rng.uniform(0.08, 0.38, n), rng.random(n) < tarred, rng.uniform(0.7, 1.4, n)
    dash = np.array(DASHES)[rng.integers(8, size=n)]
    if not n or happens >= 0.3 * strength:
        return
    solid = np.array(["Solid" in line.kind for line in painted])
    chosen &= np.array([line.kind in STROKES for line in painted])
    room = canvas.tracks.room[:n]
    side = np.where(room != 0.0, room, side)
    which = np.flatnonzero(chosen)
    length = canvas.tracks.length[which]
    index, begin, end = dashes(
        length,
        np.where(solid, 1e4, dash[:, 0])[which],
        np.where(solid, 0.0, dash[:, 1])[which],
        np.zeros(len(which)),
    )
    line = which[index]
    half = np.array([max(p.width, WIDTH) / 2.0 for p in painted])[line]
    # The old line comes nearer or goes further by less than its offset.
    slope = (drift * np.minimum(offset, 0.8))[line] / np.maximum(length[index], 60.0)
    across = (side * offset)[line] + slope * begin
    for tar, target in ((False, canvas), (True, under)):
        of = as_tar[line] == tar
        row = line[of]
        white = np.full((len(row), 3), 205.0)
        colour = np.array(TAR) * dark[row, None] if tar else white
        limit = np.full(len(row), 0.95) if tar else cap[row]
        wide = half[of] * (1.5 if tar else 1.0)
        target.band(row, begin[of], end[of], across[of], wide, colour, 0.6, limit, slope[of])
