"""Labelled road frames: seeded, endless, from random roads or from OpenDRIVE maps.

    for name, frame, mask in render_frames(count=100, seed=1):
        ...  # frame (480, 640, 3) uint8 BGR, mask (480, 640) uint8: 0, 1 road, 2 marking

    write_frame_set(Path("my-frames"), count=100, seed=1)  # edge-seg frames render my-frames

Seeds separate roads: the project trains on seeds below 1000, calibrates on 1001 and
tests on 2001 (see calibration_sets/README.md), so that no test road was ever trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carla_bridge.world.lens import expose
from carla_bridge.world.look import sample_look, sample_pose
from carla_bridge.world.opendrive import random_road
from carla_bridge.world.roads import Lane, Roads, read_roads
from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame, Mask

if TYPE_CHECKING:  # Panda3D is opened only where frames are made
    from carla_bridge.world.scene import Stage
    from edge_seg.frames.importers import Progress

FRAMES_PER_SCENE = 4
"""Frames taken of one road, each in other light, from another place and camera."""

SIGHT = 230.0
"""Metres of road kept around a scene's anchor."""
NEAR = 40.0
"""Metres from the anchor within which cameras stand."""
LEAST_ROAD = 0.04
"""Share of the frame that road must fill; else the camera looks at a lorry's back."""


def render_frames(
    count: int,
    seed: int,
    width: int = 640,
    height: int = 480,
    maps: Sequence[str] = (),
) -> Iterator[tuple[str, Frame, Mask]]:
    """Yield ``count`` of (id, frame (H, W, 3) uint8 BGR, mask (H, W) uint8).

    ``maps`` are OpenDRIVE texts to render in turn; without any, random roads are made.
    The same arguments give the same bytes. Raises `EdgeSegError` for a map that cannot
    be read, a size that cannot be rendered, or a machine without a display.
    """
    if count < 0 or seed < 0:
        raise EdgeSegError(f"count {count} and seed {seed} must not be negative")
    towns = [read_roads(text, f"map {i + 1}") for i, text in enumerate(maps)]
    with closing(_stage(width, height)) as stage:
        for first in range(0, count, FRAMES_PER_SCENE):
            number = first // FRAMES_PER_SCENE
            rng = np.random.default_rng([seed, number])
            roads = towns[number % len(towns)] if towns else read_roads(random_road(rng), "random")
            lanes = roads.driving()
            lane = lanes[int(rng.integers(len(lanes)))]
            anchor = lane.centre[int(rng.integers(len(lane.s) * 3 // 4))]
            roads = _around(roads, anchor)
            vehicles = stage.build(roads, anchor, rng).vehicles
            for index in range(first, min(first + FRAMES_PER_SCENE, count)):
                frame, mask = _frame(stage, roads, anchor, vehicles, rng)
                yield f"{seed:04d}-{index:05d}", frame, mask


def _stage(width: int, height: int) -> Stage:
    from carla_bridge.world.display import open_display

    display = open_display()  # says what to install where Panda3D is missing
    from carla_bridge.world.scene import Stage

    return Stage(display, width, height)


def _around(roads: Roads, anchor: npt.NDArray[np.float64]) -> Roads:
    """Return what lies within sight of the anchor."""

    def near(points: npt.NDArray[np.float64]) -> bool:
        return bool((np.abs(points[:, :2] - anchor[:2]).max(axis=1) < SIGHT).any())

    return Roads(
        [lane for lane in roads.lanes if near(lane.left)],
        [line for line in roads.lines if near(line.points)],
    )


def _frame(
    stage: Stage,
    roads: Roads,
    anchor: npt.NDArray[np.float64],
    vehicles: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[Frame, Mask]:
    """Take one frame; look for another place where there is hardly any road to see."""
    for _ in range(5):
        place, heading, grade = _stand(roads, anchor, vehicles, rng)
        frame, mask = stage.shoot(place, heading, grade, sample_pose(rng), sample_look(rng))
        if np.count_nonzero(mask) > LEAST_ROAD * mask.size:
            break
    return expose(frame, mask, rng)


def _stand(
    roads: Roads,
    anchor: npt.NDArray[np.float64],
    vehicles: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float64], float, float]:
    """Choose a place on a lane near the anchor, not inside a vehicle: (place, heading, grade)."""
    spots = _spots(roads.driving(), anchor)
    for _ in range(20):
        lane, index = spots[int(rng.integers(len(spots)))]
        centre = lane.centre
        ahead = centre[min(index + 3, len(centre) - 1)] - centre[index]
        if not len(vehicles) or np.hypot(*(vehicles - centre[index, :2]).T).min() > 7.5:
            break
    run = max(float(np.hypot(ahead[0], ahead[1])), 1e-6)
    return centre[index], float(np.arctan2(ahead[1], ahead[0])), float(ahead[2]) / run


def _spots(lanes: list[Lane], anchor: npt.NDArray[np.float64]) -> list[tuple[Lane, int]]:
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


def write_frame_set(
    folder: Path,
    count: int,
    seed: int,
    width: int = 640,
    height: int = 480,
    *,
    name: str | None = None,
    maps: Sequence[Path] = (),
    quality: int = 92,
    progress: Progress | None = None,
) -> None:
    """Render a new frame set: JPEG frames of ``quality`` 1..100, PNG masks.

    ``name`` is the folder's without one; ``maps`` are OpenDRIVE files; ``progress`` is told
    (done, total). Raises `EdgeSegError` as `render_frames` does, and where ``folder`` exists.
    """
    from carla_bridge.world.display import open_display
    from edge_seg.frames import FrameSetWriter

    texts = [_read_map(path) for path in maps]
    origin = ", ".join(path.name for path in maps) or "random roads"
    source = f"rendered by carla_bridge.world: {origin}, seed {seed}, {open_display()}"
    name = name or folder.name
    with FrameSetWriter(folder, name=name, licence="Apache-2.0", source=source) as writer:
        for id, frame, mask in render_frames(count, seed, width, height, texts):
            writer.add(frame, mask, id=id, quality=quality)
            if progress is not None:
                progress(len(writer), count)


def _read_map(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeSegError(f"cannot read the map {path}: {error}; give a .xodr file") from error
