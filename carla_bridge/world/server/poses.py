"""Places and directions in CARLA's coordinates: where an actor is, and what is attached to it.

    car = Pose(x=10.0, y=0.0, z=0.0, yaw=90.0)
    camera = attached(car, Pose(x=1.5, z=2.0))      # 1.5 m ahead of the car's middle: y = 1.5
    rotation(car)                                   # the matrix from its directions to the world's

Left-handed: x forward, y right, z up, metres; yaw clockwise seen from above, pitch nose up, roll
right side down, degrees, applied as roll, then pitch, then yaw. The matrix is that of
LibCarla's `carla::geom::Transform` (carla/geom/Transform.h), which the client uses itself;
a test holds the two together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]


class Pose(NamedTuple):
    """A place in metres and a direction in degrees, in the order of CARLA's messages."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0


def rotation(pose: Pose) -> Matrix:
    """Return the matrix that turns what is seen from ``pose`` into the world's directions."""
    cp, sp = math.cos(math.radians(pose.pitch)), math.sin(math.radians(pose.pitch))
    cy, sy = math.cos(math.radians(pose.yaw)), math.sin(math.radians(pose.yaw))
    cr, sr = math.cos(math.radians(pose.roll)), math.sin(math.radians(pose.roll))
    return (
        (cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr),
        (cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr),
        (sp, -cp * sr, cp * cr),
    )


def turned(matrix: Matrix, vector: Vector) -> Vector:
    """Return a vector of the body's own directions in the world's."""
    a, b, c = vector
    (r0, r1, r2) = matrix
    return (
        r0[0] * a + r0[1] * b + r0[2] * c,
        r1[0] * a + r1[1] * b + r1[2] * c,
        r2[0] * a + r2[1] * b + r2[2] * c,
    )


def turned_back(matrix: Matrix, vector: Vector) -> Vector:
    """Return a vector of the world's directions in the body's own: the inverse of `turned`."""
    return turned((*zip(*matrix, strict=True),), vector)  # type: ignore[arg-type]


def attached(parent: Pose, relative: Pose) -> Pose:
    """Return where something is in the world that is fixed to ``parent`` at ``relative``."""
    if relative[3:] == (0.0, 0.0, 0.0):
        angles = parent[3:]
        matrix = rotation(parent)
    else:
        matrix = rotation(parent)
        angles = _angles(_product(matrix, rotation(relative)))
    x, y, z = turned(matrix, relative[:3])
    return Pose(parent.x + x, parent.y + y, parent.z + z, *angles)


def _product(first: Matrix, second: Matrix) -> Matrix:
    columns = [turned(first, column) for column in zip(*second, strict=True)]
    return (*zip(*columns, strict=True),)  # type: ignore[return-value]


def _angles(matrix: Matrix) -> Vector:
    """Return pitch, yaw and roll (degrees) of a matrix made by `rotation`."""
    sine = max(-1.0, min(1.0, matrix[2][0]))
    pitch = math.asin(sine)
    if abs(sine) > 1.0 - 1e-9:  # straight up or down: yaw and roll are one turn
        yaw, roll = math.atan2(-matrix[0][1], matrix[1][1]), 0.0
    else:
        yaw = math.atan2(matrix[1][0], matrix[0][0])
        roll = math.atan2(-matrix[2][1], matrix[2][2])
    return math.degrees(pitch), math.degrees(yaw), math.degrees(roll)
