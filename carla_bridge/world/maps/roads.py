"""OpenDRIVE in: lanes and painted lines as polylines, whatever the text holds.

    roads = read_roads(Path("Town01.xodr").read_text())
    roads.lanes[0].left   # (n, 3) metres, x east, y north, z up

The text is read by this project alone, in Python: a hostile one can be refused, but it
cannot crash or stall the process as a native parser can. Tests hold the result against
CARLA's own parser, `carla.Map`, lane by lane.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from carla_bridge.world.maps.check import Element, parse_opendrive
from carla_bridge.world.maps.corners import add_corners
from carla_bridge.world.maps.fills import junction_fills
from carla_bridge.world.maps.lane_sections import MOST_METRES, STEP, Road, read_road
from carla_bridge.world.maps.lane_tracks import Strip, Stroke
from carla_bridge.world.maps.lanes import DRIVABLE, Lane, Line, Points, Roads
from carla_bridge.world.maps.overlap import settle, with_free_edges
from edge_seg.errors import EdgeSegError

__all__ = ["DRIVABLE", "Lane", "Line", "Points", "Roads", "STEP", "read_roads"]

MOST_SECTIONS = 50_000
FARTHEST = 200_000.0
"""Metres across a map."""
LONGEST_STEP = 60.0
"""Metres between samples 1 m apart along a road: what is farther apart is no road."""
OFF_ORIGIN = 20_000.0
"""Metres from the origin beyond which a map is moved: graphics count in single precision."""
REMEMBERED = 4
"""Maps kept; reading a town takes seconds."""
SMALL = 200_000
"""Characters below which a text is read anew each time."""


def read_roads(xodr: str, name: str = "map") -> Roads:
    """Sample an OpenDRIVE text.

    A map far from the origin is moved towards it by whole kilometres. Raises `EdgeSegError`,
    in one line, where the text is no OpenDRIVE, is too large, or holds no driving lane.
    """
    return _remembered(xodr, name) if len(xodr) > SMALL else _read(xodr, name)


def _read(xodr: str, name: str) -> Roads:
    root = parse_opendrive(xodr, name)
    found: list[Road] = []
    metres = 0.0
    elements = root.findall("road")
    if sum(len(e.findall("lanes/laneSection")) for e in elements) > MOST_SECTIONS:
        raise EdgeSegError(
            f"OpenDRIVE '{name}' has more than {MOST_SECTIONS} lane sections: cut the map"
        )
    for element in elements:
        road = _road(element, name)
        metres += STEP * sum(len(strip.s) for strip in road.strips)
        if metres > MOST_METRES:
            raise EdgeSegError(
                f"OpenDRIVE '{name}' has more than {MOST_METRES / 1000:.0f} km of lanes: "
                "cut the map"
            )
        found.append(road)
    try:
        roads = _assemble(found)
    except EdgeSegError as error:
        raise EdgeSegError(f"OpenDRIVE '{name}': {error}") from error
    if not roads.driving():
        raise EdgeSegError(
            f"OpenDRIVE '{name}' has no driving lane of 20 m or more: there is no road to render; "
            "give a map with lanes of type driving"
        )
    return roads


_remembered = lru_cache(maxsize=REMEMBERED)(_read)


def _road(element: Element, name: str) -> Road:
    where = f"OpenDRIVE '{name}', road {element.get('id', '')[:20]!r}"
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            road = read_road(element)
    except EdgeSegError as error:
        raise EdgeSegError(f"{where}: {error}") from error
    for strip in road.strips:
        for edge in (strip.inner, strip.outer):
            step = np.abs(np.diff(edge, axis=0)).max(initial=0.0)
            if not step < LONGEST_STEP:
                raise EdgeSegError(
                    f"{where}: it jumps by {step:.3g} m; check its geometry and elevation"
                )
    return road


def _assemble(found: list[Road]) -> Roads:
    """Turn roads into lanes and lines, and settle where they meet."""
    # Of the connecting roads, right turns come first: theirs is the pavement round the corner.
    found = sorted(found, key=lambda road: (road.junction != "-1", _turn(road)))
    lanes: list[Lane] = []
    lines: list[Line] = []
    members: dict[str, set[int]] = {}
    for number, road in enumerate(add_corners(found)):
        lanes += [_lane(strip, road, number) for strip in road.strips]
        lines += [_line(stroke) for stroke in road.strokes]
        if road.junction != "-1":
            members.setdefault(road.junction, set()).add(number)
    lanes, lines = _near_origin(lanes, lines)
    lanes = settle(lanes)
    by_road: dict[int, list[int]] = {}
    for i, lane in enumerate(lanes):
        by_road.setdefault(lane.road, []).append(i)
    junctions = [
        [i for r in sorted(roads) for i in by_road.get(r, [])] for roads in members.values()
    ]
    fills = junction_fills(lanes, junctions)
    return Roads(with_free_edges(lanes, fills), lines, fills)


def _turn(road: Road) -> float:
    """Return by how much (radians) a road's outer lane turns away from its outer side."""
    if not road.strips:
        return 0.0
    edge = road.strips[-1].outer[:, :2]
    first, last = edge[1] - edge[0], edge[-1] - edge[-2]
    turn = np.arctan2(first[0] * last[1] - first[1] * last[0], first @ last)
    return -float(turn) * road.strips[-1].side


def _lane(strip: Strip, road: Road, number: int) -> Lane:
    """Turn a strip around so that it runs as traffic does."""
    onwards = (strip.side < 0) != road.left_hand
    rows = slice(None) if onwards else slice(None, None, -1)
    edges = (strip.inner[rows], strip.outer[rows])
    beside, kerbs = strip.beside, strip.kerbs
    if road.left_hand:  # the outer edge is on the left
        edges, beside, kerbs = edges[::-1], beside[::-1], kerbs[::-1]
    whole = max(float(x.s[-1]) for x in road.strips)
    at_end = strip.s[-1] >= whole - 1e-6 if onwards else strip.s[0] <= 1e-6
    return Lane(
        strip.kind,
        edges[0],
        edges[1],
        strip.s[rows],
        outer_left=not beside[0],
        outer_right=not beside[1],
        junction=road.junction != "-1",
        ends_at_junction=at_end and road.junctions[1 if onwards else 0],
        beside_left=beside[0],
        beside_right=beside[1],
        kerb_left=kerbs[0],
        kerb_right=kerbs[1],
        surface=strip.surface,
        road=number,
    )


def _line(stroke: Stroke) -> Line:
    # Marks are named from the inside out: from left to right, seen this way.
    points = stroke.points if stroke.side < 0 else stroke.points[::-1]
    return Line(points, *stroke.style)


def _near_origin(lanes: list[Lane], lines: list[Line]) -> tuple[list[Lane], list[Line]]:
    """Move a map in far coordinates (UTM, say) by whole kilometres."""
    if not lanes:
        return lanes, lines
    ends = np.concatenate([lane.left[[0, len(lane.s) // 2, -1]] for lane in lanes])
    low, high = ends.min(axis=0), ends.max(axis=0)
    if (high - low).max() > FARTHEST:
        raise EdgeSegError(f"it is more than {FARTHEST / 1000:.0f} km across: cut the map")
    middle = (low + high) / 2.0
    if np.abs(middle).max() < OFF_ORIGIN:
        return lanes, lines
    shift = np.round(middle, -3)
    lanes = [replace(x, left=x.left - shift, right=x.right - shift) for x in lanes]
    return lanes, [replace(x, points=x.points - shift) for x in lines]
