"""Town: streets about 3 by 3 blocks, with 12 junctions, bends at the corners, worn markings.

Nodes are numbered by column and row; streets join neighbours, and the four corners of the town
are bends of the streets that lead there. No two blocks are the same size. The street of row 1
has two lanes each way; widths and marks differ from street to street, some have lost theirs for
a stretch, some have none.
"""

from __future__ import annotations

from dataclasses import replace
from math import atan2, cos, hypot, pi, remainder, sin, tan

from carla_bridge.world.random_roads.alignment import Piece, Pose, chain
from carla_bridge.world.random_roads.junctions import Arm, distances, turns
from carla_bridge.world.random_roads.kinds import (
    BROKEN,
    DOUBLE,
    KERB,
    NONE,
    SOLID,
    CrossSection,
    LaneSpec,
)
from carla_bridge.world.random_roads.write import RoadText
from carla_bridge.world.shipped_maps.joined import joined
from carla_bridge.world.shipped_maps.s_curve import bend

Node = tuple[int, int]
Sections = list[tuple[float, CrossSection]]

SIDE = 4
BLOCK = 125.0
"""Metres between nodes, before they are moved a little."""
SHIFTS = (
    (0, 0), (4, -5), (-6, 3), (2, 4),
    (-3, 6), (5, 2), (-2, -4), (6, -3),
    (3, -2), (-4, 5), (4, 4), (-5, -2),
    (0, 3), (6, -4), (-3, 2), (0, 0),
)  # fmt: skip
"""Metres (x, y) by which each node lies off its place, row by row."""
CORNER = 8.0
"""Metres of a kerb's radius at junctions."""
BEND = 25.0
EASING = 15.0
"""Metres of radius, and of each clothoid, where a street turns a corner of the town."""
PAINT_STOPS = 1.0
"""Metres before a junction at which lane marks end."""


def _street(lanes: int, width: float, centre: str, edge: str, colour: str) -> CrossSection:
    dash = LaneSpec("driving", width, BROKEN, "white", 0.12, slot="lane")
    side = (
        *([dash] * (lanes - 1)),
        replace(dash, mark=edge),
        LaneSpec("shoulder", 0.35, KERB, slot="gutter"),
        LaneSpec("sidewalk", 2.4, slot="pavement"),
    )
    return CrossSection(side, side, LaneSpec("none", 0.0, centre, colour, 0.12))


STREETS = (
    _street(1, 3.25, BROKEN, SOLID, "white"),
    _street(1, 3.5, DOUBLE, SOLID, "yellow"),
    _street(1, 3.0, BROKEN, NONE, "white"),
    _street(1, 3.25, SOLID, NONE, "white"),
    _street(1, 2.9, NONE, NONE, "white"),
)
AVENUE = _street(2, 3.25, DOUBLE, SOLID, "yellow")
"""Row 1."""


def text() -> str:
    """Return the map's OpenDRIVE."""
    ways = _ways()
    arms = _arm_lengths(ways)
    roads: list[RoadText] = []
    ends: dict[Node, list[Arm]] = {}
    for number, way in enumerate(ways, start=1):
        section = _section_of(way, number)
        pieces = _plan(way, arms[way[0], way[1]], arms[way[-1], way[-2]])
        length = pieces[-1].s + pieces[-1].length
        sections = _along(section, length, number)
        speed = 30 if section.centre.mark == NONE else 50
        roads.append(
            RoadText(
                number, pieces, [(0.0, 0.0, 0.0, 0.0, 0.0)], sections, speed,
                junction_before=_junction(way[0]), junction_after=_junction(way[-1]),
            )
        )  # fmt: skip
        first, last = pieces[0], pieces[-1].last
        start: Pose = (first.x, first.y, first.heading)
        ends.setdefault(way[0], []).append(Arm(number, True, start, section))
        end: Pose = (last[0], last[1], last[2] + pi)
        ends.setdefault(way[-1], []).append(Arm(number, False, end, section))
    number = 1000
    for node in sorted(ends):
        for turn in turns(ends[node]):
            level = [(0.0, 0.0, 0.0, 0.0, 0.0)]
            across = CrossSection((), turn.lanes, LaneSpec("none", 0.0))
            roads.append(RoadText(number, turn.pieces, level, [(0.0, across)], 30, turn=turn))
            number += 1
    return joined("Town", roads)


def _junction(node: Node) -> int:
    return 100 + node[0] + SIDE * node[1]


