"""CARLA's coordinates and a map's: left-handed with y to the right, right-handed with y north.

    to_carla(points)             # (n, 3) metres: y changes its sign
    heading_to_carla(heading)    # radians to the left -> degrees to the right

Both directions are the same change of sign, so each function is its own inverse but for the
unit. Facts: CARLA's docs, "Coordinates and transformations"; OpenDRIVE 1.4, section 4.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def to_carla(points: npt.ArrayLike) -> Array:
    """Return map points (..., 3) in CARLA's coordinates, metres; its own inverse."""
    return np.asarray(points, dtype=float) * [1.0, -1.0, 1.0]


def heading_to_carla(heading: float) -> float:
    """Return a map heading (radians, counter-clockwise from x) as CARLA's yaw in degrees."""
    return -float(np.degrees(heading))


def heading_from_carla(yaw: float) -> float:
    """Return CARLA's yaw (degrees, clockwise from x) as a map heading in radians."""
    return -float(np.radians(yaw))
