"""One scene graph, several cameras of it: colours, semantic tags, instance ids and depth.

    scene = open_scene()
    scene.build(roads, anchor=(0.0, 0.0, 0.0), dice=dice)
    scene.light(look)
    camera = scene.camera(800, 600, depth=True)
    camera.place(eye, heading=0.0, pitch=-2.0, roll=0.0, field=60.0)
    scene.render([camera])
    camera.picture(), camera.tags(), camera.instances(), camera.depth()
    scene.close()

Colours and labels are two outputs of one pass over the same triangles, so a marking's
pixels in both coincide. Everything is in metres, right-handed, x east, y north, z up.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from panda3d import core

from carla_bridge.world.land import ground
from carla_bridge.world.maps.roads import Roads
from carla_bridge.world.meshes import FOLIAGE, TILE, Mesh, boxes, to_node
from carla_bridge.world.paint import paint
from carla_bridge.world.randomization import Dice
from carla_bridge.world.scene import shading
from carla_bridge.world.scene.cameras import MIRROR_MASK, SceneCamera
from carla_bridge.world.scene.display import Display, open_display
from carla_bridge.world.scene.ground_map import GroundMap
from carla_bridge.world.scene.look import Look
from carla_bridge.world.scene.shadow_map import CASTS, MovingShadows, ShadowMap
from carla_bridge.world.scene.sky_map import SkyMap
from carla_bridge.world.things import scenery
from edge_seg.errors import EdgeSegError

Part = TypeVar("Part", ShadowMap, MovingShadows, GroundMap, SkyMap, SceneCamera)


# In order of drawing: what is in front comes first, so that each pixel is shaded about once.
LAYERS = {  # name: the material's shader
    "moving": "moving",
    "solid": "object",
    "foliage": "foliage",
    "asphalt": "road",
    "borders": "ground",
    "ground": "verge",
    "sky": "sky",
    "surfacing": "ghost",
    "ghost": "ghost",
    "marking": "marking",
}
PAINTS = {"surfacing", "ghost", "marking"}
ONE_SIDED = {"moving", "solid", "asphalt", *PAINTS}
"""Not seen from behind: what is closed, and a road, of which a bridge shows the underside.

