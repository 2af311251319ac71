"""One scene, two cameras at one place: colours and classes from the same geometry.

    stage = Stage(open_display(), width=640, height=480)
    stage.build(roads, anchor, rng)
    frame, mask = stage.shoot(place, heading, grade, pose, look)
    stage.close()

The class pass draws the same triangles from the same camera in flat class colours,
unlit and not smoothed, so a marking's pixels in frame and mask coincide.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
from panda3d import core

from carla_bridge.world import ground, look, paint, scenery
from carla_bridge.world.display import Display, make_buffer
from carla_bridge.world.meshes import Mesh, boxes, to_node
from carla_bridge.world.roads import Roads
from carla_bridge.world.textures import SIZE, noise_texture
from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame, Mask

CLASSES = {"background": 0, "road": 1, "lane_marking": 2}
CLASS_STEP = 100
"""A class id is drawn as this many grey levels, to be safe from rounding."""

SHADOW_SIZE = 1024
SHADOW_REACH = 75.0
"""Metres around the camera within which things throw shadows."""

# In order of drawing: what is in front comes first, so that each pixel is shaded about once.
LAYERS = {  # name: (class, fragment shader, drawn with transparency)
    "things": ("background", "object", False),
    "asphalt": ("road", "road", False),
    "borders": ("background", "ground", False),
    "ground": ("background", "ground", False),
    "sky": ("background", "sky", False),
    "ghost": ("road", "paint", True),
    "marking": ("lane_marking", "paint", True),
}


class Stage:
    """Buffers, cameras and shaders for frames of one size; scenes come and go.

    The engine draws every open stage with each frame: `close` one that is done with.
    """

    def __init__(self, display: Display, width: int, height: int) -> None:
        if not (16 <= width <= 4096 and 16 <= height <= 4096):
            raise EdgeSegError(
                f"frames of {width}x{height} cannot be rendered; choose 16 to 4096 pixels a side"
            )
        self.display, self.width, self.height = display, width, height
        self._world = core.NodePath("world")
        self._shadow_world = core.NodePath("shadows")
        self._caster = self._shadow_world.attachNewNode("caster")
        self._lens = core.PerspectiveLens()
        self._lens.setNearFar(0.25, 5000.0)
        self._layers: dict[str, Any] = {}
        self._buffers: list[Any] = []
        samples = 4 if display.shaders else 0
        self._colour, self._colour_texture = self._read_buffer(samples)
        self._classes, self._class_texture = self._read_buffer(0)
        self._colour_camera = self._camera(self._colour, "colour", self._world, self._lens)
        self._class_camera = self._camera(self._classes, "classes", self._world, self._lens)
        self._class_camera.node().setTagStateKey("class")
        for name, value in CLASSES.items():
            self._class_camera.node().setTagState(name, self._class_state(value * CLASS_STEP))
        if display.shaders:
            self._prepare_shaders()

    def close(self) -> None:
        """Give the buffers back; the stage shoots no more. Closing twice is allowed."""
        while self._buffers:
            self.display.engine.removeWindow(self._buffers.pop())

    def _buffer(self, width: int, height: int, samples: int) -> Any:
        display = self.display
        buffer = make_buffer(display.engine, display.pipe, display.host, width, height, samples)
        if buffer is None:
            self.close()
            raise EdgeSegError(
                f"{display} makes no off-screen buffer of {width}x{height}; choose a smaller "
                "size, or another display (EDGE_SEG_DISPLAY)"
            )
        self._buffers.append(buffer)
        return buffer

    def _read_buffer(self, samples: int) -> tuple[Any, Any]:
        """Return a buffer of the frame's size, and the texture its pixels are read from."""
        buffer = self._buffer(self.width, self.height, samples)
        texture = core.Texture()
        buffer.addRenderTexture(texture, core.GraphicsOutput.RTMCopyRam)
        buffer.setClearColor((0, 0, 0, 1))
        return buffer, texture

    def _camera(self, buffer: Any, name: str, root: Any, lens: Any) -> Any:
        camera = core.Camera(name, lens)
        camera.setScene(root)
        node = root.attachNewNode(camera)
        buffer.makeDisplayRegion().setCamera(node)
        return node

    def _class_state(self, level: int) -> Any:
        """Return a render state that outdoes every material: one flat colour."""
        state = core.NodePath("state")
        grey = level / 255.0
        state.setTransparency(core.TransparencyAttrib.MNone, 10)
        if self.display.shaders:
            state.setShader(_shader("class"), 10)
            state.setShaderInput("classColour", (grey, grey, grey, 1.0), 10)
        else:
            state.setTextureOff(10)
            state.setColor(grey, grey, grey, 1.0, 10)
            state.setColorScaleOff(10)
        return state.getState()

    def _prepare_shaders(self) -> None:
        """Load the noise, put up the sky, and point a camera along the sun for shadows."""
        self._world.setShaderInput("noise", _noise())
        self._shadow_world.setShaderInput("noise", _noise())
        self._shadow_world.setShader(_shader("class"), 10)
        self._shadow_world.setShaderInput("classColour", (0.0, 0.0, 0.0, 1.0))
        self._shadow_world.setTwoSided(True)  # a shear may turn triangles over
        buffer = self._buffer(SHADOW_SIZE, SHADOW_SIZE, 0)
        shadow = core.Texture()
        shadow.setWrapU(core.SamplerState.WMBorderColor)
        shadow.setWrapV(core.SamplerState.WMBorderColor)
        shadow.setBorderColor((1, 1, 1, 1))
        shadow.setMinfilter(core.SamplerState.FTLinear)
        buffer.addRenderTexture(shadow, core.GraphicsOutput.RTMBindOrCopy)
        buffer.setClearColor((1, 1, 1, 1))
        buffer.setSort(-10)
        lens = core.OrthographicLens()
        lens.setFilmSize(2 * SHADOW_REACH, 2 * SHADOW_REACH)
        lens.setNearFar(1.0, 2000.0)
        self._sun_camera = self._camera(buffer, "sun", self._shadow_world, lens)
        self._sun_camera.setHpr(0, -90, 0)
        self._world.setShaderInput("shadowMap", shadow)
        cube = boxes([[0, 0, 0]], [[2000, 2000, 2000]], [0.0], [[255, 255, 255]])
        self._sky = self._world.attachNewNode(to_node(cube, "sky"))
        self._sky.setShader(_sky_shader())
        self._sky.setTwoSided(True)
        self._sky.setAttrib(core.DepthTestAttrib.make(core.RenderAttrib.MLessEqual))
        self._sky.setDepthWrite(False)
        self._sky.setBin("fixed", list(LAYERS).index("sky"))
        self._sky.hide(core.BitMask32.bit(1))
        self._class_camera.node().setCameraMask(core.BitMask32.bit(1))
        self._colour_camera.node().setCameraMask(core.BitMask32.bit(0))

    def build(
        self, roads: Roads, anchor: npt.NDArray[np.float64], rng: np.random.Generator
    ) -> scenery.Scenery:
        """Replace the scene: the roads, and seeded land, paint and things about ``anchor``."""
        land = ground.Land(roads, rng)
        painted = paint.lay(roads, rng)
        things = scenery.furnish(land, rng)
        meshes: dict[str, Mesh] = {
            "ground": land.ground((float(anchor[0]), float(anchor[1]))),
            "borders": land.borders(),
            "asphalt": land.asphalt(),
            "ghost": painted.ghost,
            "marking": painted.marking,
            "things": things.mesh,
        }
        for node in self._layers.values():
            node.removeNode()
        self._layers = {
            name: self._layer(name, mesh) for name, mesh in meshes.items() if len(mesh.vertices)
        }
        self._caster.getChildren().detach()
        if "things" in self._layers:
            self._caster.attachNewNode(self._layers["things"].node())
        return things

    def _layer(self, name: str, mesh: Mesh) -> Any:
        kind, shader, transparent = LAYERS[name]
        node = self._world.attachNewNode(to_node(mesh, name))
        node.setTag("class", kind)
        node.setTwoSided(True)
        if self.display.shaders:
            node.setShader(_shader(shader))
        node.setBin("fixed", list(LAYERS).index(name))
        if transparent:
            node.setTransparency(core.TransparencyAttrib.MAlpha)
            node.setDepthWrite(False)
        return node

    def shoot(
        self,
        place: npt.NDArray[np.float64],
        heading: float,
        grade: float,
        pose: look.Pose,
        appearance: look.Look,
    ) -> tuple[Frame, Mask]:
        """Return frame (H, W, 3) BGR and mask (H, W) from a camera over ``place`` (3,) metres.

        ``heading`` is in radians from the x axis, ``grade`` the road's rise per metre.
        """
        right = np.array([np.sin(heading), -np.cos(heading), 0.0])
        eye = place + right * pose.aside + [0.0, 0.0, pose.height]
        degrees = float(np.degrees(heading)) - 90.0 + pose.yaw
        for camera in (self._colour_camera, self._class_camera):
            camera.setPos(*map(float, eye))
            camera.setHpr(degrees, float(np.degrees(np.arctan(grade))) + pose.pitch, pose.roll)
        self._lens.setAspectRatio(self.width / self.height)
        self._lens.setFov(pose.field)
        if self.display.shaders:
            self._light(eye, place, heading, appearance)
        else:
            self._light_plainly(appearance)
        self.display.engine.renderFrame()
        frame = _read(self._colour_texture, self.height, self.width)
        levels = _read(self._class_texture, self.height, self.width)[:, :, 0]
        mask = ((levels.astype(np.uint16) + CLASS_STEP // 2) // CLASS_STEP).astype(np.uint8)
        return frame, mask

    def _light(
        self,
        eye: npt.NDArray[np.float64],
        place: npt.NDArray[np.float64],
        heading: float,
        appearance: look.Look,
    ) -> None:
        for name, value in appearance.inputs.items():
            self._world.setShaderInput(name, value if len(value) > 1 else value[0])
        position = core.LVecBase3f(*map(float, eye))
        self._world.setShaderInput("eye", position)
        self._shadow_world.setShaderInput("eye", position)
        self._sky.setPos(position)
        # Shadows fall along the sun onto z = 0: a shear, seen from straight above.
        sun = appearance.sun
        shear = core.LMatrix4f(core.LMatrix4f.identMat())
        shear.setCell(2, 0, float(-sun[0] / sun[2]))
        shear.setCell(2, 1, float(-sun[1] / sun[2]))
        self._caster.setMat(shear)
        ahead = np.array([np.cos(heading), np.sin(heading)]) * SHADOW_REACH * 0.6
        centre = place[:2] + ahead - sun[:2] / sun[2] * place[2]
        self._sun_camera.setPos(float(centre[0]), float(centre[1]), 1000.0)
        strength = appearance.inputs["shadowStrength"][0]
        box = (float(centre[0]), float(centre[1]), SHADOW_REACH, strength)
        self._world.setShaderInput("shadowBox", box)

    def _light_plainly(self, appearance: look.Look) -> None:
        """Give each layer one colour: what is left of a look without shaders."""
        inputs = {name: np.array(value) for name, value in appearance.inputs.items()}
        light = (inputs["skyLight"] + inputs["sunLight"] * appearance.sun[2]) * inputs["camera"][0]
        gamma = inputs["camera"][1]
        sky = np.clip(inputs["horizon"] * inputs["camera"][0], 0.0, 1.0) ** gamma
        self._colour.setClearColor((*map(float, sky), 1.0))
        albedos = {
            "ground": inputs["verge"],
            "borders": inputs["vergeOther"],
            "asphalt": inputs["asphalt"],
        }
        for name, node in self._layers.items():
            tone = np.clip(albedos.get(name, np.full(3, 0.8)) * light, 0.0, 1.0) ** gamma
            node.setColorScale(*map(float, tone), 1.0)


def _read(texture: Any, height: int, width: int) -> Frame:
    """Copy a rendered texture out of Panda3D: BGR, the first row on top."""
    pixels = np.frombuffer(texture.getRamImageAs("BGR"), dtype=np.uint8)
    return pixels.reshape(height, width, 3)[::-1].copy()


def _text(name: str) -> str:
    return (resources.files("carla_bridge.world") / "shaders" / name).read_text()


@functools.cache
def _shader(name: str) -> Any:
    parts = {
        "object": ("head.glsl", "light.glsl", "shape.glsl", "object.frag"),
        "class": ("head.glsl", "shape.glsl", "class.frag"),
    }.get(name, ("head.glsl", "light.glsl", f"{name}.frag"))
    fragment = "".join(map(_text, parts))
    return core.Shader.make(core.Shader.SL_GLSL, _text("surface.vert"), fragment)


@functools.cache
def _sky_shader() -> Any:
    return core.Shader.make(core.Shader.SL_GLSL, _text("sky.vert"), _text("sky.frag"))


@functools.cache
def _noise() -> Any:
    texture = core.Texture("noise")
    texture.setup2dTexture(SIZE, SIZE, core.Texture.TUnsignedByte, core.Texture.FRgba8)
    # Panda3D keeps blue first.
    texture.setRamImage(noise_texture(0)[:, :, [2, 1, 0, 3]].tobytes())
    texture.setWrapU(core.SamplerState.WMRepeat)
    texture.setWrapV(core.SamplerState.WMRepeat)
    # One mip level, not two blended: nearly the same picture at half the cost in software.
    texture.setMinfilter(core.SamplerState.FTLinearMipmapNearest)
    texture.setMagfilter(core.SamplerState.FTLinear)
    return texture
