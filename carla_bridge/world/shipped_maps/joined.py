"""OpenDRIVE text of whole road networks: roads that go on in others, many junctions, limits.

    joined("Ring", roads, speeds={1: 70}, joints=[(1, 2), (2, 1)])

The writer of random roads (`carla_bridge.world.random_roads.write`) writes a road at a time and
one junction; what a network needs beyond that is added here. Rules: ASAM OpenDRIVE 1.4,
https://www.asam.net/standards/detail/opendrive/ .
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree

from carla_bridge.world.random_roads.junctions import Arm
from carla_bridge.world.random_roads.write import RoadText, write_opendrive

Element = ElementTree.Element

PROJECTION = (
    "+proj=tmerc +lat_0=0 +lon_0=0 +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m "
    "+geoidgrids=egm96_15.gtx +vunits=m +no_defs"
)
"""Transverse Mercator about latitude and longitude 0, as CARLA's own towns have it."""


def joined(name: str, roads: list[RoadText], joints: Iterable[tuple[int, int]] = ()) -> str:
    """Return the text of a network.

    ``joints`` are pairs of road numbers: the end of the first is the start of the second, and
    their lanes of the same number go on. Roads with a turn belong to the junction that the turn
    begins at; limits are the roads' own.
    """
    root = ElementTree.fromstring(write_opendrive(name, roads, []))
    _in(root, "header/geoReference").text = PROJECTION
    elements = {int(e.get("id", "")): e for e in root.findall("road")}
    for road in roads:
        limit = {"max": str(road.speed), "unit": "km/h"}
        ElementTree.SubElement(_in(elements[road.number], "type"), "speed", limit)
    for first, second in joints:
        _join(elements[first], elements[second])
    _add_junctions(root, roads, elements)
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _in(element: Element, path: str) -> Element:
    found = element.find(path)
    assert found is not None, path
    return found


def _join(first: Element, second: Element) -> None:
    """Let one road go on in another, lane by lane."""
    _link(first, "successor", second, "start")
    _link(second, "predecessor", first, "end")
    before = _lanes(first.findall("lanes/laneSection")[-1])
    after = _lanes(second.findall("lanes/laneSection")[0])
    for number in sorted(before.keys() & after.keys() - {"0"}):
        ElementTree.SubElement(_in(before[number], "link"), "successor", id=number)
        ElementTree.SubElement(_in(after[number], "link"), "predecessor", id=number)


def _link(road: Element, end: str, other: Element, contact: str) -> None:
    attributes = {"elementType": "road", "elementId": other.get("id", ""), "contactPoint": contact}
    ElementTree.SubElement(_in(road, "link"), end, attributes)


def _lanes(section: Element) -> dict[str, Element]:
    return {lane.get("id", ""): lane for lane in section.iter("lane")}


def _add_junctions(root: Element, roads: list[RoadText], elements: dict[int, Element]) -> None:
    """Write each junction with the connecting roads that begin at its arms."""
    for old in root.findall("junction"):
        root.remove(old)
    by_number = {road.number: road for road in roads}
    junctions: dict[int, Element] = {}
    for road in roads:
        if road.turn is None:
            continue
        number = _junction_at(road.turn.origin, by_number)
        elements[road.number].set("junction", str(number))
        if number not in junctions:
            junctions[number] = ElementTree.SubElement(
                root, "junction", id=str(number), name=f"junction {number}"
            )
        junction = junctions[number]
        connection = ElementTree.SubElement(
            junction,
            "connection",
            id=str(len(junction)),
            incomingRoad=str(road.turn.origin.road),
            connectingRoad=str(road.number),
            contactPoint="start",
        )
        for lane, (origin, _) in enumerate(road.turn.links, start=1):
            ElementTree.SubElement(connection, "laneLink", {"from": str(origin), "to": str(-lane)})


def _junction_at(arm: Arm, roads: dict[int, RoadText]) -> int:
    road = roads[arm.road]
    number = road.junction_before if arm.starts else road.junction_after
    assert number is not None
    return number
