"""Steering along a track: its own curvature, and pure pursuit of what the car is off it.

    curvature_1pm = follow(track, look_ahead_m(speed_mps), rear_axle_m=1.4)
    steer = steer_command(curvature_1pm, wheelbase_m=2.9, max_steer_rad=1.2)

R. Coulter, "Implementation of the pure pursuit path tracking algorithm", CMU-RI-TR-92-01,
1992: drive the arc, tangent to the rear axle's heading, through a point of the path ahead.
Alone it cuts corners, the more the farther it looks (J. Snider, "Automatic steering methods for
autonomous automobile path tracking", CMU-RI-TR-09-08, 2009). So a car that were on the
track is pursued, too: what the two arcs differ by is feedback, the track's curvature feed-forward.
"""

from __future__ import annotations

import math

import numpy as np

from carla_bridge.driving.track import LENGTHS_M, ORIGIN, Floats, Motion, Track, into_frame

FED_FORWARD_AT_M, FED_FORWARD_M = -1.0, 1.5
"""The curvature fed forward is the mean over so much either way of a place about the car's
centre: wheels turn by some 0.4 rad/s (CommonRoad's vehicle models), so a bend that begins at
once has to be begun before it is there."""
LOOK_AHEAD_S, NEAREST_M, FARTHEST_M = 0.75, 4.0, 15.0
"""Look-ahead in time, and its bounds in metres. Below about 4 m a car weaves, and its turns
in junctions need no more."""


def look_ahead_m(speed_mps: float) -> float:
    """Return how far ahead of the rear axle to aim.

    >>> look_ahead_m(0.0), look_ahead_m(10.0), look_ahead_m(40.0)
    (4.0, 7.5, 15.0)
    """
    return min(max(LOOK_AHEAD_S * speed_mps, NEAREST_M), FARTHEST_M)


def follow(track: Track, look_ahead_m: float, rear_axle_m: float) -> float:
    """Return the curvature in 1/m, positive to the left, that keeps the car's centre on a track.

    The rear axle is ``rear_axle_m`` behind the origin, the centre. In a bend it runs inside
    the centre, and the car's heading lags behind the track's (R. Rajamani, Vehicle Dynamics and
    Control, 2nd ed. 2012, 2.2: the slip angle of the kinematic model).
    """
    near = np.abs(LENGTHS_M - FED_FORWARD_AT_M) <= FED_FORWARD_M
    bend = float(track.curvatures_1pm[near].mean())
    (x, y), lag = track.points_m[ORIGIN], math.asin(min(max(bend * rear_axle_m, -0.9), 0.9))
    heading = float(track.headings_rad[ORIGIN]) - lag
    ideal = Motion(
        float(x) - rear_axle_m * math.cos(heading),
        float(y) - rear_axle_m * math.sin(heading),
        heading,
    )
    real = Motion(-rear_axle_m, 0.0, 0.0)
    pursued = [pursue(into_frame(track.points_m, axle), look_ahead_m) for axle in (real, ideal)]
    return bend / math.cos(lag) + pursued[0] - pursued[1]


def pursue(points_m: Floats, look_ahead_m: float) -> float:
    """Return the curvature in 1/m of the arc from the origin, heading along x, onto a path.

    ``points_m`` (n, 2) is the path in driving order. Where it ends too soon its end is the goal.

    >>> pursue(np.array([[0.0, 1.0], [20.0, 1.0]]), 5.0)
    0.08
    """
    distances = np.hypot(points_m[:, 0], points_m[:, 1])
    nearest = int(np.argmin(distances))
    beyond = nearest + np.flatnonzero(distances[nearest:] >= look_ahead_m)
    if not len(beyond):
        goal = points_m[-1]
    elif beyond[0] == 0:
        goal = points_m[0]
    else:
        goal = _at_distance(points_m[beyond[0] - 1], points_m[beyond[0]], look_ahead_m)
    # A goal nearer than the look-ahead would call for wild arcs.
    return 2.0 * float(goal[1]) / max(float(goal @ goal), look_ahead_m**2)


def _at_distance(inside: Floats, outside: Floats, distance_m: float) -> Floats:
    """Return where a segment from inside a circle around the origin leaves it."""
    step = outside - inside
    a, b = float(step @ step), float(inside @ step)
    c = float(inside @ inside) - distance_m**2
    share = (-b + math.sqrt(max(b * b - a * c, 0.0))) / a
    return np.asarray(inside + share * step)


def steer_command(curvature_1pm: float, wheelbase_m: float, max_steer_rad: float) -> float:
    """Return CARLA's steer, -1..1 and positive to the RIGHT, for a curvature to the left.

    >>> steer_command(0.0, 2.9, 1.0), steer_command(-9.0, 2.9, 1.0)
    (0.0, 1.0)
    """
    angle_rad = math.atan(curvature_1pm * wheelbase_m)
    return min(max(0.0 - angle_rad / max_steer_rad, -1.0), 1.0)
