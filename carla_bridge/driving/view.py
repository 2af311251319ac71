"""Where a pixel lies on the ground, and where the ground lies in the picture.

    view = View(640, 480, fov_deg=90.0, height_m=1.5, pitch_deg=-5.0, forward_m=0.5)
    view.pixels(np.array([[10.0, 1.75]]))     # 10 m ahead, 1.75 m to the left -> (1, 2): u, v
    view.ground(np.array([[200.0, 300.0]]))   # back again; NaN at or above the horizon
    view.sample(mask, x_m, y_m)               # the classes there, UNSEEN outside the picture

A pinhole camera over a plane (Hartley and Zisserman, Multiple View Geometry, 2nd ed., 8.1).
Pixel coordinates are continuous: u to the right, v down, (0, 0) the corner of the first pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from edge_seg.errors import EdgeSegError

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

UNSEEN = 254
"""What `View.sample` gives for ground that the picture does not show; no class has it."""
NEAREST_M = 0.2
"""Ground nearer to the camera's plane than this is not projected."""


@dataclass(frozen=True)
class View:
    """A camera on a car: ``fov_deg`` across, pitch up and yaw to the left positive, degrees.

    The camera stands ``forward_m`` ahead of the car's centre, ``aside_m`` to its left,
    ``height_m`` over the ground. Raises `EdgeSegError` for what sees no road.
    """

    width: int
    height: int
    fov_deg: float
    height_m: float
    pitch_deg: float
    forward_m: float
    aside_m: float = 0.0
    yaw_deg: float = 0.0

    def __post_init__(self) -> None:
        if self.width < 16 or self.height < 16:
            raise EdgeSegError(
                f"a camera of {self.width}x{self.height} is too small to drive by; "
                "take 320x240 or more"
            )
        if not 10.0 <= self.fov_deg <= 150.0:
            raise EdgeSegError(
                f"a field of view of {self.fov_deg} degrees is none to drive by; take 10 to 150"
            )
        if not self.height_m >= 0.1:
            raise EdgeSegError(
                f"a camera {self.height_m} m over the ground sees no road; mount it higher"
            )
        if not self.pitch_deg < self._half_height_deg:
            raise EdgeSegError(
                f"a camera pitched {self.pitch_deg} degrees up sees no road; "
                f"pitch it below {self._half_height_deg:.0f}"
            )

    @property
    def focal_px(self) -> float:
        """The focal length in pixels."""
        return self.width / 2.0 / math.tan(math.radians(self.fov_deg) / 2.0)

    @property
    def _half_height_deg(self) -> float:
        return math.degrees(math.atan(self.height / 2.0 / self.focal_px))

    @cached_property
    def axes(self) -> Floats:
        """Forward, left and up of the camera (3, 3) in vehicle coordinates, one a row."""
        pitch, yaw = math.radians(self.pitch_deg), math.radians(self.yaw_deg)
        forward = np.array(
            [math.cos(pitch) * math.cos(yaw), math.cos(pitch) * math.sin(yaw), math.sin(pitch)]
        )
        left = np.array([-math.sin(yaw), math.cos(yaw), 0.0])
        return np.stack([forward, left, np.cross(forward, left)])

    def pixels(self, ground_m: npt.ArrayLike) -> Floats:
        """Return (n, 2) u, v of ground points (n, 2); NaN for what lies behind the camera."""
        points = np.asarray(ground_m, float).reshape(-1, 2)
        u, v = self._project(points[:, 0], points[:, 1])
        return np.stack([u, v], axis=1)

    def ground(self, pixels: npt.ArrayLike) -> Floats:
        """Return (n, 2) ground points in metres of u, v (n, 2); NaN at or over the horizon."""
        uv = np.asarray(pixels, float).reshape(-1, 2)
        across = (self.width / 2.0 - uv[:, 0]) / self.focal_px
        up = (self.height / 2.0 - uv[:, 1]) / self.focal_px
        rays = np.stack([np.ones(len(uv)), across, up], axis=1) @ self.axes
        falling = rays[:, 2] < -1e-9
        reach = np.where(falling, self.height_m / np.where(falling, -rays[:, 2], 1.0), np.nan)
        return np.array([self.forward_m, self.aside_m]) + rays[:, :2] * reach[:, None]

    def sample(self, mask: Pixels, x_m: Floats, y_m: Floats) -> Pixels:
        """Return the classes at ground points, shaped like ``x_m``; `UNSEEN` where none is."""
        if mask.shape != (self.height, self.width):
            raise EdgeSegError(
                f"a mask of shape {mask.shape} does not fit the camera's "
                f"{(self.height, self.width)}; give the driver the camera that took it"
            )
        u, v = self._project(x_m, y_m)
        inside = (u >= 0) & (u < self.width) & (v >= 0) & (v < self.height)
        index = np.where(inside, v, 0.0).astype(np.int64) * self.width
        index += np.where(inside, u, 0.0).astype(np.int64)
        return np.where(inside, mask.ravel()[index], np.uint8(UNSEEN))

    def width_of_pixel_m(self, x_m: Floats) -> Floats:
        """Return how many metres across a pixel covers ``x_m`` ahead of the car."""
        return np.maximum(x_m - self.forward_m, 0.5) / self.focal_px

    def _project(self, x_m: Floats, y_m: Floats) -> tuple[Floats, Floats]:
        """Return u and v, shaped like the arguments; NaN behind the camera."""
        (fx, fy, fz), (lx, ly, _), (ux, uy, uz) = self.axes
        ahead, aside, drop = x_m - self.forward_m, y_m - self.aside_m, -self.height_m
        depth = fx * ahead + fy * aside + fz * drop
        scale = self.focal_px / np.where(depth > NEAREST_M, depth, np.nan)
        u = self.width / 2.0 - scale * (lx * ahead + ly * aside)
        v = self.height / 2.0 - scale * (ux * ahead + uy * aside + uz * drop)
        return u, v
