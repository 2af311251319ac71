"""Labelled road frames: seeded, endless, from random roads or from OpenDRIVE maps.

    for name, frame, mask in render_frames(count=100, seed=1):
        ...  # frame (480, 640, 3) uint8 BGR, mask (480, 640) uint8: 0, 1 road, 2 marking

    with closing(Renderer(seed=1, terms=DomainRandomization(night=0.0))) as renderer:
        shots = renderer.scene(17)  # the frames of scene 17, whatever was drawn before

Seeds separate roads: the project trains on seeds below 1000, calibrates on 1001 and
tests on 2001 (see calibration_sets/README.md), so that no test road was ever trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from carla_bridge.world.camera.lens import expose
from carla_bridge.world.camera.mounts import CameraModel, sample_camera
from carla_bridge.world.maps.roads import Lane, read_roads
from carla_bridge.world.random_roads.road import random_road
from carla_bridge.world.randomization import Dice, DomainRandomization
from carla_bridge.world.scene.cameras import check_size
from carla_bridge.world.scene.look import sample_look
from carla_bridge.world.tags import CLASS_OF_TAG, CLASSES
from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame, Mask

Vector = npt.NDArray[np.float64]

FRAMES_PER_SCENE = 4
"""Frames taken of one road, each in other light, from another place and camera."""
SIGHT = 230.0
"""Metres of road kept around a scene's anchor."""
NEAR = 40.0
"""Metres from the anchor within which cameras stand."""
LEAST_ROAD = 0.04
"""Share of the frame that road must fill; else the camera looks at a lorry's back."""
TRIES = 5
"""Places tried for a frame with enough road in it."""


class Shot(NamedTuple):
    """A frame (H, W, 3) uint8 BGR and its mask (H, W) uint8, with an id of its own."""

    id: str
    frame: Frame
    mask: Mask


