"""A camera of a scene: where it stands, and what it saw.

    camera = scene.camera(640, 480, depth=True)
    camera.place((0.0, 0.0, 1.4), heading=0.0, pitch=-2.0, roll=0.0, field=60.0)
    scene.render([camera])
    camera.picture()    # (480, 640, 3) uint8 BGR, square root of light
    camera.depth()      # (480, 640) float32 metres along the view

Picture and labels come from one pass; what is not asked for is not read back, which
is most of the cost of a frame in software OpenGL.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from panda3d import core

from carla_bridge.world.scene.display import Display, make_buffer
from edge_seg.errors import EdgeSegError

NEAR, FAR = 0.25, 5000.0
"""Metres between which things are drawn."""
PICTURE_MASK, MIRROR_MASK = core.BitMask32.bit(0), core.BitMask32.bit(1)
"""What is hidden from the second mask does not show in a wet road."""
MIRROR_SCALE = 2
"""A wet road's mirror image is drawn at this fraction of the frame's size: it is blurred anyway."""
HEADLIGHTS_BELOW = 0.7
"""Metres from the camera down to its own car's headlights."""
SMALLEST, LARGEST = 16, 4096

Pixels = npt.NDArray[np.uint8]


def check_size(width: int, height: int) -> None:
    """Refuse frames that no buffer can hold, in one line."""
    if not (SMALLEST <= width <= LARGEST and SMALLEST <= height <= LARGEST):
        raise EdgeSegError(
            f"frames of {width}x{height} cannot be rendered; choose {SMALLEST} to {LARGEST} "
            "pixels a side"
        )


def check_place(
    eye: npt.ArrayLike, heading: float, pitch: float, roll: float, field: float
) -> tuple[float, float, float]:
    """Return ``eye`` as floats; refuse what is no place to stand, or no field of view."""
    x, y, z = (float(value) for value in np.asarray(eye, dtype=float))
    if not np.isfinite([x, y, z, heading, pitch, roll]).all():
        raise EdgeSegError("a camera's place and angles must be finite numbers")
    if not 1.0 <= field <= 170.0:
        raise EdgeSegError(f"a camera's field of view is in 1..170 degrees, not {field}")
    return x, y, z