So a camera inside a car sees out.
"""
FAR_TILE = 256.0
"""Metres; the ground reaches to the horizon, in fewer tiles."""
THINGS = {"moving", "solid", "foliage"}
"""What throws shadows, and shows in a wet road."""


class Scene:
    """A world on a display with shaders; content comes with `build`, light with `light`."""

    def __init__(self, display: Display) -> None:
        self.display = display
        self.root = core.NodePath("world")
        self._casters = core.NodePath("casters")
        self._cast = self._casters.attachNewNode("cast")
        self._layers: dict[str, Any] = {}
        self._switches: frozenset[str] = frozenset()
        self._parts: list[Any] = []
        self._centre = np.zeros(3)
        self._look: Look | None = None
        self._unlit, self._unshaded, self._stirred = True, True, True
        self.root.setShaderInput("noise", shading.noise())
        self._casters.setShaderInput("noise", shading.noise())
        try:
            self._shadow = self._keep(ShadowMap(display, self._casters))
            self._ground = self._keep(GroundMap(display, self._casters))
            self._sky = self._keep(SkyMap(display, self.root))
        except EdgeSegError:
            self.close()
            raise
        self._moving = self.root.attachNewNode("moving")
        self._moving_shadows: MovingShadows | None = None
        self._outlines, self._moving_lights = np.zeros((0, 7)), np.zeros((0, 6))
        self._finish("moving", self._moving)
        self._raise_sky()

    def close(self) -> None:
        """Give all buffers back; closing twice is allowed."""
        while self._parts:
            self._parts.pop().close()
        self._clear()

    def _keep(self, part: Part) -> Part:
        """Remember what has buffers to give back."""
        self._parts.append(part)
        return part

    def _raise_sky(self) -> None:
        cube = boxes([[0, 0, 0]], [[2000, 2000, 2000]], [0.0], [[255, 255, 255]])
        node = self.root.attachNewNode(to_node(cube, "sky"))
        node.setShader(shading.sky())
        node.setTwoSided(True)
        node.setAttrib(core.DepthTestAttrib.make(core.RenderAttrib.MLessEqual))
        node.setDepthWrite(False)
        node.setBin(_bin("sky"), 0)
        # Its shader puts it around whichever camera looks: it is never out of sight.
        node.node().setBounds(core.OmniBoundingVolume())
        node.node().setFinal(True)

    def build(self, roads: Roads, anchor: npt.ArrayLike, dice: Dice) -> scenery.Scenery:
        """Replace the content: the roads, and seeded land, paint and things along them.

        ``anchor`` (3,) is where the cameras will be, within some 50 m.
        """
        place = np.asarray(anchor, dtype=float)
        land = ground.Land(roads, dice)
        painted = paint.lay(roads, dice)
        things = scenery.furnish(land, dice)
        meshes = {
            "ground": land.ground((float(place[0]), float(place[1]))),
            **fixed(land, painted, things.mesh),
        }
        self.fill(meshes, place, things.lamps, things.headlights)
        return things

    def fill(
        self,
        meshes: dict[str, Mesh],
        centre: npt.ArrayLike,
        lamps: npt.ArrayLike = (),
        headlights: npt.ArrayLike = (),
    ) -> None:
        """Replace the content by meshes, one a layer of `LAYERS`.

        ``lamps`` (n, 3) and ``headlights`` (m, 6: place and direction) shine by night.
        """
        self._clear()
        for name, mesh in meshes.items():
            if len(mesh.triangles):
                self.show(name, self.layer(name, mesh))
        for name in sorted(THINGS & self._layers.keys()):
            self._cast.attachNewNode(self._layers[name].node()).setTag(CASTS, name)
        self._lamps = np.asarray(lamps, dtype=float).reshape(-1, 3)
        self._headlights = np.asarray(headlights, dtype=float).reshape(-1, 6)
        self.move(centre)

    def _clear(self) -> None:
        self._cast.getChildren().detach()
        for node in self._layers.values():
            node.removeNode()
        self._layers = {}

    def layer(self, name: str, mesh: Mesh) -> Any:
        """Return a layer of `LAYERS`, ready for `show`."""
        return core.NodePath(to_node(mesh, name, FAR_TILE if name == "ground" else TILE))

    def show(self, name: str, node: Any) -> None:
        """Show a layer in the place of the one of that name, which is only detached."""
        if name in self._layers:
            self._layers[name].detachNode()
        self._layers[name] = node
        node.reparentTo(self.root)
        self._finish(name, node)

    def _finish(self, name: str, node: Any) -> None:
        """Give a layer its shader and its place in the order of drawing."""
        # Seen through a flipped y axis, what is wound counter-clockwise turns clockwise.
        hidden = core.CullFaceAttrib.MCullCounterClockwise
        culled = hidden if name in ONE_SIDED else core.CullFaceAttrib.MCullNone
        node.setAttrib(core.CullFaceAttrib.make(culled))
        node.setShader(shading.material(LAYERS[name], self._switches))
        node.setBin(_bin(name), 0)
        if name not in THINGS:
            node.hide(MIRROR_MASK)
        if name in PAINTS:
            node.setTransparency(core.TransparencyAttrib.MAlpha)
            node.setDepthWrite(False)
            node.setDepthOffset(1)

    def add(self, mesh: Mesh) -> Any:
        """Add something solid that moves, built about its own origin; place the node returned.

        Call `moved` after placing or removing (`removeNode`) any of them.
        """
        return self._moving.attachNewNode(to_node(mesh, "mover"))

    def moved(self, outlines: npt.ArrayLike = (), headlights: npt.ArrayLike = ()) -> None:
        """Tell that what moves has moved, where it now stands, and where it shines.

        ``outlines`` (n, 7) as `GroundMap.tint` takes them, ``headlights`` (m, 6) as `fill` does.
        """
        self._outlines = np.asarray(outlines, dtype=float).reshape(-1, 7)
        self._moving_lights = np.asarray(headlights, dtype=float).reshape(-1, 6)
        self._stirred = True

    def move(self, place: npt.ArrayLike) -> None:
        """Tell where the cameras are now (3,): shadows and lamps' light are drawn about it."""
        self._centre = np.asarray(place, dtype=float)
        self._ground.survey(self._centre, self._lamps, self._headlights)
        self._ground.bind(self.root)
        self._unshaded = True

    def light(self, look: Look) -> None:
        """Set the hour, the weather and the colours of all surfaces."""
        self._look = look
        self._unlit, self._unshaded = True, True
        self._sky.light(look.inputs)
        for name, value in look.inputs.items():
            self.root.setShaderInput(name, value if len(value) > 1 else value[0])
        if look.switches != self._switches:
            self._switches = look.switches
            for name, node in {**self._layers, "moving": self._moving}.items():
                node.setShader(shading.material(LAYERS[name], self._switches))

    def camera(
        self,
        width: int,
        height: int,
        *,
        labels: bool = True,
        depth: bool = False,
        picture: bool = True,
    ) -> SceneCamera:
        """Return a new camera of this scene; the fewer outputs, the faster its frames."""
        outputs = {"labels": labels, "depth": depth, "picture": picture}
        return self._keep(SceneCamera(self.display, self.root, width, height, **outputs))

    def drop(self, camera: SceneCamera) -> None:
        """Close a camera before the scene is."""
        self._parts.remove(camera)
        camera.close()

    def render(self, cameras: Sequence[SceneCamera]) -> None:
        """Draw what the cameras see, all in one go; then read it from them."""
        assert self._look is not None, "light the scene before rendering it"
        maps = self._stale_maps(self._look)
        for drawn in maps:
            drawn.activate(True)
        for camera in cameras:
            camera.activate(True, mirror="WET" in self._switches)
        self.display.engine.renderFrame()
        for drawn in maps:
            drawn.activate(False)
        for camera in cameras:
            camera.activate(False, mirror=False)
        self._unlit, self._unshaded, self._stirred = False, False, False

    def _stale_maps(self, look: Look) -> list[ShadowMap | MovingShadows | SkyMap]:
        """Return the maps that the next frame has to draw, aimed; each only where it changed."""
        maps: list[ShadowMap | MovingShadows | SkyMap] = [self._sky] if self._unlit else []
        if not (self._unshaded or self._stirred):
            return maps
        lamps = look.inputs["lampLight"]
        self._ground.tint(lamps, self.root, self._outlines, self._moving_lights)
        shadows = look.inputs["shadowStrength"][0] > 0.0
        if self._unshaded:
            self._shadow.aim(self._centre, look, self.root)
            maps += [self._shadow] if shadows else []
            if self._moving_shadows is not None:
                self._moving_shadows.renew()
        if len(self._outlines) and shadows:
            if self._moving_shadows is None:
                shadow_map = MovingShadows(self.display, self._shadow, self._moving)
                self._moving_shadows = self._keep(shadow_map)
            self._moving_shadows.aim(self._outlines, self.root)
            maps.append(self._moving_shadows)
        else:
            self.root.setShaderInput("shadowMap", self._shadow.texture)
        return maps


