"""OpenDRIVE in: lanes and painted lines as polylines, through CARLA's own parser.

    roads = read_roads(Path("Town01.xodr").read_text())
    roads.lanes[0].left   # (n, 3) metres, x east, y north, z up

`carla.Map` is the parser that CARLA itself uses; it knows geometry, elevation,
superelevation, lane widths and road marks, and needs no server. CARLA's y axis points
the other way (left-handed); here it is turned so that axes are right-handed.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_seg.errors import EdgeSegError, MissingRuntimeError

Points = npt.NDArray[np.float64]

STEP = 1.0
"""Metres between samples along a lane."""

DRIVABLE = {"Driving", "Shoulder", "Parking", "Biking", "Bidirectional", "Stop", "Border",
            "Restricted", "Entry", "Exit", "OffRamp", "OnRamp", "RoadWorks"}  # fmt: skip
"""Lane types that are paved like the road, and labelled so."""


@dataclass(frozen=True)
class Lane:
    """A strip of one lane between its ``left`` and ``right`` edges, in driving direction.

    ``s`` (n,) metres along the road; ``kind`` is CARLA's lane type ("Driving", "Sidewalk",
    ...); ``outer_left`` and ``outer_right`` say that nothing else lies beyond that edge.
    """

    kind: str
    left: Points
    right: Points
    s: npt.NDArray[np.float64]
    outer_left: bool
    outer_right: bool

    @property
    def centre(self) -> Points:
        """(n, 3) points halfway between the edges."""
        return (self.left + self.right) / 2.0


@dataclass(frozen=True)
class Line:
    """A painted line: centre points (n, 3), CARLA's marking type and colour, width in metres."""

    points: Points
    kind: str
    colour: str
    width: float


@dataclass(frozen=True)
class Roads:
    """What an OpenDRIVE text says, sampled."""

    lanes: list[Lane]
    lines: list[Line]

    def driving(self) -> list[Lane]:
        """Return the lanes that cars use, at least 20 m long: where a camera may stand."""
        return [lane for lane in self.lanes if lane.kind == "Driving" and len(lane.s) > 20]


def read_roads(xodr: str, name: str = "map") -> Roads:
    """Sample an OpenDRIVE text.

    Raises `EdgeSegError` where the text is not OpenDRIVE or holds no driving lane, and
    `MissingRuntimeError` where the ``carla`` package is not installed.
    """
    carla_map = _parse(xodr, name)
    groups: dict[tuple[int, int, int], list[Any]] = defaultdict(list)
    for waypoint in carla_map.generate_waypoints(STEP):
        groups[waypoint.road_id, waypoint.section_id, waypoint.lane_id].append(waypoint)
    lanes: list[Lane] = []
    lines: list[Line] = []
    for (road, section, lane_id), waypoints in sorted(groups.items()):
        waypoints = _complete(carla_map, sorted(waypoints, key=lambda w: w.s))
        if len(waypoints) < 2:
            continue
        if lane_id > 0:  # left lanes run against s
            waypoints.reverse()
        inner = lane_id + (1 if lane_id < 0 else -1)
        opposite = 1 if lane_id < 0 else -1
        has_inner = (road, section, inner) in groups
        has_opposite = inner == 0 and (road, section, opposite) in groups
        strip, right_line = _lane(waypoints), _marks(waypoints, "right")
        lines += right_line
        # The line between two lanes belongs to both; the lane on its left (or -1) draws it.
        if not has_inner and (lane_id < 0 or not has_opposite):
            lines += _marks(waypoints, "left")
        lanes += _with_sides(
            strip,
            waypoints,
            right=(road, section, lane_id + (-1 if lane_id < 0 else 1)) not in groups,
            left=not has_inner and not has_opposite,
        )
    roads = Roads(lanes, lines)
    if not roads.driving():
        raise EdgeSegError(
            f"OpenDRIVE '{name}' has no driving lane of 20 m or more: there is no road to render; "
            "give a map with lanes of type driving"
        )
    return roads


