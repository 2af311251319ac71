"""The scene without shaders, for machines that have no OpenGL at all.

    scene = PlainScene(open_display())   # the same methods as scene.Scene

Panda3D's own software renderer draws flat colours: the same shapes and the same labels,
no weather, no shadows. Labels are a second world of the same triangles whose colours are
tags and ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from panda3d import core

from carla_bridge.world.land import ground
from carla_bridge.world.maps.roads import Roads
from carla_bridge.world.meshes import Mesh, to_node
from carla_bridge.world.paint import paint
from carla_bridge.world.randomization import Dice
from carla_bridge.world.scene.cameras import FAR, NEAR, Pixels, check_place, check_size
from carla_bridge.world.scene.display import Display, make_buffer
from carla_bridge.world.scene.look import Look
from carla_bridge.world.tags import Tag
from carla_bridge.world.things import scenery
from edge_seg.errors import EdgeSegError

ALBEDOS = {"ground": "verge", "verges": "verge", "borders": "pavement", "asphalt": "asphalt"}
"""Which shader input gives a layer its colour; the others have their vertices' own."""
ORDER = ("things", "asphalt", "borders", "verges", "ground", "surfacing", "marking")


class PlainScene:
    """A world of flat colours; see `scene.Scene`."""

    def __init__(self, display: Display) -> None:
        self.display = display
        self.root = core.NodePath("world")
        self.label_root = core.NodePath("labels")
        self._contents = [root.attachNewNode("content") for root in (self.root, self.label_root)]
        self._layers: dict[str, Any] = {}
        self._cameras: list[PlainCamera] = []

    def close(self) -> None:
        """Give all buffers back; closing twice is allowed."""
        while self._cameras:
            self._cameras.pop().close()

    def build(self, roads: Roads, anchor: npt.ArrayLike, dice: Dice) -> scenery.Scenery:
        """Replace the content, as `scene.Scene.build` does."""
        place = np.asarray(anchor, dtype=float)
        land = ground.Land(roads, dice)
        painted = paint.lay(roads, dice)
        things = scenery.furnish(land, dice)
        meshes = {
            "things": things.mesh,
            "asphalt": land.asphalt(),
            **_by_surface(land.borders()),
            "ground": land.ground((float(place[0]), float(place[1]))),
            "surfacing": painted.surfacing,
            "marking": painted.marking,
        }
        for content in self._contents:
            content.getChildren().detach()
        colours, labels = self._contents
        self._layers = {}
        for number, name in enumerate(ORDER):
            if len(meshes[name].triangles):
                self._layers[name] = self._add(colours, meshes[name], name, number)
                self._add(labels, _labelled(meshes[name]), name, number)
        return things

    def _add(self, root: Any, mesh: Mesh, name: str, number: int) -> Any:
        node = root.attachNewNode(to_node(mesh, name))
        node.setTwoSided(True)
        node.setBin("fixed", number)
        if name in ("surfacing", "marking"):
            node.setDepthOffset(1)
        return node

    def move(self, place: npt.ArrayLike) -> None:
        """Nothing depends on where the cameras are."""

    def light(self, look: Look) -> None:
        """Give each layer one colour: what is left of a look without shaders."""
        inputs = {name: np.array(value) for name, value in look.inputs.items()}
        exposure = inputs["air"][1]
        light = (inputs["skyLight"] + inputs["sunLight"] * look.sun[2]) * exposure
        light = np.maximum(light, 0.15)  # without lamps and headlights, night would be black
        sky = np.sqrt(np.clip(inputs["horizon"] * exposure, 0.0, 1.0))
        for camera in self._cameras:
            camera.paint_sky(sky)
        for name, node in self._layers.items():
            albedo = inputs[ALBEDOS[name]] if name in ALBEDOS else np.full(3, 0.8)
            node.setColorScale(*map(float, np.sqrt(np.clip(albedo * light, 0.0, 1.0))), 1.0)

    def camera(
        self, width: int, height: int, *, labels: bool = True, depth: bool = False
    ) -> PlainCamera:
        """Return a new camera; there is no depth."""
        if depth:
            raise EdgeSegError(
                "the plain display has no depth; install Mesa's EGL (Debian: apt install "
                "libegl1 libgl1-mesa-dri)"
            )
        camera = PlainCamera(self, width, height, labels)
        self._cameras.append(camera)
        return camera

    def render(self, cameras: Sequence[PlainCamera]) -> None:
        """Draw what the cameras see."""
        for camera in cameras:
            camera.activate(True)
        self.display.engine.renderFrame()
        for camera in cameras:
            camera.activate(False)