@functools.cache
def _bin(layer: str) -> str:
    """Return the name of a layer's place in the order of drawing, where near tiles come first."""
    near_first = core.CullBinEnums.BTFrontToBack
    kind = core.CullBinEnums.BTFixed if layer in PAINTS else near_first
    name = f"edge-seg-{layer}"
    core.CullBinManager.getGlobalPtr().addBin(name, kind, 100 + list(LAYERS).index(layer))
    return name


def fixed(land: ground.Land, painted: paint.Paint, things: Mesh) -> dict[str, Mesh]:
    """Return all layers but the ground, which follows the cameras."""
    return {
        "borders": land.borders(),
        "asphalt": land.asphalt(),
        "surfacing": painted.surfacing,
        "ghost": painted.ghost,
        "marking": painted.marking,
        **split(things),
    }


def split(things: Mesh) -> dict[str, Mesh]:
    """Return solid things and foliage apart: what has holes is drawn more slowly."""
    leaves = things.vertices["texcoord"][things.triangles[:, 0], 2] == FOLIAGE
    return {
        "solid": Mesh(things.vertices, things.triangles[~leaves]),
        "foliage": Mesh(things.vertices, things.triangles[leaves]),
    }


def open_scene(display: Display | None = None) -> Any:
    """Return an empty scene on the best display there is.

    A `Scene` where shaders run, else a `plain_scene.PlainScene` with the same methods.
    Raises `EdgeSegError` where no display opens.
    """
    display = display or open_display()
    if display.shaders:
        return Scene(display)
    from carla_bridge.world.scene.plain import PlainScene

    return PlainScene(display)
