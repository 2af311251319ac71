"""OpenDRIVE text of roads, their lane sections and the junctions between them.

    write_opendrive("street", [RoadText(1, pieces, heights, sections, speed=50)], turns=[])

The format: ASAM OpenDRIVE 1.4, https://www.asam.net/standards/detail/opendrive/ .
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.etree import ElementTree

from carla_bridge.world.random_roads.alignment import Cubic, Piece
from carla_bridge.world.random_roads.junctions import Arm, Turn
from carla_bridge.world.random_roads.kinds import CrossSection, LaneSpec

Element = ElementTree.Element


@dataclass(frozen=True)
class RoadText:
    """What is written of one road; ``turn`` is there for a junction's connecting road.

    ``sections`` are (s in metres, cross-section); ``leans`` the superelevation in radians.
    """

    number: int
    pieces: list[Piece]
    heights: list[Cubic]
    sections: list[tuple[float, CrossSection]]
    speed: int
    leans: list[Cubic] = field(default_factory=list)
    junction_before: int | None = None
    junction_after: int | None = None
    turn: Turn | None = None

    @property
    def length(self) -> float:
        """Metres."""
        return self.pieces[-1].s + self.pieces[-1].length


def write_opendrive(name: str, roads: list[RoadText], turns: list[Turn]) -> str:
    """Return the text; connecting roads are those with a turn, in the order of ``turns``."""
    root = ElementTree.Element("OpenDRIVE")
    header = ElementTree.SubElement(root, "header", revMajor="1", revMinor="4", name=name)
    # Parsers ask for a map projection; any will do, the roads are in metres.
    ElementTree.SubElement(header, "geoReference").text = "+lat_0=0 +lon_0=0"
    by_number = {road.number: road for road in roads}
    junction = next((r.junction_after for r in roads if r.junction_after is not None), None)
    for road in roads:
        _add_road(root, road, junction, by_number)
    if junction is not None:
        _add_junction(root, junction, roads)
    return ElementTree.tostring(root, encoding="unicode")


def _add_junction(root: Element, number: int, roads: list[RoadText]) -> None:
    junction = ElementTree.SubElement(root, "junction", id=str(number), name="")
    connecting = [road for road in roads if road.turn is not None]
    for i, road in enumerate(connecting):
        assert road.turn is not None
        connection = ElementTree.SubElement(
            junction,
            "connection",
            id=str(i),
            incomingRoad=str(road.turn.origin.road),
            connectingRoad=str(road.number),
            contactPoint="start",
        )
        for lane, (origin, _) in enumerate(road.turn.links, start=1):
            ElementTree.SubElement(connection, "laneLink", {"from": str(origin), "to": str(-lane)})


def _add_road(
    root: Element, road: RoadText, junction: int | None, others: dict[int, RoadText]
) -> None:
    element = ElementTree.SubElement(
        root,
        "road",
        name="",
        length=f"{road.length:.9f}",
        id=str(road.number),
        junction=str(junction) if road.turn is not None else "-1",
    )
    link = ElementTree.SubElement(element, "link")
    for end, where in (("predecessor", road.junction_before), ("successor", road.junction_after)):
        if where is not None:
            ElementTree.SubElement(link, end, elementType="junction", elementId=str(where))
    if road.turn is not None:
        _link(link, "predecessor", road.turn.origin)
        _link(link, "successor", road.turn.goal)
    kind = "town" if road.speed <= 60 else "rural" if road.speed < 110 else "motorway"
    ElementTree.SubElement(element, "type", s="0", type=kind)
    plan = ElementTree.SubElement(element, "planView")
    for piece in road.pieces:
        _add_geometry(plan, piece)
    elevation = ElementTree.SubElement(element, "elevationProfile")
    _add_cubics(elevation, "elevation", road.heights)
    lateral = ElementTree.SubElement(element, "lateralProfile")
    _add_cubics(lateral, "superelevation", road.leans)
    lanes = ElementTree.SubElement(element, "lanes")
    _Sections(lanes, road).write()


def _link(parent: Element, end: str, arm: Arm) -> None:
    ElementTree.SubElement(
        parent,
        end,
        elementType="road",
        elementId=str(arm.road),
        contactPoint="start" if arm.starts else "end",
    )


def _add_geometry(plan: Element, piece: Piece) -> None:
    geometry = _numbers(
        plan, "geometry", s=piece.s, x=piece.x, y=piece.y, hdg=piece.heading, length=piece.length
    )
    if piece.start == piece.end == 0.0:
        ElementTree.SubElement(geometry, "line")
    elif piece.start == piece.end:
        _numbers(geometry, "arc", curvature=piece.start)
    else:
        _numbers(geometry, "spiral", curvStart=piece.start, curvEnd=piece.end)


def _add_cubics(parent: Element, tag: str, records: list[Cubic]) -> None:
    for s, a, b, c, d in records:
        _numbers(parent, tag, s=s, a=a, b=b, c=c, d=d)


class _Sections:
    """Writes the lane sections of a road; lanes link to what their slot holds next door."""

    def __init__(self, lanes: Element, road: RoadText) -> None:
        self._lanes = lanes
        self._road = road

    def write(self) -> None:
        sections = self._road.sections
        ends = [s for s, _ in sections[1:]] + [self._road.length]
        for i, ((s, section), end) in enumerate(zip(sections, ends, strict=True)):
            before = sections[i - 1][1] if i else None
            after = sections[i + 1][1] if i + 1 < len(sections) else None
            element = _numbers(self._lanes, "laneSection", s=s)
            length = end - s
            if _width(section.left):
                left = ElementTree.SubElement(element, "left")
                self._side(left, section.left, 1, length, _left(before), _left(after))
            _add_lane(ElementTree.SubElement(element, "center"), 0, section.centre, length)
            if _width(section.right):
                right = ElementTree.SubElement(element, "right")
                self._side(right, section.right, -1, length, _right(before), _right(after))

    def _side(
        self,
        parent: Element,
        lanes: tuple[LaneSpec, ...],
        sign: int,
        length: float,
        before: tuple[LaneSpec, ...],
        after: tuple[LaneSpec, ...],
    ) -> None:
        numbers, earlier, later = _numbered(lanes), _numbered(before), _numbered(after)
        turn = self._road.turn
        slots = sorted(numbers, reverse=sign > 0)
        for slot in slots:
            number = numbers[slot]
            neighbours = {"predecessor": earlier.get(slot), "successor": later.get(slot)}
            ids = {end: sign * n for end, n in neighbours.items() if n is not None}
            if turn is not None and slot < len(turn.links):
                ids["predecessor"], ids["successor"] = turn.links[slot]
            _add_lane(parent, sign * number, lanes[slot], length, ids)


def _left(section: CrossSection | None) -> tuple[LaneSpec, ...]:
    return () if section is None else section.left


def _right(section: CrossSection | None) -> tuple[LaneSpec, ...]:
    return () if section is None else section.right


def _width(lanes: tuple[LaneSpec, ...]) -> float:
    return sum(lane.width + lane.last for lane in lanes)


def _numbered(lanes: tuple[LaneSpec, ...]) -> dict[int, int]:
    """Return the number of each slot that has any width, from 1 outwards."""
    there = [i for i, lane in enumerate(lanes) if lane.width + lane.last > 0.0]
    return {slot: number for number, slot in enumerate(there, start=1)}


def _add_lane(
    parent: Element,
    number: int,
    spec: LaneSpec,
    length: float,
    neighbours: dict[str, int] | None = None,
) -> None:
    lane = ElementTree.SubElement(parent, "lane", id=str(number), type=spec.kind, level="false")
    link = ElementTree.SubElement(lane, "link")
    for end in ("predecessor", "successor"):
        if neighbours and end in neighbours:
            ElementTree.SubElement(link, end, id=str(neighbours[end]))
    if number != 0:  # from one width to the other, level at both ends
        change = (spec.last - spec.width) / max(length, 1e-6) ** 2
        _numbers(
            lane,
            "width",
            sOffset=0.0,
            a=spec.width,
            b=0.0,
            c=3.0 * change,
            d=-2.0 * change / max(length, 1e-6),
        )
    mark = _numbers(lane, "roadMark", sOffset=0.0, width=spec.mark_width)
    mark.set("type", spec.mark)
    mark.set("color", spec.colour)
    mark.set("weight", "standard")
    mark.set("laneChange", "none")
    if spec.surface:
        ElementTree.SubElement(
            lane, "material", sOffset="0", surface=spec.surface, friction="0.8", roughness="0.01"
        )


def _numbers(parent: Element, tag: str, **values: float) -> Element:
    attributes = {name: f"{value:.12g}" for name, value in values.items()}
    return ElementTree.SubElement(parent, tag, attributes)
