"""Shadows: what stands in the sun's way, drawn from above.

    shadow_map = ShadowMap(display, casters)
    shadow_map.aim(centre, look, root)   # where the sun stands
    shadow_map.activate(True)            # for the next frame; the root has it as shadowMap

Things are moved along the sun onto z = 0 by a shear, so that one map serves ground at any
height: the shader shears a point in the same way and looks there. Besides the share lit the
map holds how high the caster is, for what stands in the light itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from panda3d import core

from carla_bridge.world.scene import shading
from carla_bridge.world.scene.display import Display, make_buffer
from carla_bridge.world.scene.look import Look

SIZE = 768
REACH = 75.0
"""Metres around the centre within which things throw shadows."""
LOWEST, SPAN = -16.0, 64.0
"""Heights above the centre's ground that the map tells apart, metres."""
SPARE = 0.8
"""Metres that mirrors, and a car on a slope, stick out of its outline."""

CASTS = "casts"
"""The tag of what casts shadows: "solid", "moving", or "foliage", which has holes."""
HEIGHT, NEAREST, FARTHEST = 1000.0, 1.0, 2000.0
"""Metres up to the camera above, and from it the range that its depth buffer spans."""

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Aim:
    """What a shadow map shows: its middle on z = 0, metres a shadow moves per metre of height."""

    x: float
    y: float
    slope: tuple[float, float]
    lowest: float

    def at(self, camera: Any, casters: Any) -> None:
        """Point a camera above ``casters`` there."""
        camera.setPos(self.x, self.y, HEIGHT)
        casters.setShaderInput("castSlope", self.slope)
        casters.setShaderInput("castHeight", (self.lowest, SPAN))


class ShadowMap:
    """A square texture, `REACH` metres to each side of its centre."""

    def __init__(self, display: Display, casters: Any) -> None:
        self._display = display
        self._casters = casters
        self._buffer = make_buffer(display, SIZE, SIZE)
        self._buffer.setClearColor((1, 0, 0, 1))
        self._buffer.setSort(-10)
        self.texture = bordered("shadow", (1, 0, 0, 1))
        self._buffer.addRenderTexture(self.texture, core.GraphicsOutput.RTMBindOrCopy)
        self._camera = camera_above(self._buffer, casters, REACH, frozenset())
        self.aimed = Aim(0.0, 0.0, (0.0, 0.0), LOWEST)
        self._buffer.setActive(False)

    def close(self) -> None:
        """Give the buffer back; closing twice is allowed."""
        if self._buffer is not None:
            self._display.engine.removeWindow(self._buffer)
            self._buffer = None

    def activate(self, on: bool) -> None:
        """Let the next frame draw the map."""
        self._buffer.setActive(on)

    def aim(self, centre: Vector, look: Look, root: Any) -> None:
        """Point the camera along the sun at ``centre`` (3,), and tell the shaders."""
        slope = look.sun[:2] / max(float(look.sun[2]), 0.1)
        x, y = (float(value) for value in centre[:2] - slope * centre[2])
        self.aimed = Aim(x, y, (float(slope[0]), float(slope[1])), float(centre[2]) + LOWEST)
        self.aimed.at(self._camera, self._casters)
        (strength,) = look.inputs["shadowStrength"]
        root.setShaderInput("slope", self.aimed.slope)
        root.setShaderInput("shadowHeight", (self.aimed.lowest, SPAN))
        root.setShaderInput("shadowBox", (x, y, 0.5 / REACH, strength))
        root.setShaderInput("shadowMap", self.texture)


