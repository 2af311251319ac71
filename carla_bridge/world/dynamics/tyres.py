"""Tyre forces: what an axle's contact with the road gives sideways, and how much there is in all.

    rolling_axle((21.9, 1.05), load=8000.0, drive=500.0, brake=0.0, slip=0.02)
    locked_axle((21.9, 1.05), load=8000.0, slip=0.02)

The lateral force is that of Fiala's brush model (Pacejka, "Tire and Vehicle Dynamics", 3rd ed.
2012, section 3.2): linear for small slip, a cubic up to where the whole contact slides, and the
friction limit beyond. Longitudinal force takes its share of the friction first; the rest, by
the friction circle, bounds the lateral one, as in Hindiyeh and Gerdes, "A controller framework
for autonomous drifting", J. Dyn. Sys. Meas. Control 136(5), 2014.
"""

from __future__ import annotations

import math
from typing import NamedTuple

ANTI_LOCK = 0.97
"""Share of the friction that anti-lock brakes and traction control use along the wheel; the
rest of the circle, a quarter of the friction, is left for steering."""


class Axle(NamedTuple):
    """Newtons at an axle's wheels: what drives, what can only hold back, what pushes sideways."""

    drive: float
    hold: float
    side: float


def rolling_axle(
    tyres: tuple[float, float], load: float, drive: float, brake: float, slip: float
) -> Axle:
    """Return the forces of wheels that roll, driven and braked within their friction.

    ``tyres`` are stiffness over load (1/rad) and friction; forces in N, ``slip`` in radians.
    """
    stiffness, friction = tyres
    grip = friction * load
    drive = min(max(drive, -ANTI_LOCK * grip), ANTI_LOCK * grip)
    hold = min(brake, ANTI_LOCK * grip)
    room = lateral_room(grip, abs(drive) + hold)
    return Axle(drive, hold, lateral_force(slip, stiffness * load, room))


def locked_axle(tyres: tuple[float, float], load: float, slip: float) -> Axle:
    """Return the forces of wheels that do not turn: all friction, against their slip."""
    stiffness, friction = tyres
    grip = friction * load
    side = lateral_force(slip, stiffness * load, grip * abs(math.sin(slip)))
    return Axle(0.0, grip * abs(math.cos(slip)), side)


def lateral_force(slip: float, stiffness: float, most: float) -> float:
    """Return newtons across a wheel that slips by an angle (radians); it opposes the slip.

    ``stiffness`` is N/rad at small slip, ``most`` the friction left for this direction (N).
    """
    if most <= 0.0:
        return 0.0
    # Beyond 80 degrees the tangent has no bounds, and the tyre slides anyway.
    slope = math.tan(min(max(slip, -1.4), 1.4))
    share = stiffness * abs(slope) / (3.0 * most)
    if share >= 1.0:
        return math.copysign(most, -slip)
    return -stiffness * slope * (1.0 - share + share * share / 3.0)


def lateral_room(grip: float, longitudinal: float) -> float:
    """Return newtons that the friction circle leaves beside a longitudinal force."""
    return math.sqrt(max(grip * grip - longitudinal * longitudinal, 0.0))
