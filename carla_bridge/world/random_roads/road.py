"""Random roads, written as OpenDRIVE text.

    xodr = random_road(Dice(DomainRandomization(), 1))
    carla.Map("road", xodr)  # any OpenDRIVE reader

A road is of one of six kinds (`carla_bridge.world.random_roads.kinds`), varies along its way, and
often meets a side road in a junction. Roads go out as text so that generated roads and a
user's own take the same way in (`carla_bridge.world.maps.roads`).

The format: ASAM OpenDRIVE 1.4, https://www.asam.net/standards/detail/opendrive/ .
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from carla_bridge.world.random_roads.alignment import (
    Cubic,
    Piece,
    Pose,
    ends_at,
    plan,
    profile,
    superelevation,
)
from carla_bridge.world.random_roads.junctions import Arm, Turn, distances, turns
from carla_bridge.world.random_roads.kinds import (
    NONE,
    CrossSection,
    LaneSpec,
    RoadKind,
    between,
    draw_kind,
    draw_side_kind,
    plain_street,
    vary,
    widens,
)
from carla_bridge.world.random_roads.write import RoadText, write_opendrive
from carla_bridge.world.randomization import Dice

Rng = np.random.Generator
Sections = list[tuple[float, CrossSection]]

JUNCTION = 100
"""The number of the junction."""
LEVEL = 22.0
"""Metres of road before a junction that are level."""
PAINT_STOPS = 1.0
"""Metres before a junction at which lane marks end."""


def random_road(dice: Dice, length: float = 420.0) -> str:
    """Return OpenDRIVE text with one road of about ``length`` metres, often with a side road.

    Shapes are drawn by the term "roads" (0 gives one straight street), heights by "hills".
    """
    rng, strength = dice.stream("roads"), min(dice.strength("roads"), 1.0)
    kind = draw_kind(rng)
    winding = float(rng.choice([0.0, 0.3, 1.0], p=[0.42, 0.33, 0.25]))
    if rng.random() >= strength:
        kind, winding = plain_street(), 0.0
    crosses = rng.random() < kind.crossings and length > 200.0
    has_lanes = [any(x.kind == "driving" and x.width for x in s) for s in _sides(kind.section)]
    if crosses and all(has_lanes):
        roads, joints = _crossing(rng, dice, kind, length, winding)
        return write_opendrive(kind.name, roads, joints)
    pieces = plan(rng, length, kind.radius, winding)
    leans = superelevation(pieces, kind.radius) if kind.leans and rng.random() < 0.7 else []
    road = RoadText(
        1,
        pieces,
        profile(dice.stream("hills"), length, _grade(dice, kind)),
        _along(rng, kind, kind.section, length),
        kind.speed,
        leans,
    )
    return write_opendrive(kind.name, [road], [])


def _sides(section: CrossSection) -> tuple[tuple[LaneSpec, ...], tuple[LaneSpec, ...]]:
    return section.left, section.right


def _grade(dice: Dice, kind: RoadKind) -> float:
    return kind.grade * min(dice.strength("hills"), 1.5)


def _along(rng: Rng, kind: RoadKind, section: CrossSection, length: float) -> Sections:
    """Return the cross-sections along a road, from s = 0."""
    sections: Sections = [(0.0, section)]
    s = 0.0
    while True:
        run = float(rng.uniform(40.0, 190.0))
        following = vary(rng, kind, section)
        taper = _taper(rng, section, following)
        if not kind.varies or s + run + taper + 20.0 > length:
            return sections
        s += run
        if taper:
            sections.append((s, between(section, following)))
            s += taper
        sections.append((s, following))
        section = following


def _taper(rng: Rng, first: CrossSection, second: CrossSection) -> float:
    """Return metres in which one cross-section goes over into another."""
    drawn = float(rng.uniform(0.8, 1.3))
    if not widens(first, second):
        return 0.0
    slips = [
        a.width != b.width
        for one, other in zip(_sides(first), _sides(second), strict=True)
        for a, b in zip(one, other, strict=True)
        if a.slot != "parking"
    ]
    return drawn * (38.0 if any(slips) else 5.0)


def _mouth(section: CrossSection) -> CrossSection:
    """Return the section as it meets a junction: without bays and slip lanes."""

    def side(lanes: tuple[LaneSpec, ...]) -> tuple[LaneSpec, ...]:
        return tuple(replace(x, width=0.0) if x.slot in ("parking", "slip") else x for x in lanes)

    return CrossSection(side(section.left), side(section.right), section.centre)


def _unpainted(section: CrossSection) -> CrossSection:
    def side(lanes: tuple[LaneSpec, ...]) -> tuple[LaneSpec, ...]:
        return tuple(x if x.mark == "curb" else replace(x, mark=NONE) for x in lanes)

    return CrossSection(side(section.left), side(section.right), replace(section.centre, mark=NONE))


def _until(sections: Sections, length: float) -> Sections:
    """Return the sections of a road that ends at a junction: bays taper off before it."""
    mouth = _mouth(sections[-1][1])
    taper, rest = 7.0, 9.0
    kept = [(s, x) for s, x in sections if s < length - taper - rest - 30.0] or sections[:1]
    last = kept[-1][1]
    if any(x.end is not None for side in _sides(last) for x in side):  # a taper cut short
        kept = kept[:-1] or [(0.0, mouth)]
        last = kept[-1][1]
    mouth = _mouth(last)
    return [
        *kept,
        *([(length - rest - taper, between(last, mouth))] if widens(last, mouth) else []),
        (length - rest, mouth),
        (length - PAINT_STOPS, _unpainted(mouth)),
    ]


def _from(sections: Sections) -> Sections:
    """Return the sections of a road that begins at a junction."""
    first = sections[0][1]
    mouth = _mouth(first)
    start: Sections = [(0.0, _unpainted(mouth)), (PAINT_STOPS, mouth)]
    if widens(first, mouth):
        start += [(9.0, between(mouth, first)), (16.0, first)]
    return start + [(s, x) for s, x in sections[1:] if s > 30.0]


def _crossing(
    rng: Rng, dice: Dice, kind: RoadKind, length: float, winding: float
) -> tuple[list[RoadText], list[Turn]]:
    """Return a road in two parts with one or two side roads between them, and all turns."""
    side_kind = draw_side_kind(rng, kind)
    angle = float(rng.choice([-1, 1])) * (np.pi / 2 + float(rng.uniform(-0.35, 0.35)))
    second = [angle + np.pi + float(rng.uniform(-0.05, 0.05))] if rng.random() < 0.4 else []
    main, side = _mouth(kind.section), _mouth(side_kind.section)
    backwards = CrossSection(main.right, main.left, main.centre)
    headings = [0.0, np.pi, angle, *second]
    around = [(main, headings[0]), (backwards, headings[1]), *((side, h) for h in headings[2:])]
    reach = distances(around, float(rng.uniform(3.5, 9.0)))
    reach[0] = reach[1] = max(reach[:2])
    before = float(rng.uniform(0.25, 0.75)) * length - reach[1]
    after = length - before - 2.0 * reach[1]

    hills, grade = dice.stream("hills"), _grade(dice, kind)
    first = plan(rng, before, kind.radius, winding, straight=25.0)
    x, y, heading = first[-1].last
    centre: Pose = (
        x + reach[1] * float(np.cos(heading)), y + reach[1] * float(np.sin(heading)), heading,
    )  # fmt: skip
    heights = profile(hills, before, grade, 0.0, (0.0, LEVEL))
    level = ends_at(heights, before)
    sections = _along(rng, kind, kind.section, before)
    roads = [
        RoadText(1, first, heights, _until(sections, before), kind.speed, junction_after=JUNCTION)
    ]
    arms = [Arm(1, False, (x, y, heading + np.pi), roads[0].sections[-1][1])]
    for number, (direction, away) in enumerate(
        zip([headings[0], *headings[2:]], [reach[0], *reach[2:]], strict=True), start=2
    ):
        what = kind if number == 2 else side_kind
        start = _ahead(centre, direction, away)
        far = after if number == 2 else float(rng.uniform(60.0, 160.0))
        pieces = _leaving(rng, start, far, what, winding)
        stretch = _from(_along(rng, what, what.section, far))
        up = profile(hills, far, _grade(dice, what), level, (LEVEL, 0.0))
        roads.append(RoadText(number, pieces, up, stretch, what.speed, junction_before=JUNCTION))
        arms.append(Arm(number, True, start, stretch[0][1]))
    found = turns(arms)
    for i, turn in enumerate(found):
        roads.append(_connecting(10 + i, turn, level))
    return roads, found


def _ahead(centre: Pose, direction: float, away: float) -> Pose:
    heading = centre[2] + direction
    return (
        centre[0] + away * float(np.cos(heading)),
        centre[1] + away * float(np.sin(heading)),
        heading,
    )


def _leaving(rng: Rng, start: Pose, length: float, kind: RoadKind, winding: float) -> list[Piece]:
    """Return the plan of a road that leaves a junction: straight at first."""
    straight = min(25.0, length)
    x, y, heading = start
    first = Piece(0.0, x, y, heading, straight, 0.0, 0.0)
    if length - straight < 5.0:
        return [replace(first, length=length)]
    rest = plan(rng, length - straight, kind.radius, winding, first.last)
    return [first, *(replace(p, s=p.s + straight) for p in rest)]


def _connecting(number: int, turn: Turn, level: float) -> RoadText:
    section = CrossSection((), turn.lanes, LaneSpec("none", 0.0))
    flat: list[Cubic] = [(0.0, level, 0.0, 0.0, 0.0)]
    return RoadText(number, turn.pieces, flat, [(0.0, section)], 30, turn=turn)
