"""Random roads, written as OpenDRIVE text.

    xodr = random_road(np.random.default_rng(1))
    carla.Map("road", xodr)  # any OpenDRIVE reader

A road is one of three kinds (street, rural road, motorway), its plan a chain of lines,
spirals and arcs, its profile a chain of cubics. Roads go out as text so that generated
roads and a user's own take the same way in (`carla_bridge.world.roads`).

The format: ASAM OpenDRIVE 1.4, https://www.asam.net/standards/detail/opendrive/ .
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

DASHED = "broken"


@dataclass(frozen=True)
class LaneSpec:
    """One lane: its type, width in metres, and the mark on its outer edge."""

    kind: str
    width: float
    mark: str = "none"
    colour: str = "white"
    mark_width: float = 0.12


@dataclass(frozen=True)
class CrossSection:
    """Lanes from the reference line outwards, and the mark on the line itself."""

    left: tuple[LaneSpec, ...]
    right: tuple[LaneSpec, ...]
    centre: LaneSpec
    min_radius: float
    max_grade: float


def random_road(rng: np.random.Generator, length: float = 420.0) -> str:
    """Return OpenDRIVE text with one road of about ``length`` metres, often with a side road."""
    kind = rng.choice(["street", "rural", "motorway"], p=[0.46, 0.27, 0.27])
    section = {"street": _street, "rural": _rural, "motorway": _motorway}[str(kind)](rng)
    geometries = _plan(rng, length, section.min_radius)
    side_road = kind != "motorway" and rng.random() < 0.45
    grade = 0.0 if side_road else section.max_grade

    root = ElementTree.Element("OpenDRIVE")
    header = ElementTree.SubElement(root, "header", revMajor="1", revMinor="4", name=str(kind))
    # Parsers ask for a map projection; any will do, the roads are in metres.
    ElementTree.SubElement(header, "geoReference").text = "+lat_0=0 +lon_0=0"
    if not side_road:
        _add_road(root, 1, geometries, _profile(rng, length, grade), [(0.0, section)])
        return ElementTree.tostring(root, encoding="unicode")

    at = float(rng.uniform(0.2, 0.8)) * length
    gap = float(rng.uniform(5.0, 9.0))
    _add_road(
        root,
        1,
        geometries,
        [(0.0, 0.0, 0.0, 0.0, 0.0)],
        [(0.0, section), (at - gap, _bare(section)), (at + gap, section)],
    )
    _add_side_road(root, rng, geometries, at, section)
    return ElementTree.tostring(root, encoding="unicode")


def _bare(section: CrossSection) -> CrossSection:
    """Return the section as it is across a junction: no paint, no pavement."""

    def lanes(specs: tuple[LaneSpec, ...]) -> tuple[LaneSpec, ...]:
        return tuple(LaneSpec(s.kind, s.width) for s in specs if s.kind != "sidewalk")

    return CrossSection(
        lanes(section.left),
        lanes(section.right),
        LaneSpec("none", 0.0),
        section.min_radius,
        section.max_grade,
    )


def _mark_width(rng: np.random.Generator) -> float:
    return float(rng.uniform(0.09, 0.2))


def _street(rng: np.random.Generator) -> CrossSection:
    lanes = int(rng.choice([1, 2], p=[0.75, 0.25]))
    width = float(rng.uniform(2.6, 3.6))
    yellow = "yellow" if rng.random() < 0.4 else "white"
    centre_kind = str(
        rng.choice([DASHED, "solid", "solid solid", "none"], p=[0.5, 0.2, 0.15, 0.15])
    )
    centre = LaneSpec("none", 0.0, centre_kind, yellow, _mark_width(rng))
    edge_kind = str(rng.choice(["none", "solid", "solid solid", DASHED], p=[0.45, 0.3, 0.15, 0.1]))
    edge_colour = "yellow" if edge_kind != "none" and rng.random() < 0.35 else "white"

    def side(count: int) -> tuple[LaneSpec, ...]:
        inner = [LaneSpec("driving", width, DASHED, "white", _mark_width(rng))] * (count - 1)
        outer = LaneSpec("driving", width, edge_kind, edge_colour, float(rng.uniform(0.07, 0.14)))
        gutter = LaneSpec("shoulder", float(rng.uniform(0.15, 0.5)))
        if rng.random() < 0.3:
            gutter = LaneSpec("parking", float(rng.uniform(1.9, 2.4)))
        pavement = LaneSpec("sidewalk", float(rng.uniform(1.4, 4.5)))
        return (*inner, outer, gutter, pavement)

    return CrossSection(side(lanes), side(lanes), centre, min_radius=45.0, max_grade=0.03)


def _rural(rng: np.random.Generator) -> CrossSection:
    width = float(rng.uniform(2.6, 3.8))
    yellow = "yellow" if rng.random() < 0.45 else "white"
    kinds = [DASHED, "solid", "solid solid", "solid broken", "broken solid", "none"]
    centre_kind = str(rng.choice(kinds, p=[0.4, 0.1, 0.2, 0.1, 0.1, 0.1]))
    centre = LaneSpec("none", 0.0, centre_kind, yellow, _mark_width(rng))
    edge_kind = str(rng.choice(["solid", DASHED, "none"], p=[0.65, 0.1, 0.25]))
    lane = LaneSpec("driving", width, edge_kind, "white", _mark_width(rng))
    side = (lane, LaneSpec("shoulder", float(rng.uniform(0.1, 1.2))))
    return CrossSection(side, side, centre, min_radius=55.0, max_grade=0.06)


def _motorway(rng: np.random.Generator) -> CrossSection:
    lanes = int(rng.integers(2, 5))
    width = float(rng.uniform(3.4, 3.8))
    left_edge = "yellow" if rng.random() < 0.5 else "white"
    between = str(rng.choice([DASHED, "botts dots"], p=[0.9, 0.1]))
    edge_width = float(rng.uniform(0.12, 0.3))
    centre = LaneSpec("none", 0.0, "solid", left_edge, edge_width)
    inner = [LaneSpec("driving", width, between, "white", _mark_width(rng))] * (lanes - 1)
    outer = LaneSpec("driving", width, "solid", "white", edge_width)
    right = (*inner, outer, LaneSpec("shoulder", float(rng.uniform(0.8, 3.2))))
    left = (LaneSpec("shoulder", float(rng.uniform(0.4, 3.0))),)
    return CrossSection(left, right, centre, min_radius=230.0, max_grade=0.04)


Geometry = tuple[float, float, float, float, float, float, float]
"""(s, x, y, heading, length, curvature at the start, curvature at the end)."""


def _plan(rng: np.random.Generator, length: float, min_radius: float) -> list[Geometry]:
    """Chain line, spiral, arc, spiral until ``length``; curvature is continuous throughout."""
    pieces: list[Geometry] = []
    s = x = y = 0.0
    heading = float(rng.uniform(-np.pi, np.pi))
    while s < length:
        curvature = float(rng.choice([-1, 1])) / (min_radius * float(rng.uniform(1.0, 6.0)))
        # A total turn under 70 degrees a bend keeps a road from meeting itself.
        arc = min(float(rng.uniform(15.0, 80.0)), 0.8 / abs(curvature))
        easing = float(rng.uniform(15.0, 35.0))
        line = float(rng.uniform(5.0, 90.0))
        for piece_length, start, end in (
            (line, 0.0, 0.0),
            (easing, 0.0, curvature),
            (arc, curvature, curvature),
            (easing, curvature, 0.0),
        ):
            piece_length = min(piece_length, length - s)
            if piece_length < 0.5:
                break
            pieces.append((s, x, y, heading, piece_length, start, end))
            x, y, heading = _advance(pieces[-1], piece_length)
            s += piece_length
        if length - s < 0.5:
            break
    return pieces


def _advance(piece: Geometry, distance: float) -> tuple[float, float, float]:
    """Return (x, y, heading) ``distance`` metres into a piece whose curvature is linear in s."""
    _, x, y, heading, length, start, end = piece
    t = np.linspace(0.0, distance, 129)
    angle = heading + start * t + (end - start) * t * t / (2.0 * length)
    step = distance / 128.0
    weights = np.full(129, step)
    weights[[0, -1]] *= 0.5
    return (
        x + float(np.cos(angle) @ weights),
        y + float(np.sin(angle) @ weights),
        float(angle[-1]),
    )


def _profile(
    rng: np.random.Generator, length: float, max_grade: float
) -> list[tuple[float, float, float, float, float]]:
    """Return elevation cubics (s, a, b, c, d) with continuous height and grade."""
    knots = np.linspace(0.0, length + 1.0, max(2, int(length / 80)))
    grades = rng.uniform(-max_grade, max_grade, len(knots))
    records = []
    height = 0.0
    for i in range(len(knots) - 1):
        span = float(knots[i + 1] - knots[i])
        curve = float(grades[i + 1] - grades[i]) / (2.0 * span)
        records.append((float(knots[i]), height, float(grades[i]), curve, 0.0))
        height += float(grades[i]) * span + curve * span * span
    return records


def _add_side_road(
    root: ElementTree.Element,
    rng: np.random.Generator,
    geometries: list[Geometry],
    at: float,
    section: CrossSection,
) -> None:
    """Add a road that leaves the main one at ``at`` metres, to one side or straight across."""
    piece = next(g for g in reversed(geometries) if g[0] <= at)
    x, y, heading = _advance(piece, max(at - piece[0], 0.01))
    direction = heading + float(rng.choice([-1, 1])) * (np.pi / 2 + float(rng.uniform(-0.35, 0.35)))
    if rng.random() < 0.4:  # a crossroads: the other arm goes the opposite way
        x, y = x - 70.0 * np.cos(direction), y - 70.0 * np.sin(direction)
    kerbless = _bare(section)
    lane = LaneSpec("driving", float(rng.uniform(2.5, 3.2)))
    lanes = CrossSection((lane,), (lane,), kerbless.centre, 0.0, 0.0)
    _add_road(
        root,
        2,
        [(0.0, float(x), float(y), float(direction), 140.0, 0.0, 0.0)],
        [(0.0, 0.0, 0.0, 0.0, 0.0)],
        [(0.0, lanes)],
    )


def _add_road(
    root: ElementTree.Element,
    number: int,
    geometries: list[Geometry],
    profile: list[tuple[float, float, float, float, float]],
    sections: list[tuple[float, CrossSection]],
) -> None:
    """Append one ``<road>`` element."""
    length = geometries[-1][0] + geometries[-1][4]
    road = ElementTree.SubElement(root, "road", name="", length=f"{length:.6f}", id=str(number))
    road.set("junction", "-1")
    plan = ElementTree.SubElement(road, "planView")
    for s, x, y, heading, piece_length, start, end in geometries:
        geometry = _numbers(plan, "geometry", s=s, x=x, y=y, hdg=heading, length=piece_length)
        if start == end == 0.0:
            ElementTree.SubElement(geometry, "line")
        elif start == end:
            _numbers(geometry, "arc", curvature=start)
        else:
            _numbers(geometry, "spiral", curvStart=start, curvEnd=end)
    elevation = ElementTree.SubElement(road, "elevationProfile")
    for s, a, b, c, d in profile:
        _numbers(elevation, "elevation", s=s, a=a, b=b, c=c, d=d)
    lanes = ElementTree.SubElement(road, "lanes")
    for s, section in sections:
        _add_section(lanes, s, section)


def _add_section(lanes: ElementTree.Element, s: float, section: CrossSection) -> None:
    element = _numbers(lanes, "laneSection", s=s)
    if section.left:
        left = ElementTree.SubElement(element, "left")
        for number in range(len(section.left), 0, -1):
            _add_lane(left, number, section.left[number - 1])
    _add_lane(ElementTree.SubElement(element, "center"), 0, section.centre)
    right = ElementTree.SubElement(element, "right")
    for number, lane in enumerate(section.right, start=1):
        _add_lane(right, -number, lane)


def _add_lane(parent: ElementTree.Element, number: int, spec: LaneSpec) -> None:
    lane = ElementTree.SubElement(parent, "lane", id=str(number), type=spec.kind, level="false")
    ElementTree.SubElement(lane, "link")
    if number != 0:
        _numbers(lane, "width", sOffset=0.0, a=spec.width, b=0.0, c=0.0, d=0.0)
    mark = _numbers(lane, "roadMark", sOffset=0.0, width=spec.mark_width)
    mark.set("type", spec.mark)
    mark.set("color", spec.colour)
    mark.set("weight", "standard")
    mark.set("laneChange", "none")


def _numbers(parent: ElementTree.Element, tag: str, **values: float) -> ElementTree.Element:
    attributes = {name: f"{value:.12g}" for name, value in values.items()}
    return ElementTree.SubElement(parent, tag, attributes)