class PlainCamera:
    """Made by `PlainScene.camera`; see `cameras.SceneCamera`."""

    def __init__(self, scene: PlainScene, width: int, height: int, labels: bool) -> None:
        check_size(width, height)
        self.width, self.height, self.has_labels = width, height, labels
        self._display = scene.display
        self._lens = core.PerspectiveLens()
        self._lens.setNearFar(NEAR, FAR)
        self._lens.setAspectRatio(width / height)
        self._buffers: list[Any] = []
        self._textures: list[Any] = []
        self._nodes: list[Any] = []
        for root in (scene.root, scene.label_root)[: 1 + labels]:
            try:
                buffer = make_buffer(scene.display, width, height)
            except EdgeSegError:
                self.close()
                raise
            texture = core.Texture()
            buffer.addRenderTexture(texture, core.GraphicsOutput.RTMCopyRam)
            camera = core.Camera("camera", self._lens)
            camera.setScene(root)
            node = root.attachNewNode(camera)
            buffer.makeDisplayRegion().setCamera(node)
            self._buffers.append(buffer)
            self._textures.append(texture)
            self._nodes.append(node)
        if labels:
            self._buffers[1].setClearColor((Tag.SKY / 255.0, 0, 0, 1))
        self.activate(False)

    def close(self) -> None:
        """Give the buffers back; closing twice is allowed."""
        while self._buffers:
            self._display.engine.removeWindow(self._buffers.pop())

    def activate(self, on: bool) -> None:
        """Let the next frame draw this camera (the scene's affair)."""
        for buffer in self._buffers:
            buffer.setActive(on)

    def paint_sky(self, colour: npt.NDArray[np.float64]) -> None:
        """Set the colour behind everything, RGB 0..1."""
        self._buffers[0].setClearColor((*map(float, colour), 1.0))

    def place(
        self,
        eye: npt.ArrayLike,
        *,
        heading: float,
        pitch: float,
        roll: float,
        field: float,
        ground: float | None = None,
    ) -> None:
        """Stand somewhere, as `cameras.SceneCamera.place` says; nothing mirrors here."""
        place = check_place(eye, heading, pitch, roll, field)
        self._lens.setFov(field)
        for node in self._nodes:
            node.setPosHpr(*place, heading - 90.0, pitch, roll)

    def picture(self) -> Pixels:
        """Return colours (H, W, 3) uint8 BGR: the square root of light, clipped."""
        return np.ascontiguousarray(self._read(0)[:, :, :3])

    def tags(self) -> Pixels:
        """Return CARLA's semantic tags (H, W) uint8."""
        return np.ascontiguousarray(self._read(1)[:, :, 2])

    def instances(self) -> npt.NDArray[np.uint16]:
        """Return ids of things (H, W) uint16; 0 is what is no thing."""
        pixels = self._read(1)
        low, high = pixels[:, :, 1].astype(np.uint16), pixels[:, :, 0].astype(np.uint16)
        return np.asarray(low | (high << 8), np.uint16)

    def _read(self, number: int) -> Pixels:
        image = memoryview(self._textures[number].getRamImageAs("BGR"))
        pixels = np.frombuffer(image, np.uint8).reshape(self.height, self.width, 3)
        return np.asarray(cv2.flip(pixels, 0), np.uint8)  # OpenGL's first row is the lowest


def _by_surface(borders: Mesh) -> dict[str, Mesh]:
    """Return the verges, which have the land's colour, apart from pavements and kerbs."""
    verge = borders.vertices["color"][borders.triangles[:, 0], 3] == Tag.TERRAIN
    return {
        "verges": Mesh(borders.vertices, borders.triangles[verge]),
        "borders": Mesh(borders.vertices, borders.triangles[~verge]),
    }


def _labelled(mesh: Mesh) -> Mesh:
    """Return the mesh in the colours of its tags and instance ids."""
    vertices = mesh.vertices.copy()
    ids = vertices["texcoord"][:, 3].astype(np.int64)
    if len(ids) and (vertices["color"][:, 3] == Tag.ROAD_LINE).all():
        ids[:] = 0  # a stroke keeps its half width there
    colour = vertices["color"]
    colour[:, 0], colour[:, 1], colour[:, 2] = colour[:, 3], ids % 256, ids // 256
    colour[:, 3] = 255
    return Mesh(vertices, mesh.triangles)
