"""Paint on the road: lines, symbols and coloured areas, and how much is left of them.

    paint = lay(roads, Dice(DomainRandomization(), 1))
    paint.marking     # what a person would call a marking: tag ROAD_LINE
    paint.ghost       # paint all but gone, removed lines: drawn, tagged ROAD
    paint.surfacing   # bus lanes, cycle lanes, anti-skid surfacing, tar: beneath the paint

Each mesh's ``uvw`` is (across a stroke -1..1, metres along it, share of paint left), its
``normal`` the stroke's horizontal right and its fourth number half the stroke's width in
metres; filled areas have 0 for all of across, normal and width (see `canvas`).
"""

from __future__ import annotations

from dataclasses import dataclass

from carla_bridge.world.maps.roads import Roads
from carla_bridge.world.meshes import Mesh, merge
from carla_bridge.world.paint.canvas import Canvas
from carla_bridge.world.paint.lines import Style, lines, old_lines
from carla_bridge.world.paint.symbols import symbols
from carla_bridge.world.paint.tracks import Tracks
from carla_bridge.world.paint.wear import Wear
from carla_bridge.world.randomization import Dice
from carla_bridge.world.tags import Tag

VISIBLE = 0.4
"""Share of paint left below which a piece is labelled road: a person would not see a line."""
GONE = 0.02
"""Share below which nothing is drawn at all."""

HEIGHT = 0.012
"""Metres above the asphalt, so that the depth buffer can tell them apart."""
SURFACING_HEIGHT = 0.006


@dataclass(frozen=True)
class Paint:
    """Three meshes on the road; see the module for what their vertices carry."""

    marking: Mesh
    ghost: Mesh
    surfacing: Mesh


def lay(roads: Roads, dice: Dice) -> Paint:
    """Paint every line of the roads, and symbols and coloured areas where ``dice`` say so."""
    tracks = Tracks.of(roads)
    style, wear = Style(dice, roads.lines), Wear(dice)
    if not len(tracks.length):
        return Paint(merge([]), merge([]), merge([]))
    paint, under = Canvas(tracks), Canvas(tracks)
    lines(paint, roads.lines, style)
    old_lines(paint, under, roads.lines, dice)
    symbols.lay(paint, under, roads, style, dice)
    drawn = paint.pieces(HEIGHT, wear)
    share = drawn.left.mean(axis=1)
    seen, there = share >= VISIBLE, share >= GONE
    return Paint(
        drawn.where(seen).mesh(Tag.ROAD_LINE, least=VISIBLE),
        # Neighbours of different labels share their corners, so shares are held apart.
        drawn.where(there & ~seen).mesh(Tag.ROAD, most=VISIBLE - 0.001),
        under.pieces(SURFACING_HEIGHT, wear).mesh(Tag.ROAD),
    )
