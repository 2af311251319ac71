"""Cameras in a world that moves: a whole map, its movers and its weather, as CARLA's pixels.

    studio = Studio(xodr_text, seed=0)
    studio.weather(Weather(sun_altitude_angle=20.0))
    studio.place([Mover(7, "vehicle.tesla.model3", x, y, z, heading_deg=90.0)])
    front = studio.open("rgb", 800, 600, 90.0)
    labels = studio.open("semantic", 800, 600, 90.0)
    pose = CameraPose(x, y, z + 1.5, heading_deg=90.0, pitch_deg=-3.0)
    picture, tags = studio.render([(front, pose), (labels, pose)])   # one pass; (600, 800, 4) BGRA
    studio.close()

What is drawn depends on the map, the seed, the weather, the movers and the poses of one call,
not on what was drawn before: the same again gives the same bytes. One thread uses a studio.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from carla_bridge.world.land.ground import Land
from carla_bridge.world.maps.roads import read_roads
from carla_bridge.world.meshes import Array
from carla_bridge.world.paint import paint
from carla_bridge.world.randomization import Dice, DomainRandomization
from carla_bridge.world.scene.cameras import SceneCamera, check_size
from carla_bridge.world.scene.display import open_display
from carla_bridge.world.scene.scene import Scene, fixed
from carla_bridge.world.studio import encode, light
from carla_bridge.world.studio.fleet import Fleet
from carla_bridge.world.studio.parts import KINDS, CameraPose, Mover
from carla_bridge.world.studio.patches import Patches, snapped
from carla_bridge.world.studio.standing import stand
from carla_bridge.world.studio.weather import Weather
from edge_seg.errors import EdgeSegError, closest

STRENGTHS = DomainRandomization(
    traffic=0.0, people=0.0, marking_cover=0.0, marking_wear=0.3, symbols=0.4, hills=0.5
)
"""An ordinary, well-kept place; what moves comes from the server."""
TOGETHER = 40.0
"""Metres: cameras so near to the first of a cluster share its ground, shadows and lamps."""
AHEAD = 30.0
"""Metres before a camera that shadows and lamps are drawn about."""
CELL = 16.0
"""Metres of the grid that this place keeps to, so that it does not change with every tick."""
DARK = (0.0, 0.0, -1e6, 1.0, 0.0, 0.0)
"""Headlights too far away to be seen."""


@dataclass(frozen=True)
class View:
    """An open camera."""

    number: int
    kind: str
    width: int
    height: int
    fov_deg: float


Shot = tuple[View, CameraPose]
Pass = tuple[int, int, float, CameraPose]
"""What views share to come from one pass: size, field and pose."""


class Studio:
    """One scene of one whole map. Close it after use.

    Raises `EdgeSegError` for a map that cannot be read, and where no display has shaders.
    """

    def __init__(self, xodr_text: str, seed: int) -> None:
        roads = read_roads(xodr_text, "the map")
        display = open_display()
        if not display.shaders:
            raise EdgeSegError(
                f"the world's cameras need OpenGL, and {display} has no shaders; install Mesa's "
                "EGL (Debian: apt install libegl1 libgl1-mesa-dri)"
            )
        dice = Dice(STRENGTHS, seed, 0)
        self._land = Land(roads, dice)
        standing = stand(self._land, dice)
        self.obstacles: Array = standing.boxes
        self._surfaces = light.surfaces(seed)
        self._scene = Scene(display)
        self._views: dict[int, View] = {}
        self._numbers = itertools.count(1)
        self._pool: dict[tuple[int, int, bool, bool, bool], list[SceneCamera]] = {}
        layers = fixed(self._land, paint.lay(roads, dice), standing.mesh)
        start = roads.driving()[0].centre[0]
        self._scene.fill(layers, start, standing.lamps)
        self._patches = Patches(self._scene, self._land)
        self._fleet = Fleet(self._scene)
        self._centre: tuple[float, ...] = ()
        self._weather: Weather | None = None
        self.weather(Weather())

    def close(self, view: View | None = None) -> None:
        """Close one view, or without one everything; closing twice is allowed."""
        if view is None:
            self._scene.close()
            self._views, self._pool = {}, {}
            return
        self._views.pop(view.number, None)
        sizes = {(other.width, other.height) for other in self._views.values()}
        for key in [key for key in self._pool if key[:2] not in sizes]:
            for camera in self._pool.pop(key):
                self._scene.drop(camera)

    def weather(self, weather: Weather) -> None:
        """Set the weather and the hour."""
        if weather != self._weather:
            self._weather = weather
            self._scene.light(light.look_of(weather, self._surfaces))

    def place(self, movers: Sequence[Mover]) -> None:
        """Replace everything that moves."""
        self._fleet.place(movers)

    def open(self, kind: str, width: int, height: int, fov_deg: float) -> View:
        """Return a new camera; ``kind`` is one of `KINDS`, the field of view is across."""
        if kind not in KINDS:
            raise EdgeSegError(f"no camera shows '{kind}'; {closest(kind, KINDS)}")
        check_size(width, height)
        if not 1.0 <= fov_deg <= 170.0:
            raise EdgeSegError(f"a camera's field of view is in 1..170 degrees, not {fov_deg:g}")
        view = View(next(self._numbers), kind, width, height, fov_deg)
        self._views[view.number] = view
        return view

    def render(self, shots: Sequence[Shot]) -> list[npt.NDArray[np.uint8]]:
        """Return what each view sees from its pose: (H, W, 4) BGRA, contiguous, its own memory.

        Cameras within `TOGETHER` metres of each other are drawn at once; the land reaches to the
        horizon, and things throw shadows within some 60 m, about the first of them.
        """
        seen: dict[int, npt.NDArray[np.uint8]] = {}
        for cluster in _clusters(shots):
            self._follow(shots[cluster[0]][1])
            seen.update(self._draw([(i, *shots[i]) for i in cluster]))
        return [seen[i] for i in range(len(shots))]

    def _follow(self, pose: CameraPose) -> None:
        """Draw land, shadows and lamps about a camera, on grids that its pose alone decides."""
        self._patches.follow(pose.x_m, pose.y_m)
        heading = np.radians(pose.heading_deg)
        x, y = pose.x_m + AHEAD * np.cos(heading), pose.y_m + AHEAD * np.sin(heading)
        centre = (snapped(x, CELL), snapped(y, CELL), snapped(pose.z_m, CELL / 4.0))
        if centre != self._centre:
            self._centre = centre
            self._scene.move(centre)
        self._fleet.shine(np.array(centre), self._fleet.own(pose))

    def _draw(
        self, shots: Sequence[tuple[int, View, CameraPose]]
    ) -> dict[int, npt.NDArray[np.uint8]]:
        """Return the images of one cluster by their place in the request."""
        passes: dict[Pass, list[tuple[int, str]]] = {}
        for i, view, pose in shots:
            if self._views.get(view.number) is not view:
                raise EdgeSegError(f"camera {view.number} is closed; open another")
            key = (view.width, view.height, view.fov_deg, pose)
            passes.setdefault(key, []).append((i, view.kind))
        taken: dict[tuple[int, int, bool, bool, bool], int] = {}
        cameras = []
        for (width, height, fov_deg, pose), wanted in passes.items():
            kinds = {kind for _, kind in wanted}
            labels = bool(kinds & {"semantic", "instance"})
            outputs = (width, height, "rgb" in kinds, labels, "depth" in kinds)
            taken[outputs] = taken.get(outputs, 0) + 1
            camera = self._camera(outputs, taken[outputs] - 1)
            self._aim(camera, pose, fov_deg)
            cameras.append(camera)
        self._scene.render(cameras)
        return {
            i: _image(camera, kind)
            for camera, wanted in zip(cameras, passes.values(), strict=True)
            for i, kind in wanted
        }

    def _camera(self, outputs: tuple[int, int, bool, bool, bool], number: int) -> SceneCamera:
        """Return one of the cameras with these outputs, made where there are too few."""
        pool = self._pool.setdefault(outputs, [])
        if number == len(pool):
            width, height, picture, labels, depth = outputs
            pool.append(
                self._scene.camera(width, height, picture=picture, labels=labels, depth=depth)
            )
        return pool[number]

    def _aim(self, camera: SceneCamera, pose: CameraPose, fov_deg: float) -> None:
        own = self._fleet.own(pose)
        ground = pose.z_m - 1.5 if own is None else own.z_m
        camera.place(
            (pose.x_m, pose.y_m, pose.z_m),
            heading=pose.heading_deg,
            pitch=pose.pitch_deg,
            roll=pose.roll_deg,
            field=fov_deg,
            ground=ground,
            lamp=self._fleet.lamp(own) if own is not None and own.lights else DARK,
        )


def _clusters(shots: Sequence[Shot]) -> list[list[int]]:
    """Return the indices of shots that are drawn at once: each near the first of its cluster."""
    clusters: list[list[int]] = []
    for i, (_, pose) in enumerate(shots):
        for cluster in clusters:
            first = shots[cluster[0]][1]
            if np.hypot(pose.x_m - first.x_m, pose.y_m - first.y_m) < TOGETHER:
                cluster.append(i)
                break
        else:
            clusters.append([i])
    return clusters


def _image(camera: SceneCamera, kind: str) -> Any:
    """Return what a camera saw, in CARLA's encoding."""
    if kind == "rgb":
        return encode.rgb(camera.raw_picture())
    if kind == "depth":
        return encode.depth(camera.depth())
    return (encode.semantic if kind == "semantic" else encode.instance)(camera.raw_labels())