class SceneCamera:
    """Made by `Scene.camera`. Arrays are (H, W), the first row on top, new with each call."""

    def __init__(
        self,
        display: Display,
        root: Any,
        width: int,
        height: int,
        *,
        labels: bool,
        depth: bool,
        picture: bool = True,
    ) -> None:
        check_size(width, height)
        self.width, self.height, self.has_labels = width, height, labels
        self._display = display
        self._lens = core.PerspectiveLens()
        self._lens.setNearFar(NEAR, FAR)
        self._lens.setAspectRatio(width / height)
        self._buffers: list[Any] = []
        copy = core.GraphicsOutput.RTMCopyRam
        buffer = self._buffer(width, height, labels)
        self._picture = core.Texture() if picture else None
        if picture:
            buffer.addRenderTexture(self._picture, copy)
        self._labels = core.Texture() if labels else None
        if labels:
            buffer.addRenderTexture(self._labels, copy, core.GraphicsOutput.RTPAuxRgba0)
        self._depth = core.Texture() if depth else None
        if depth:
            buffer.addRenderTexture(self._depth, copy, core.GraphicsOutput.RTPDepth)
        mirror = self._buffer(
            max(SMALLEST, width // MIRROR_SCALE), max(SMALLEST, height // MIRROR_SCALE), False
        )
        mirror.setSort(-5)
        image = core.Texture()
        image.setMinfilter(core.SamplerState.FTLinear)
        image.setWrapU(core.SamplerState.WMClamp)
        image.setWrapV(core.SamplerState.WMClamp)
        mirror.addRenderTexture(image, core.GraphicsOutput.RTMBindOrCopy)
        self._node = self._look_through(buffer, "camera", root)
        self._mirror = self._look_through(mirror, "mirror", root)
        self._mirror.node().setCameraMask(MIRROR_MASK)
        self._node.node().setCameraMask(PICTURE_MASK)
        self._image = image
        self.activate(False, mirror=False)

    def _buffer(self, width: int, height: int, labels: bool) -> Any:
        try:
            buffer = make_buffer(self._display, width, height, labels=labels)
        except EdgeSegError:
            self.close()
            raise
        buffer.setClearColor((0, 0, 0, 1))
        self._buffers.append(buffer)
        return buffer

    def _look_through(self, buffer: Any, name: str, root: Any) -> Any:
        camera = core.Camera(name, self._lens)
        camera.setScene(root)
        node = root.attachNewNode(camera)
        buffer.makeDisplayRegion().setCamera(node)
        return node

    def close(self) -> None:
        """Give the buffers back; closing twice is allowed."""
        while self._buffers:
            self._display.engine.removeWindow(self._buffers.pop())

    def activate(self, on: bool, *, mirror: bool) -> None:
        """Let the next frame draw this camera (the scene's affair)."""
        for buffer, wanted in zip(self._buffers, (on, on and mirror), strict=False):
            buffer.setActive(wanted)

    def place(
        self,
        eye: npt.ArrayLike,
        *,
        heading: float,
        pitch: float,
        roll: float,
        field: float,
        ground: float | None = None,
        lamp: npt.ArrayLike | None = None,
    ) -> None:
        """Stand at ``eye`` (3,) metres and look along ``heading``.

        Degrees: heading from the x axis to the left, pitch up, roll to the right; ``field``
        is the whole field of view across. ``ground`` is the height at which a wet road
        mirrors, 1.4 m under the eye without it; ``lamp`` (6,) the place and direction of the
        headlights by night, just below the eye without it. Raises `EdgeSegError` for what is no
        place.
        """
        x, y, z = check_place(eye, heading, pitch, roll, field)
        self._lens.setFov(field)
        self._node.setPosHpr(x, y, z, heading - 90.0, pitch, roll)
        level = z - 1.4 if ground is None else ground
        if lamp is None:
            angle = np.radians(heading)
            lamp = (x, y, z - HEADLIGHTS_BELOW, np.cos(angle), np.sin(angle), -0.02)
        self._aim_headlights(tuple(float(value) for value in np.asarray(lamp, dtype=float)))
        plane = core.LPlane(core.LVecBase3f(0, 0, 1), core.LPoint3f(0, 0, level))
        self._mirror.setMat(self._node.getMat() * plane.getReflectionMat())

    def _aim_headlights(self, lamp: tuple[float, ...]) -> None:
        """Tell the shaders what is this camera's own: its pixels, its mirror, its car's light."""
        state = core.NodePath("state")
        state.setShaderInput("pixelSize", (1.0 / self.width, 1.0 / self.height))
        state.setShaderInput("mirrored", self._image)
        state.setShaderInput("beamFrom", lamp[:3])
        state.setShaderInput("beamTo", lamp[3:])
        self._node.node().setInitialState(state.getState())
        state.setAttrib(core.CullFaceAttrib.makeReverse())  # a mirror turns every triangle over
        self._mirror.node().setInitialState(state.getState())

    def picture(self) -> Pixels:
        """Return colours (H, W, 3) uint8 BGR: the square root of light, clipped."""
        return np.asarray(cv2.cvtColor(self.raw_picture(), cv2.COLOR_BGRA2BGR), np.uint8)

    def raw_picture(self) -> Pixels:
        """Return the same with a fourth channel (H, W, 4), until the next frame overwrites it."""
        return self._read(self._picture)

    def raw_labels(self) -> Pixels:
        """Return high and low byte of the id, and the tag (H, W, 4), until the next frame."""
        return self._read(self._labels)

    def tags(self) -> Pixels:
        """Return CARLA's semantic tags (H, W) uint8."""
        return np.ascontiguousarray(self.raw_labels()[:, :, 2])

    def instances(self) -> npt.NDArray[np.uint16]:
        """Return ids of things (H, W) uint16; 0 is what is no thing: road, ground, sky."""
        pixels = self.raw_labels()
        low, high = pixels[:, :, 1].astype(np.uint16), pixels[:, :, 0].astype(np.uint16)
        return np.asarray(low | (high << 8), np.uint16)

    def depth(self) -> npt.NDArray[np.float32]:
        """Return metres along the view axis (H, W) float32; the sky is `FAR`."""
        stored = np.frombuffer(self._ram(self._depth), np.float32)
        z = stored.reshape(self.height, self.width)
        # OpenGL's window depth, solved for the distance along the axis.
        return np.float32(NEAR * FAR) / (np.float32(FAR) - z * np.float32(FAR - NEAR))

    def _read(self, texture: Any) -> Pixels:
        pixels = np.frombuffer(self._ram(texture), np.uint8)
        return pixels.reshape(self.height, self.width, 4)

    def _ram(self, texture: Any) -> Any:
        if texture is None:
            raise EdgeSegError("this camera was opened without that output")
        image = texture.getRamImage()
        if not image:
            raise EdgeSegError("this camera has not been rendered yet")
        return memoryview(image)