class MovingShadows:
    """The shadow map with the shadows of what moves drawn over it, which are soon elsewhere.

    What stands is thus drawn once a place, not once a frame: of the map, only where something
    has just been is copied anew.
    """

    def __init__(self, display: Display, still: ShadowMap, moving: Any) -> None:
        self._display, self._still = display, still
        self._buffer = make_buffer(display, SIZE, SIZE)
        self._buffer.setSort(-9)
        self._buffer.setClearColorActive(False)
        self._buffer.setClearDepthActive(False)
        self._texture = bordered("shadows", (1, 0, 0, 1))
        self._buffer.addRenderTexture(self._texture, core.GraphicsOutput.RTMBindOrCopy)
        self._casters = core.NodePath("moving casters")
        self._casters.attachNewNode(moving.node()).setTag(CASTS, "moving")
        self._camera = camera_above(self._buffer, self._casters, REACH, frozenset())
        self._below = self._camera.attachNewNode("below")
        self._below.setPos(0.0, HEIGHT, 0.0)
        self._below.setShader(shading.still_shadows())
        self._below.setShaderInput("still", still.texture)
        self._below.setShaderInput("camera", (HEIGHT, NEAREST, FARTHEST))
        self._below.setAttrib(core.DepthTestAttrib.make(core.RenderAttrib.MAlways))
        self._below.setBin("background", 0)
        self._cards: list[Any] = []
        self.renew()
        self._buffer.setActive(False)

    def close(self) -> None:
        """Give the buffer back; closing twice is allowed."""
        if self._buffer is not None:
            self._display.engine.removeWindow(self._buffer)
            self._buffer = None

    def activate(self, on: bool) -> None:
        """Let the next frame draw the map."""
        self._buffer.setActive(on)

    def renew(self) -> None:
        """Tell that the map of what stands was drawn anew: all of it is to be copied."""
        self._dirty = np.array([[-REACH, -REACH, REACH, REACH]])

    def aim(self, outlines: Vector, root: Any) -> None:
        """Look where the map of what stands looks, and take its place for ``root``.

        ``outlines`` (n, 7): place, heading, length, width and height of what moves, as in
        `GroundMap.tint`.
        """
        aimed = self._still.aimed
        aimed.at(self._camera, self._casters)
        root.setShaderInput("shadowMap", self._texture)
        self._copy(self._dirty)
        middle = [aimed.x, aimed.y, aimed.x, aimed.y]
        self._dirty = shadowed(outlines, np.array(aimed.slope)) - middle

    def _copy(self, boxes: Vector) -> None:
        """Cover boxes (n, 4) by cards that show what stands."""
        while len(self._cards) < len(boxes):
            maker = core.CardMaker("card")
            maker.setFrame(-0.5, 0.5, -0.5, 0.5)
            self._cards.append(self._below.attachNewNode(maker.generate()))
        for card, box in zip(self._cards, boxes, strict=False):
            left, low, right, high = (float(value) for value in box)
            card.setPos((left + right) / 2.0, 0.0, (low + high) / 2.0)
            card.setScale(right - left, 1.0, high - low)
            card.show()
        for card in self._cards[len(boxes) :]:
            card.hide()


def shadowed(outlines: Vector, slope: Vector) -> Vector:
    """Return the boxes (n, 4) of z = 0 that things shade: least x and y, greatest x and y.

    ``slope`` (2,) is the metres that a shadow moves per metre of height.
    """
    around = np.linalg.norm(outlines[:, 4:7], axis=1)[:, None] / 2.0 + SPARE
    foot = outlines[:, :2] - slope * outlines[:, 2:3]
    head = foot - slope * outlines[:, 6:7]
    return np.hstack([np.minimum(foot, head) - around, np.maximum(foot, head) + around])


def bordered(name: str, border: tuple[float, float, float, float]) -> Any:
    """Return a texture that has one colour beyond its edge."""
    texture = core.Texture(name)
    texture.setWrapU(core.SamplerState.WMBorderColor)
    texture.setWrapV(core.SamplerState.WMBorderColor)
    texture.setBorderColor(border)
    texture.setMinfilter(core.SamplerState.FTLinear)
    return texture


def camera_above(buffer: Any, casters: Any, reach: float, switches: frozenset[str]) -> Any:
    """Return a camera node that looks straight down on ``reach`` metres to each side."""
    lens = core.OrthographicLens()
    lens.setFilmSize(2 * reach, 2 * reach)
    lens.setNearFar(NEAREST, FARTHEST)
    camera = core.Camera("above", lens)
    camera.setScene(casters)
    camera.setTagStateKey(CASTS)
    for name, more in (("solid", set()), ("moving", {"MOVED"}), ("foliage", {"FOLIAGE"})):
        state = core.NodePath("state")
        state.setShader(shading.caster(switches | more), 10)
        state.setTwoSided(True, 10)  # a shear may turn triangles over
        camera.setTagState(name, state.getState())
    node = casters.attachNewNode(camera)
    node.setHpr(0, -90, 0)
    buffer.makeDisplayRegion().setCamera(node)
    return node