def _place(node: Node) -> tuple[float, float]:
    shift = SHIFTS[node[0] + SIDE * node[1]]
    middle = BLOCK * (SIDE - 1) / 2.0
    return BLOCK * node[0] - middle + shift[0], BLOCK * node[1] - middle + shift[1]


def _is_corner(node: Node) -> bool:
    return node[0] in (0, SIDE - 1) and node[1] in (0, SIDE - 1)


def _ways() -> list[tuple[Node, ...]]:
    """Return the nodes that each road passes: two, or three about a corner of the town."""
    found: list[tuple[Node, ...]] = []
    for i in range(SIDE):
        for j in range(SIDE):
            for other in ((i + 1, j), (i, j + 1)):
                if max(other) < SIDE and not _is_corner((i, j)) and not _is_corner(other):
                    found.append(((i, j), other))
    last = SIDE - 1
    found += [
        ((1, 0), (0, 0), (0, 1)),
        ((last, 1), (last, 0), (last - 1, 0)),
        ((last - 1, last), (last, last), (last, last - 1)),
        ((0, last - 1), (0, last), (1, last)),
    ]
    return found


def _section_of(way: tuple[Node, ...], number: int) -> CrossSection:
    """Return a street's cross-section; corners keep marks, as roads with bends do."""
    if all(node[1] == 1 for node in way):
        return AVENUE
    if len(way) == 3:
        return STREETS[number % 2]
    return STREETS[(number * 7 // 3) % len(STREETS)]


def _heading(first: Node, second: Node) -> float:
    (x, y), (u, v) = _place(first), _place(second)
    return atan2(v - y, u - x)


def _arm_lengths(ways: list[tuple[Node, ...]]) -> dict[tuple[Node, Node], float]:
    """Return metres from each node to where the street towards a neighbour begins."""
    around: dict[Node, list[tuple[Node, CrossSection]]] = {}
    for number, way in enumerate(ways, start=1):
        section = _section_of(way, number)
        around.setdefault(way[0], []).append((way[1], section))
        around.setdefault(way[-1], []).append((way[-2], section))
    found = {}
    for node, neighbours in around.items():
        headings = [(section, _heading(node, other)) for other, section in neighbours]
        for (other, _), reach in zip(neighbours, distances(headings, CORNER), strict=True):
            found[node, other] = reach
    return found


def _plan(way: tuple[Node, ...], before: float, after: float) -> list[Piece]:
    """Return the plan of a street from arm to arm: a line, or two with a bend between."""
    x, y = _place(way[0])
    heading = _heading(way[0], way[1])
    start: Pose = (x + before * cos(heading), y + before * sin(heading), heading)
    first = _distance(way[0], way[1]) - before
    if len(way) == 2:
        return chain(start, [(first - after, 0.0, 0.0)])
    turn = remainder(_heading(way[1], way[2]) - heading, 2.0 * pi)
    radius = BEND if turn > 0.0 else -BEND
    shapes = bend(radius, EASING, abs(turn) * BEND - EASING)
    # Both tangents of a symmetric bend are as long; they meet in the corner's node.
    u, v, _ = chain((0.0, 0.0, 0.0), shapes)[-1].last
    tangent = u - v / tan(turn)
    second = _distance(way[1], way[2]) - after
    return chain(start, [(first - tangent, 0.0, 0.0), *shapes, (second - tangent, 0.0, 0.0)])


def _distance(first: Node, second: Node) -> float:
    (x, y), (u, v) = _place(first), _place(second)
    return hypot(u - x, v - y)


def _along(section: CrossSection, length: float, number: int) -> Sections:
    """Return the cross-sections of a street: no marks at its ends, and where they wore off."""
    bare, faded = _without_marks(section), _without_centre(section)
    middle: Sections = [(PAINT_STOPS, section)]
    if number % 3 == 0:  # a stretch without its centre line
        middle += [(0.35 * length, faded), (0.55 * length, section)]
    elif number % 5 == 1:  # edges and all are gone for some metres, twice
        middle += [(0.3 * length, bare), (0.42 * length, section)]
        middle += [(0.7 * length, bare), (0.78 * length, section)]
    return [(0.0, bare), *middle, (length - PAINT_STOPS, bare)]


def _without_centre(section: CrossSection) -> CrossSection:
    return replace(section, centre=replace(section.centre, mark=NONE))


def _without_marks(section: CrossSection) -> CrossSection:
    def side(lanes: tuple[LaneSpec, ...]) -> tuple[LaneSpec, ...]:
        return tuple(x if x.mark == KERB else replace(x, mark=NONE) for x in lanes)

    return CrossSection(side(section.left), side(section.right), replace(section.centre, mark=NONE))