class Renderer:
    """Draws scenes by number; the same seed, terms, maps and number give the same bytes.

    Every frame takes one of ``sizes`` (width, height). Without ``maps`` (OpenDRIVE texts,
    used in turn) roads are random. Raises `EdgeSegError` for a map that cannot be read, a
    size that cannot be rendered, or a machine without a display. Close it after use.
    """

    def __init__(
        self,
        seed: int,
        terms: DomainRandomization | None = None,
        maps: Sequence[str] = (),
        sizes: Sequence[tuple[int, int]] = ((640, 480),),
        frames_per_scene: int = FRAMES_PER_SCENE,
    ) -> None:
        if seed < 0 or frames_per_scene < 1 or not sizes:
            raise EdgeSegError(
                f"seed {seed} must not be negative, frames per scene {frames_per_scene} at least "
                "1, and one size must be given"
            )
        for width, height in sizes:
            check_size(width, height)
        self.terms = terms or DomainRandomization()
        self.terms.check()
        self._seed, self._sizes, self._count = seed, tuple(sizes), frames_per_scene
        self._towns = [read_roads(text, f"map {i + 1}") for i, text in enumerate(maps)]
        from carla_bridge.world.scene.scene import open_scene  # opens Panda3D, says what is missing

        self._scene = open_scene()
        try:
            self._cameras = {size: self._scene.camera(*size) for size in set(self._sizes)}
        except BaseException:
            self._scene.close()
            raise

    def close(self) -> None:
        """Give the display's memory back; closing twice is allowed."""
        self._scene.close()

    def scene(self, number: int) -> list[Shot]:
        """Return the frames of a scene: one piece of road, in other light for each frame."""
        dice = Dice(self.terms, self._seed, number)
        place = np.random.default_rng([self._seed, number])
        if self._towns:
            roads = self._towns[number % len(self._towns)]
        else:
            roads = read_roads(random_road(dice), "random")
        lanes = roads.driving()
        lane = lanes[int(place.integers(len(lanes)))]
        anchor = lane.centre[int(place.integers(len(lane.s) * 3 // 4))]
        roads = roads.around(anchor, SIGHT)
        vehicles = self._scene.build(roads, anchor, dice).vehicles
        spots = _spots(roads.driving(), anchor)
        shots = []
        for index in range(self._count):
            id = f"{self._seed:04d}-{number * self._count + index:05d}"
            shots.append(Shot(id, *self._shoot(spots, vehicles, number, index)))
        return shots

    def _shoot(
        self, spots: list[tuple[Lane, int]], vehicles: Vector, number: int, index: int
    ) -> tuple[Frame, Mask]:
        """Take one frame; look for another place where there is hardly any road to see."""
        dice = Dice(self.terms, self._seed, number, index)
        rng = np.random.default_rng([self._seed, number, index, 1])
        width, height = self._sizes[int(rng.integers(len(self._sizes)))]
        look, model = sample_look(dice), sample_camera(dice, width, height)
        camera = self._cameras[width, height]
        self._scene.light(look)
        for _ in range(TRIES):
            stand(camera, model, *_place(spots, vehicles, rng))
            self._scene.render([camera])
            mask = CLASS_OF_TAG[camera.tags()]
            if np.count_nonzero(mask) > LEAST_ROAD * mask.size:
                break
        frame, (mask,) = expose(
            camera.picture(),
            (mask,),
            model,
            dice,
            rain=look.rain,
            darkness=look.darkness,
            background=(CLASSES["background"],),
        )
        return frame, np.ascontiguousarray(mask)


def render_frames(
    count: int,
    seed: int,
    width: int = 640,
    height: int = 480,
    maps: Sequence[str] = (),
    terms: DomainRandomization | None = None,
) -> Iterator[Shot]:
    """Yield ``count`` of (id, frame (H, W, 3) uint8 BGR, mask (H, W) uint8).

    Arguments and errors are those of `Renderer`; the same arguments give the same bytes.
    """
    if count < 0:
        raise EdgeSegError(f"count {count} must not be negative")
    with closing(Renderer(seed, terms, maps, [(width, height)])) as renderer:
        for first in range(0, count, FRAMES_PER_SCENE):
            shots = renderer.scene(first // FRAMES_PER_SCENE)
            yield from shots[: count - first]


def stand(camera: object, model: CameraModel, place: Vector, heading: float, grade: float) -> None:
    """Put a camera over ``place`` (3,) of a lane that runs along ``heading`` radians.

    ``grade`` is the road's rise per metre, which the car follows.
    """
    pose = model.place
    right = np.array([np.sin(heading), -np.cos(heading), 0.0])
    camera.place(  # type: ignore[attr-defined]
        place + right * pose.aside + [0.0, 0.0, pose.height],
        heading=float(np.degrees(heading)) + pose.yaw,
        pitch=float(np.degrees(np.arctan(grade))) + pose.pitch,
        roll=pose.roll,
        field=model.render_field(),
        ground=float(place[2]),
    )


def _place(
    spots: list[tuple[Lane, int]], vehicles: Vector, rng: np.random.Generator
) -> tuple[Vector, float, float]:
    """Choose a place on a lane, not inside a vehicle: (place, heading, grade)."""
    for _ in range(20):
        lane, index = spots[int(rng.integers(len(spots)))]
        centre = lane.centre
        if not len(vehicles) or np.hypot(*(vehicles - centre[index, :2]).T).min() > 7.5:
            break
    ahead = centre[min(index + 3, len(centre) - 1)] - centre[index]
    run = max(float(np.hypot(ahead[0], ahead[1])), 1e-6)
    return centre[index], float(np.arctan2(ahead[1], ahead[0])), float(ahead[2]) / run


def _spots(lanes: list[Lane], anchor: Vector) -> list[tuple[Lane, int]]:
    """Return the samples (lane, index) close to the anchor; a lane's last stretch left out."""
    distances = []
    for lane in lanes:
        last = -70 if len(lane.s) > 110 else -15
        distances.append(np.linalg.norm(lane.centre[:last, :2] - anchor[:2], axis=1))
    closest = min(float(distance.min()) for distance in distances)
    # An anchor near the end of a lone lane of some 115 m is far from all that is left of it.
    reach = NEAR if closest < NEAR else closest + NEAR / 4
    return [
        (lane, int(i))
        for lane, distance in zip(lanes, distances, strict=True)
        for i in np.flatnonzero(distance < reach)
    ]
