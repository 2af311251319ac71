"""Places on a map where a car may be, sorted by how the road ahead bends.

    places = find_places(carla_map)           # {"straight": [...], "bend": [...], ...}
    places["sharp"][0].pose

Works on any `carla.Map`, with or without a server.

What is a bend: on a road of radius R the lane has moved aside by d^2 / 2R at the distance d
(the circle's sagitta, for d well below R). At 30 m that is under a metre, a quarter of a lane,
from R = 500 m on: a camera sees a straight road. Below 60 m it is 7.5 m, two lanes: the road
leaves the middle of the picture.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal, NamedTuple

Bend = Literal["straight", "bend", "sharp", "junction"]
BENDS: tuple[Bend, ...] = ("straight", "bend", "sharp", "junction")

SPACING_M = 5.0
AHEAD_M = 30.0
STEP_M = 10.0
JUNCTION_AHEAD_M = 20.0
STRAIGHT_RADIUS_M = 500.0
SHARP_RADIUS_M = 60.0

MOST_PLACES = 4000
"""A large town has tens of thousands; every n-th of them is as good."""


class Pose(NamedTuple):
    """Where something is, in CARLA's world: metres, and degrees (pitch up, yaw clockwise)."""

    x: float
    y: float
    z: float
    pitch: float
    yaw: float
    roll: float


class Place(NamedTuple):
    """A point in the middle of a lane, and CARLA's waypoint there."""

    pose: Pose
    waypoint: Any


def find_places(carla_map: Any) -> dict[Bend, list[Place]]:
    """Return the places of a map by the bend ahead; kinds that the map has not are left out."""
    waypoints = sorted(carla_map.generate_waypoints(SPACING_M), key=_order)
    found: dict[Bend, list[Place]] = {bend: [] for bend in BENDS}
    for waypoint in waypoints[:: max(1, -(-len(waypoints) // MOST_PLACES))]:
        bend = bend_ahead(waypoint)
        if bend is not None:
            found[bend].append(Place(pose_of(waypoint.transform), waypoint))
    return {bend: places for bend, places in found.items() if places}


def bend_ahead(waypoint: Any) -> Bend | None:
    """Return how the lane bends in the next 30 m; None where it ends before."""
    yaws = [waypoint.transform.rotation.yaw]
    junction = waypoint.is_junction
    for step in range(1, int(AHEAD_M / STEP_M) + 1):
        following = waypoint.next(STEP_M)
        if not following:
            return None
        waypoint = following[0]
        junction = junction or (waypoint.is_junction and step * STEP_M <= JUNCTION_AHEAD_M)
        yaws.append(waypoint.transform.rotation.yaw)
    return "junction" if junction else bend_of(yaws)


def bend_of(yaws: list[float]) -> Bend:
    """Return how a lane bends whose heading is ``yaws`` (degrees), each 10 m on.

    >>> bend_of([0.0, 0.0, 0.5]), bend_of([0.0, 3.0, 6.0]), bend_of([350.0, 10.0])
    ('straight', 'bend', 'sharp')
    """
    turns = [abs(turn_deg(a, b)) for a, b in pairwise(yaws)]
    curvature = math.radians(max(turns)) / STEP_M
    if curvature * STRAIGHT_RADIUS_M < 1.0:
        return "straight"
    return "bend" if curvature * SHARP_RADIUS_M < 1.0 else "sharp"


def turn_deg(before: float, after: float) -> float:
    """Return the turn from one yaw to another, -180..180 degrees."""
    return (after - before + 180.0) % 360.0 - 180.0


def pose_of(transform: Any) -> Pose:
    """Return a `carla.Transform` as plain numbers, its angles within -180..180 degrees."""
    at, turned = transform.location, transform.rotation
    angles = (turn_deg(0.0, angle) for angle in (turned.pitch, turned.yaw, turned.roll))
    return Pose(at.x, at.y, at.z, *angles)


def _order(waypoint: Any) -> tuple[int, int, int, float]:
    return waypoint.road_id, waypoint.section_id, waypoint.lane_id, round(waypoint.s, 3)
