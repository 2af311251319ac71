"""Cross-sections of random roads: what lies beside what, and which marks between.

    kind = draw_kind(rng)
    section = kind.section
    section = vary(rng, kind, section)      # the same road some way on: other marks, bays, ...

A side of a road is a row of slots from the middle outwards; a slot of width 0 is not there
yet. A section varied from another has the same slots, so that lanes widen and narrow.

Widths are those of guides for streets and roads (RASt 06 and RAL of the FGSV, AASHTO's Green
Book): lanes of 2.75 to 3.75 m, parking bays of 2 m, cycle lanes of 1.5 to 2 m.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

Rng = np.random.Generator

BROKEN, SOLID, DOUBLE, NONE, KERB = "broken", "solid", "solid solid", "none", "curb"


@dataclass(frozen=True)
class LaneSpec:
    """One lane: its type, width in metres, and the mark on its outer edge.

    ``end`` is the width where the section ends, where it differs; ``slot`` names the lane's
    part in the row.
    """

    kind: str
    width: float
    mark: str = NONE
    colour: str = "white"
    mark_width: float = 0.12
    surface: str = ""
    end: float | None = None
    slot: str = ""

    @property
    def last(self) -> float:
        """Metres at the section's end."""
        return self.width if self.end is None else self.end


@dataclass(frozen=True)
class CrossSection:
    """Lanes from the reference line outwards, and the mark on the line itself."""

    left: tuple[LaneSpec, ...]
    right: tuple[LaneSpec, ...]
    centre: LaneSpec


@dataclass(frozen=True)
class RoadKind:
    """A road: its first cross-section, and how it may bend, climb and meet others."""

    name: str
    section: CrossSection
    radius: float
    grade: float
    crossings: float
    leans: bool
    speed: int
    varies: bool = True


def draw_kind(rng: Rng) -> RoadKind:
    """Draw one of the kinds of road, with its widths and marks."""
    kinds: list[tuple[Callable[[Rng], RoadKind], float]] = [
        (_street, 0.3), (_avenue, 0.12), (_residential, 0.1), (_rural, 0.22), (_dual, 0.08),
        (_motorway, 0.18),
    ]  # fmt: skip
    chances = np.array([share for _, share in kinds])
    return kinds[int(rng.choice(len(kinds), p=chances / chances.sum()))][0](rng)


def draw_side_kind(rng: Rng, main: RoadKind) -> RoadKind:
    """Draw the kind of a side road of ``main``: no larger than it."""
    if main.speed > 60:
        return _rural(rng)
    if main.name == "residential" or rng.random() < 0.5:
        return _residential(rng)
    return _street(rng, one_way=0.0)


def plain_street() -> RoadKind:
    """Return the street that there is without any variety: two lanes, standard marks."""
    centre = LaneSpec("none", 0.0, BROKEN, "white", 0.12)
    side = (
        LaneSpec("driving", 3.25, SOLID, "white", 0.12, slot="lane"),
        LaneSpec("shoulder", 0.4, KERB, slot="gutter"),
        LaneSpec("sidewalk", 2.5, slot="pavement"),
    )
    return RoadKind(
        "street", CrossSection(side, side, centre), 1e6, 0.0, 0.0, False, 50, varies=False
    )


