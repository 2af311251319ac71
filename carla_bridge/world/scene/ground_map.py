"""What the ground gets from above: lamps' light by night, and how open the sky is.

    ground_map = GroundMap(display, casters)
    ground_map.survey(centre, lamps, headlights)
    ground_map.bind(root)      # shader inputs groundMap, groundBox

Under and beside what stands on the ground less of the sky is seen: ambient occlusion,
here from the blurred outlines of things seen from above. It is what makes a car stand
on the road instead of floating over it when the sky is overcast.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from panda3d import core

from carla_bridge.world.scene.display import Display, make_buffer
from carla_bridge.world.scene.shadow_map import LOWEST, REACH, SPAN, bordered, camera_above

SIZE = 512
CELL = 2.0 * REACH / SIZE
"""Metres a texel."""
CLOSED = 0.75
"""Share of the sky that is hidden in the middle of something large."""
BLUR = 0.8
"""Metres by which outlines are blurred."""
SUBPIXEL = 4
LAMP_HEIGHT = 7.0
"""Metres; light falls with the cube of the cosine below a lamp (point source on a plane)."""

Array = npt.NDArray[np.float64]
Light = npt.NDArray[np.float32]


class GroundMap:
    """A square texture, `REACH` metres to each side of its centre."""

    def __init__(self, display: Display, casters: Any) -> None:
        self._display = display
        self._casters = casters
        self._centre = np.zeros(3)
        self._lamps = np.zeros((SIZE, SIZE), np.float32)
        self._open = np.ones((SIZE, SIZE), np.float32)
        self._still: tuple[tuple[float, ...], npt.NDArray[np.uint8]] | None = None
        self._texture = bordered("ground", (0, 0, 0, 1))
        self._texture.setup2dTexture(SIZE, SIZE, core.Texture.TUnsignedByte, core.Texture.FRgba8)
        self._outline = core.Texture("outline")
        self._buffer = make_buffer(display, SIZE, SIZE)
        self._buffer.addRenderTexture(self._outline, core.GraphicsOutput.RTMCopyRam)
        self._buffer.setClearColor((1, 0, 0, 1))
        self._camera = camera_above(self._buffer, casters, REACH, frozenset({"ABOVE"}))
        self._buffer.setActive(False)

    def close(self) -> None:
        """Give the buffer back."""
        if self._buffer is not None:
            self._display.engine.removeWindow(self._buffer)
            self._buffer = None

    def survey(self, centre: Array, lamps: Array, headlights: Array) -> None:
        """Draw the map about ``centre`` (3,); ``lamps`` (n, 3), ``headlights`` (m, 6) metres."""
        self._centre = centre
        self._camera.setPos(float(centre[0]), float(centre[1]), 1000.0)
        self._casters.setShaderInput("castSlope", (0.0, 0.0))
        self._casters.setShaderInput("castHeight", (float(centre[2]) + LOWEST, SPAN))
        self._buffer.setActive(True)
        self._display.engine.renderFrame()
        self._buffer.setActive(False)
        pixels = np.frombuffer(memoryview(self._outline.getRamImage()), np.uint8)
        closed = 255 - pixels.reshape(SIZE, SIZE, 4)[:, :, 2]
        blurred = cv2.GaussianBlur(closed, (0, 0), BLUR / CELL)
        self._open = 1.0 - blurred.astype(np.float32) * np.float32(CLOSED / 255.0)
        self._lamps = self._pools(lamps) + self._beams(headlights)
        self._still = None

    def _cells(self, points: Array) -> Array:
        return np.asarray((points[:, :2] - self._centre[:2]) / CELL + SIZE / 2)

    def _pools(self, lamps: Array) -> Light:
        """Return the light of street lamps, 1 under one."""
        light = np.zeros((SIZE, SIZE), np.float32)
        radius = int(3.5 * LAMP_HEIGHT / CELL)
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1] * CELL
        pool = (1.0 + (x * x + y * y) / LAMP_HEIGHT**2) ** -1.5
        pool = np.clip(pool - pool[0, radius], 0.0, None).astype(np.float32)
        for column, row in self._cells(lamps).astype(int):
            _add(light, pool, row - radius, column - radius)
        return light

    def _beams(self, headlights: Array) -> Light:
        """Return the light in front of other vehicles, along their headlights' directions."""
        light = np.zeros((SIZE, SIZE), np.float32)
        for (column, row), ahead in zip(self._cells(headlights), headlights[:, 3:5], strict=True):
            for metres in (5.0, 9.0, 14.0, 20.0):
                at = np.array([column, row]) + ahead * metres / CELL
                size = 1.2 + 0.12 * metres
                cv2.circle(light, (int(at[0]), int(at[1])), int(size / CELL), 2.5 / metres, -1)
        return np.asarray(cv2.GaussianBlur(light, (0, 0), 1.2 / CELL), np.float32)

    def tint(
        self, colour: tuple[float, ...], root: Any, outlines: Array, headlights: Array
    ) -> None:
        """Upload the map with lamps of ``colour``; zeros by day.

        What moves comes on top: ``outlines`` (n, 7) of its place and heading in metres and
        radians, length, width and height, which close the sky, and its ``headlights`` (m, 6).
        """
        if self._still is None or self._still[0] != colour:
            pixels = np.empty((SIZE, SIZE, 4), np.uint8)
            self._shine(pixels, self._lamps, colour)
            pixels[:, :, 3] = self._open * 255.0
            self._still = (colour, pixels)
        pixels = self._still[1].copy()
        self._cover(pixels, outlines)
        if len(headlights) and max(colour) > 0.0:
            self._shine(pixels, self._lamps + self._beams(headlights), colour)
        image = np.frombuffer(memoryview(self._texture.modifyRamImage()), np.uint8)
        image.reshape(pixels.shape)[:] = pixels
        root.setShaderInput("groundMap", self._texture)

    def _shine(
        self, pixels: npt.NDArray[np.uint8], light: Light, colour: tuple[float, ...]
    ) -> None:
        for channel, level in zip((2, 1, 0), colour, strict=True):  # Panda3D keeps blue first
            pixels[:, :, channel] = np.clip(light * np.float32(level * 64.0), 0, 255)

    def _cover(self, pixels: npt.NDArray[np.uint8], outlines: Array) -> None:
        """Close the sky under things ``outlines`` (n, 7), each blurred in a square of its own."""
        for (column, row), (heading, length, width) in zip(
            self._cells(outlines), outlines[:, 3:6], strict=True
        ):
            half = int((np.hypot(length, width) / 2.0 + 3.0 * BLUR) / CELL) + 1
            left, top = int(np.floor(column)) - half, int(np.floor(row)) - half
            if min(left, top) < 0 or max(left, top) + 2 * half > SIZE:
                continue
            ahead = np.array([np.cos(heading), np.sin(heading)]) * length / 2.0
            aside = np.array([-np.sin(heading), np.cos(heading)]) * width / 2.0
            corners = np.array([ahead + aside, aside - ahead, -ahead - aside, ahead - aside])
            at = (corners / CELL + [column - left, row - top]) * (1 << SUBPIXEL)
            closed = np.zeros((2 * half, 2 * half), np.uint8)
            cv2.fillConvexPoly(closed, np.rint(at).astype(np.int32), 255, cv2.LINE_AA, SUBPIXEL)
            blurred = cv2.GaussianBlur(closed, (0, 0), BLUR / CELL).astype(np.float32)
            patch = pixels[top : top + 2 * half, left : left + 2 * half, 3]
            patch[:] = np.minimum(patch, 255.0 - blurred * CLOSED)

    def bind(self, root: Any) -> None:
        """Tell the shaders where the map lies."""
        box = (float(self._centre[0]), float(self._centre[1]), 0.5 / REACH)
        root.setShaderInput("groundBox", box)


def _add(canvas: Light, stamp: Light, row: int, column: int) -> None:
    """Add a stamp to a canvas at a place that may lie partly outside."""
    height, width = stamp.shape
    top, left = max(row, 0), max(column, 0)
    bottom, right = min(row + height, SIZE), min(column + width, SIZE)
    if top < bottom and left < right:
        canvas[top:bottom, left:right] += stamp[
            top - row : bottom - row, left - column : right - column
        ]
