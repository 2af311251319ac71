"""The geometry of a real lens: Brown-Conrady distortion, out of a pinhole picture.

    lens = Optics(width=640, height=480, field=80.0, distortion=(-0.12, 0.02))
    lens.render_field()               # degrees to render, so that no border is empty: 82.6
    straight, nearest = lens.maps()   # for cv2.remap of the picture, of the labels

A ray at tan(angle) = r off the axis meets the sensor at r (1 + k1 r^2 + k2 r^4) focal lengths
(D. C. Brown, "Decentering distortion of lenses", 1966; OpenCV's model with two terms).
``field`` is what the distorted frame shows from the middle of its left to the middle of its
right side, so that two lenses of one field see the same road.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MARGIN = 1.1
"""How far beyond the corner, in corner radii, a lens must still see further with each pixel."""
COARSE = 8
"""Pixels between the points at which maps are computed; in between they are interpolated: the
error is a few hundredths of a pixel, and a map takes a tenth of the time."""
FINE_BELOW = 256
"""Frames with a side shorter than this get their maps pixel by pixel."""
ENDLESS = 1e4
"""Tangent that stands for no limit: what is 0.006 degrees off a right angle."""


@dataclass(frozen=True)
class Optics:
    """A lens before a sensor of ``width`` x ``height`` pixels; ``field`` in degrees across."""

    width: int
    height: int
    field: float
    distortion: tuple[float, float]

    @functools.cached_property
    def focal(self) -> float:
        """The focal length in pixels, as the middle of the frame has it."""
        return float(self.width / 2.0 / self._distorted(self._edge))

    def folds(self) -> bool:
        """Say whether two directions meet in one pixel, in the frame or just beyond it."""
        return bool(self._edge >= self.limit or self._corner > self._distorted(self.limit))

    def render_field(self) -> float:
        """Return the degrees across of the pinhole picture that covers the whole frame.

        The picture is of the frame's own size, so that one buffer serves every camera.
        """
        if self.distortion == (0.0, 0.0):
            return self.field
        return math.degrees(2.0 * math.atan(self.width / 2.0 / self.render_focal))

    @functools.cached_property
    def render_focal(self) -> float:
        """The focal length at which the frame's outline just fits into the picture."""
        share = np.linspace(0.0, 1.0, 33)
        half_width, half_height = self.width / 2.0, self.height / 2.0
        along_right = np.hypot(half_width, share * half_height) / self.focal
        along_top = np.hypot(share * half_width, half_height) / self.focal
        right = half_width / self.focal * self.undistortion(along_right).max()
        top = half_height / self.focal * self.undistortion(along_top).max()
        return float(min(half_width / right, half_height / top))

    def undistortion(self, radius: Floats) -> Floats:
        """Return a ray's tangent per ``radius`` at which it met the sensor, in focal lengths."""
        tangents, radii = self._table
        nowhere = radius < 1e-9  # on the axis, where nothing is moved
        found = np.interp(radius, radii, tangents) / np.where(nowhere, 1.0, radius)
        return np.where(nowhere, 1.0, found)

    def maps(self) -> tuple[tuple[Any, Any], Any]:
        """Return cv2.remap's maps from picture to frame: (both for linear, one for nearest)."""
        return _maps(self)

    def _distorted(self, radius: Any) -> Any:
        k1, k2 = self.distortion
        square = radius * radius
        return radius * (1.0 + square * (k1 + square * k2))

    @functools.cached_property
    def _edge(self) -> float:
        return math.tan(math.radians(self.field) / 2.0)

    @functools.cached_property
    def _corner(self) -> float:
        """The frame's corner, and ``MARGIN`` beyond, in focal lengths off the middle."""
        return MARGIN * math.hypot(self.width, self.height) / 2.0 / self.focal

    @functools.cached_property
    def limit(self) -> float:
        """The tangent at which the image turns back on itself.

        There the derivative 1 + 3 k1 q + 5 k2 q^2, with q = tangent^2, has its first zero.
        """
        k1, k2 = self.distortion
        # The zeros' inverses solve q'^2 + 3 k1 q' + 5 k2 = 0; the first zero has the largest.
        inside = 9.0 * k1 * k1 - 20.0 * k2
        inverse = (-3.0 * k1 + math.sqrt(inside)) / 2.0 if inside >= 0.0 else 0.0
        return min(1.0 / math.sqrt(inverse), ENDLESS) if inverse > 0.0 else ENDLESS

    @functools.cached_property
    def _table(self) -> tuple[Floats, Floats]:
        """Tangents and the radii they meet the sensor at, from the middle to past the corner."""
        reach = self._corner
        while reach < self.limit and self._distorted(reach) < self._corner:
            reach *= 1.25
        tangents = np.linspace(0.0, min(reach, self.limit), 1024)
        return tangents, self._distorted(tangents)


@functools.lru_cache(maxsize=8)
def _maps(lens: Optics) -> tuple[tuple[Any, Any], Any]:
    """Compute the maps on a coarse grid with a cell to spare around it, and enlarge them."""
    fine = min(lens.width, lens.height) < FINE_BELOW
    step, spare = (1, 0) if fine else (COARSE, 1)
    columns, rows = -(-lens.width // step) + 2 * spare, -(-lens.height // step) + 2 * spare
    # Pixel i reaches from i to i + 1: its middle is at i + 0.5, a cell's in the cell's middle.
    across = (np.arange(columns) - spare + 0.5) * step - lens.width / 2.0
    down = ((np.arange(rows) - spare + 0.5) * step - lens.height / 2.0)[:, None]
    factor = lens.undistortion(np.hypot(across, down) / lens.focal)
    factor *= lens.render_focal / lens.focal
    places: Any = np.empty((rows, columns, 2), np.float32)
    places[..., 0] = across * factor + (lens.width - 1) / 2.0
    places[..., 1] = down * factor + (lens.height - 1) / 2.0
    if step > 1:
        places = cv2.resize(places, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR)
    first = spare * step
    places = places[first : first + lens.height, first : first + lens.width]
    nothing: Any = None
    straight, fractions = cv2.convertMaps(places, nothing, cv2.CV_16SC2)
    return (straight, fractions), places