def _either(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _pick(rng: Rng, **shares: float) -> str:
    names = list(shares)
    chances = np.array([shares[name] for name in names])
    return str(names[int(rng.choice(len(names), p=chances / chances.sum()))]).replace("_", " ")


def _line(rng: Rng) -> float:
    return _either(rng, 0.09, 0.2)


def _roadside(rng: Rng, parking: float, cycle: float, green: float) -> tuple[LaneSpec, ...]:
    """Return what lies beyond the driving lanes of a street; the arguments are chances."""
    drawn = rng.random(3)
    bay, cycles, strip = (
        float(x < chance) for x, chance in zip(drawn, (parking, cycle, green), strict=True)
    )
    red = "red" if rng.random() < 0.25 else ""
    cycle_mark = _pick(rng, broken=0.6, solid=0.4)
    bay_mark = _pick(rng, none=0.5, broken=0.3, solid=0.2)
    return (
        LaneSpec("biking", cycles * _either(rng, 1.3, 2.1), NONE if bay else cycle_mark,
                 "white", _line(rng), surface=red, slot="cycle"),
        LaneSpec("parking", bay * _either(rng, 1.9, 2.4), bay_mark, slot="parking"),
        LaneSpec("shoulder", _either(rng, 0.15, 0.5), KERB, slot="gutter"),
        LaneSpec("border", strip * _either(rng, 0.8, 3.0), surface="grass", slot="strip"),
        LaneSpec("sidewalk", _either(rng, 1.4, 4.5), slot="pavement"),
    )  # fmt: skip


def _lanes(rng: Rng, count: int, width: float, edge: LaneSpec) -> tuple[LaneSpec, ...]:
    """Return driving lanes; dashes between them, and the marks of ``edge`` on the outer side."""
    dash = LaneSpec("driving", width, BROKEN, "white", _line(rng), slot="lane")
    return (*([dash] * (count - 1)), replace(edge, kind="driving", width=width, slot="lane"))


def _street_edge(rng: Rng) -> LaneSpec:
    mark = _pick(rng, none=0.45, solid=0.3, solid_solid=0.15, broken=0.1)
    yellow = mark != NONE and rng.random() < 0.35
    return LaneSpec("", 0.0, mark, "yellow" if yellow else "white", _either(rng, 0.07, 0.14))


def _street(rng: Rng, one_way: float = 0.08) -> RoadKind:
    """A city street: one or two lanes each way, pavements, perhaps bays and cycle lanes."""
    count = int(rng.choice([1, 2], p=[0.75, 0.25]))
    width = _either(rng, 2.6, 3.6)
    mark = _pick(rng, broken=0.5, solid=0.2, solid_solid=0.15, none=0.15)
    yellow = rng.random() < 0.4
    centre = LaneSpec("none", 0.0, mark, "yellow" if yellow else "white", _line(rng))
    edge = _street_edge(rng)
    lanes = _lanes(rng, count, width, edge)
    if count > 1 and rng.random() < 0.3:  # the outer lane is for buses
        lanes = (*lanes[:-2], replace(lanes[-2], mark=SOLID, mark_width=0.25), lanes[-1])
    cycle = float(rng.choice([0.0, 0.8], p=[0.7, 0.3]))
    sides = [(*lanes, *_roadside(rng, 0.3, cycle, 0.12)) for _ in range(2)]
    if count == 1 and rng.random() < one_way:
        sides[0] = tuple(replace(x, width=0.0) if x.slot == "lane" else x for x in sides[0])
        centre = replace(centre, mark=NONE)
    section = CrossSection(sides[0], sides[1], centre)
    return RoadKind("street", section, 45.0, 0.03, 0.5, False, 50)


def _avenue(rng: Rng) -> RoadKind:
    """A wide street of two or three lanes each way about a median with kerbs."""
    count = int(rng.choice([2, 3], p=[0.8, 0.2]))
    median = LaneSpec("median", _either(rng, 0.6, 3.0), KERB, slot="median",
                      surface="grass" if rng.random() < 0.6 else "concrete")  # fmt: skip
    lanes = _lanes(rng, count, _either(rng, 2.9, 3.5), _street_edge(rng))
    edge, yellow = _pick(rng, none=0.6, solid=0.4), rng.random() < 0.4
    inner = LaneSpec("shoulder", _either(rng, 0.2, 0.5), edge, "yellow" if yellow else "white",
                     _line(rng), slot="inner")  # fmt: skip
    sides = [(median, inner, *lanes, *_roadside(rng, 0.3, 0.25, 0.4)) for _ in range(2)]
    section = CrossSection(sides[0], sides[1], LaneSpec("none", 0.0))
    return RoadKind("avenue", section, 70.0, 0.03, 0.5, False, 60)


def _residential(rng: Rng) -> RoadKind:
    """A quiet street without any marks."""
    lane = LaneSpec("driving", _either(rng, 2.3, 3.0), slot="lane")
    sides = [(lane, *_roadside(rng, 0.35, 0.0, 0.3)) for _ in range(2)]
    if rng.random() < 0.25:  # no pavements either
        sides = [
            tuple(replace(x, width=0.0) if x.slot in ("strip", "pavement") else x for x in side)
            for side in sides
        ]
    section = CrossSection(sides[0], sides[1], LaneSpec("none", 0.0))
    return RoadKind("residential", section, 35.0, 0.05, 0.55, False, 30)


def _rural(rng: Rng) -> RoadKind:
    """A country road: a lane each way, edge lines or none, a shoulder or hardly any."""
    mark = _pick(rng, broken=0.4, solid=0.1, solid_solid=0.2, solid_broken=0.1, broken_solid=0.1,
                 none=0.1)  # fmt: skip
    centre = LaneSpec("none", 0.0, mark, "yellow" if rng.random() < 0.45 else "white", _line(rng))
    edge = _pick(rng, solid=0.6, broken=0.1, none=0.3)
    lane = LaneSpec("driving", _either(rng, 2.6, 3.8), edge, "white", _line(rng), slot="lane")
    wide = rng.random() < 0.3
    shoulder = LaneSpec("shoulder", _either(rng, 1.0, 2.4) if wide else _either(rng, 0.1, 0.8),
                        slot="shoulder")  # fmt: skip
    extra = replace(lane, width=0.0, slot="slip")
    side = (lane, extra, shoulder)
    return RoadKind("rural", CrossSection(side, side, centre), 55.0, 0.065, 0.3, True, 90)


def _carriageway(rng: Rng, count: int, width: float, hard: float) -> tuple[LaneSpec, ...]:
    """Return lanes with a line at both edges, room for a slip lane, and a hard shoulder."""
    edge_width = _either(rng, 0.12, 0.3)
    left = "yellow" if rng.random() < 0.5 else "white"
    inner = LaneSpec("shoulder", _either(rng, 0.4, 2.2), SOLID, left, edge_width, slot="inner")
    between = _pick(rng, broken=0.9, botts_dots=0.1)
    lane = LaneSpec("driving", width, between, "white", _line(rng), slot="lane")
    last = replace(lane, mark=SOLID, mark_width=edge_width)
    return (
        inner,
        *([lane] * (count - 1)),
        last,
        replace(last, width=0.0, slot="slip"),
        LaneSpec("shoulder", hard, slot="shoulder"),
    )


def _dual(rng: Rng) -> RoadKind:
    """Two carriageways of two lanes with a green median, in the country or at a town's edge."""
    median = LaneSpec("median", _either(rng, 0.8, 5.0), NONE, surface="grass", slot="median")
    hard = _either(rng, 0.3, 1.5)
    side = (median, *_carriageway(rng, 2, _either(rng, 3.2, 3.7), hard))
    section = CrossSection(side, side, LaneSpec("none", 0.0))
    return RoadKind("dual", section, 150.0, 0.05, 0.2, True, 100)


def _motorway(rng: Rng) -> RoadKind:
    """Two to four lanes each way, hard shoulders, a median, or the one carriageway alone."""
    count = int(rng.integers(2, 5))
    green = rng.random() < 0.5
    half = _either(rng, 1.2, 7.0) if green else _either(rng, 0.3, 1.2)
    median = LaneSpec("median", half, surface="grass" if green else "concrete", slot="median")
    hard = _either(rng, 0.8, 3.4)
    side = (median, *_carriageway(rng, count, _either(rng, 3.4, 3.8), hard))
    left = side
    if rng.random() < 0.15:  # the other carriageway is out of sight
        left = (LaneSpec("shoulder", 0.0, slot="median"),)
        side = (replace(median, width=0.0), *side[1:])
    section = CrossSection(left, side, LaneSpec("none", 0.0))
    return RoadKind("motorway", section, 230.0, 0.045, 0.0, True, 120)


def vary(rng: Rng, kind: RoadKind, section: CrossSection) -> CrossSection:
    """Return the section of the same road some way on, one thing or another changed."""
    change = _pick(rng, centre=0.3, edges=0.25, bays=0.25, slip=0.3, width=0.15)
    sides = [section.left, section.right]
    centre = section.centre
    which = int(rng.integers(2))
    if change == "centre" and centre.mark != NONE:
        choice = _pick(rng, broken=0.4, solid=0.15, solid_solid=0.2, none=0.15, solid_broken=0.1)
        centre = replace(centre, mark=choice)
    elif change == "edges":
        keep = rng.random() < 0.6
        sides = [_with_edge(side, kind.section, i, keep) for i, side in enumerate(sides)]
    elif change == "bays":
        sides[which] = _toggled(sides[which], "parking", _either(rng, 1.9, 2.4), rng)
    elif change == "slip":
        sides[which] = _toggled(sides[which], "slip", _either(rng, 3.0, 3.6), rng)
    elif change == "width":
        factor = _either(rng, 0.92, 1.08)
        sides = [
            tuple(replace(x, width=x.width * factor) if x.slot == "lane" else x for x in side)
            for side in sides
        ]
    return CrossSection(sides[0], sides[1], centre)


def _with_edge(
    side: tuple[LaneSpec, ...], first: CrossSection, number: int, keep: bool
) -> tuple[LaneSpec, ...]:
    """Return a side with the line at its outer edge as it was at first, or without."""
    at = max((i for i, x in enumerate(side) if x.slot == "lane"), default=-1)
    if at < 0:
        return side
    before = (first.left if number == 0 else first.right)[at]
    edge = replace(side[at], mark=before.mark if keep else NONE)
    return (*side[:at], edge, *side[at + 1 :])


def _toggled(side: tuple[LaneSpec, ...], slot: str, width: float, rng: Rng) -> tuple[LaneSpec, ...]:
    """Return a side whose slot comes or goes, and the mark towards it."""
    at = next((i for i, x in enumerate(side) if x.slot == slot), None)
    if at is None:
        return side
    comes = side[at].width == 0.0
    result = list(side)
    result[at] = replace(side[at], width=width if comes else 0.0)
    if slot == "slip":
        mark = _pick(rng, broken=0.8, solid=0.2) if comes else side[at].mark
        result[at - 1] = replace(side[at - 1], mark=mark)
    return tuple(result)


def between(first: CrossSection, second: CrossSection) -> CrossSection:
    """Return the section in which the lanes of one go over into those of another."""

    def side(one: tuple[LaneSpec, ...], other: tuple[LaneSpec, ...]) -> tuple[LaneSpec, ...]:
        return tuple(replace(a, end=b.width) for a, b in zip(one, other, strict=True))

    return CrossSection(
        side(first.left, second.left), side(first.right, second.right), first.centre
    )


def widens(first: CrossSection, second: CrossSection) -> bool:
    """Whether any lane is of another width in one section than in the other."""
    pairs = [*zip(first.left, second.left, strict=True)]
    pairs += [*zip(first.right, second.right, strict=True)]
    return any(a.width != b.width for a, b in pairs)