def _parse(xodr: str, name: str) -> Any:
    if "<OpenDRIVE" not in xodr[:4096] or "</OpenDRIVE>" not in xodr[-4096:]:
        raise EdgeSegError(
            f"OpenDRIVE '{name}' is not whole: it must begin with <OpenDRIVE> and end with "
            "</OpenDRIVE>; export or copy the .xodr file again"
        )
    # CARLA's library looks for its cache under HOME while it loads, and fails without it.
    os.environ.setdefault("HOME", os.path.expanduser("~") or os.curdir)
    try:
        import carla
    except ImportError as error:
        raise MissingRuntimeError(
            'reading OpenDRIVE needs the package carla (x86_64 only): pip install "edge-seg[carla]"'
        ) from error
    try:
        return carla.Map(name, xodr)
    except RuntimeError as error:
        raise EdgeSegError(
            f"OpenDRIVE '{name}' cannot be read ({error}); check the file in an OpenDRIVE viewer"
        ) from error


def _complete(carla_map: Any, waypoints: list[Any]) -> list[Any]:
    """Add a waypoint close to the lane section's end, where the sampling step overshoots it."""
    last = waypoints[-1]
    for part in range(15, 0, -1):
        end = carla_map.get_waypoint_xodr(last.road_id, last.lane_id, last.s + STEP * part / 16)
        if end is not None and end.section_id == last.section_id:
            return [*waypoints, end]
    return waypoints


def _lane(waypoints: list[Any]) -> Lane:
    """Turn waypoints in driving order into a strip."""
    rows = []
    for waypoint in waypoints:
        transform = waypoint.transform
        right = transform.get_right_vector()
        place = transform.location
        rows.append(
            (place.x, -place.y, place.z, right.x, -right.y, right.z, waypoint.lane_width / 2.0,
             waypoint.s)
        )  # fmt: skip
    table = np.array(rows)
    centre, sideways = table[:, :3], table[:, 3:6] * table[:, 6:7]
    left, right_edge = centre - sideways, centre + sideways
    kind = str(waypoints[0].lane_type)
    # Overlap the next section by a sample's rest, so that no slit shows between sections.
    overlap = (centre[-1] - centre[-2]) / max(np.linalg.norm(centre[-1] - centre[-2]), 1e-6) * 0.07
    left[-1] += overlap
    right_edge[-1] += overlap
    return Lane(kind, left, right_edge, table[:, 7], False, False)


def _with_sides(lane: Lane, waypoints: list[Any], right: bool, left: bool) -> list[Lane]:
    """Return the driving lane and whatever lanes of other types lie beyond its free edges."""
    strips = [lane]
    for free, side in ((right, "right"), (left, "left")):
        beside = waypoints
        outermost = 0
        for _ in range(4 if free else 0):
            beside = [getattr(w, f"get_{side}_lane")() for w in beside]
            if any(w is None or str(w.lane_type) in ("Driving", "NONE") for w in beside):
                break
            strips.append(_lane(beside))
            outermost = len(strips) - 1
        if free:
            last = strips[outermost]
            strips[outermost] = (
                replace(last, outer_right=True)
                if side == "right"
                else replace(last, outer_left=True)
            )
    return strips


def _marks(waypoints: list[Any], side: str) -> list[Line]:
    """Return the painted lines on one side of a lane, split where the road mark changes."""
    lane = _lane(waypoints)
    edge = lane.left if side == "left" else lane.right
    marks = [getattr(w, f"{side}_lane_marking") for w in waypoints]
    # A lane without any <roadMark> has no marking object at all.
    styles = [
        (str(m.type), str(m.color), float(m.width)) if m else ("NONE", "", 0.0) for m in marks
    ]
    lines: list[Line] = []
    start = 0
    for i in range(1, len(styles) + 1):
        if i < len(styles) and styles[i] == styles[start]:
            continue
        kind, colour, width = styles[start]
        end = min(i + 1, len(styles))
        if kind not in ("NONE", "Grass", "Curb", "Other") and end - start > 1:
            lines.append(Line(edge[start:end], kind, colour, width))
        start = i
    return lines
