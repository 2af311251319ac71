"""The sky, drawn once a light: most of a frame is sky, and clouds cost more than a lookup.

sky_map = SkyMap(display, root)
sky_map.light(look.inputs)
sky_map.activate(True)   # for the next frame; the root has its texture as skyMap
"""

from __future__ import annotations

from typing import Any

from panda3d import core

from carla_bridge.world.scene import shading
from carla_bridge.world.scene.display import Display, make_buffer

SIZE = 352
"""Pixels a side: nearly four a degree along the horizon."""


class SkyMap:
    """A square texture of all directions above the horizon, see `shaders/sky_map.frag`."""

    def __init__(self, display: Display, root: Any) -> None:
        self._display = display
        self._texture = core.Texture("sky")
        self._texture.setMinfilter(core.SamplerState.FTLinear)
        self._texture.setWrapU(core.SamplerState.WMClamp)
        self._texture.setWrapV(core.SamplerState.WMClamp)
        self._buffer = make_buffer(display, SIZE, SIZE)
        self._buffer.addRenderTexture(self._texture, core.GraphicsOutput.RTMBindOrCopy)
        self._buffer.setSort(-20)
        self._scene = core.NodePath("sky")
        maker = core.CardMaker("sky")
        maker.setFrame(-1, 1, -1, 1)
        self._scene.attachNewNode(maker.generate())
        self._scene.setShader(shading.sky_map())
        self._scene.setShaderInput("noise", shading.noise())
        lens = core.OrthographicLens()
        lens.setFilmSize(2, 2)
        lens.setNearFar(-1, 1)
        camera = core.Camera("sky", lens)
        camera.setScene(self._scene)
        self._buffer.makeDisplayRegion().setCamera(self._scene.attachNewNode(camera))
        self._buffer.setActive(False)
        root.setShaderInput("skyMap", self._texture)

    def close(self) -> None:
        """Give the buffer back."""
        if self._buffer is not None:
            self._display.engine.removeWindow(self._buffer)
            self._buffer = None

    def light(self, inputs: dict[str, tuple[float, ...]]) -> None:
        """Take the look's shader inputs."""
        for name, value in inputs.items():
            self._scene.setShaderInput(name, value if len(value) > 1 else value[0])

    def activate(self, on: bool) -> None:
        """Let the next frame draw the map."""
        self._buffer.setActive(on)
