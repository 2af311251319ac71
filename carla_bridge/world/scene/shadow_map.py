"""Shadows: what stands in the sun's way, drawn from above.

    shadow_map = ShadowMap(display, casters)
    shadow_map.aim(centre, look, root)   # where the sun stands
    shadow_map.activate(True)            # for the next frame; the root has it as shadowMap

Things are moved along the sun onto z = 0 by a shear, so that one map serves ground at any
height: the shader shears a point in the same way and looks there. Besides the share lit the
map holds how high the caster is, for what stands in the light itself.
"""

from __future__ import annotations

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

CASTS = "casts"
"""The tag of what casts shadows: "solid", or "foliage", which has holes."""

Vector = npt.NDArray[np.float64]


class ShadowMap:
    """A square texture, `REACH` metres to each side of its centre."""

    def __init__(self, display: Display, casters: Any) -> None:
        self._display = display
        self._casters = casters
        self._buffer = make_buffer(display, SIZE, SIZE)
        self._buffer.setClearColor((1, 0, 0, 1))
        self._buffer.setSort(-10)
        self._texture = bordered("shadow", (1, 0, 0, 1))
        self._buffer.addRenderTexture(self._texture, core.GraphicsOutput.RTMBindOrCopy)
        self._camera = camera_above(self._buffer, casters, REACH, frozenset())
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
        self._camera.setPos(x, y, 1000.0)
        along = (float(slope[0]), float(slope[1]))
        heights = (float(centre[2]) + LOWEST, SPAN)
        self._casters.setShaderInput("castSlope", along)
        self._casters.setShaderInput("castHeight", heights)
        (strength,) = look.inputs["shadowStrength"]
        root.setShaderInput("slope", along)
        root.setShaderInput("shadowHeight", heights)
        root.setShaderInput("shadowBox", (x, y, 0.5 / REACH, strength))
        root.setShaderInput("shadowMap", self._texture)


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
    lens.setNearFar(1.0, 2000.0)
    camera = core.Camera("above", lens)
    camera.setScene(casters)
    camera.setTagStateKey(CASTS)
    for name, more in (("solid", set()), ("foliage", {"FOLIAGE"})):
        state = core.NodePath("state")
        state.setShader(shading.caster(switches | more), 10)
        state.setTwoSided(True, 10)  # a shear may turn triangles over
        camera.setTagState(name, state.getState())
    node = casters.attachNewNode(camera)
    node.setHpr(0, -90, 0)
    buffer.makeDisplayRegion().setCamera(node)
    return node
