"""Rendered frame sets on disk: what ``edge-seg frames render`` writes.

    write_frame_set(Path("my-frames"), count=100, seed=1, workers=2)

The bytes are the same however many workers render.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carla_bridge.world.maps.roads import read_roads
from carla_bridge.world.randomization import DomainRandomization
from carla_bridge.world.render import FRAMES_PER_SCENE
from carla_bridge.world.scene.cameras import check_size
from carla_bridge.world.scene.display import open_display
from carla_bridge.world.stream.feed import SceneFeed
from carla_bridge.world.stream.order import Order
from carla_bridge.world.stream.worker import Job
from edge_seg.errors import EdgeSegError

if TYPE_CHECKING:
    from edge_seg.frames.importers import Progress


@dataclass(frozen=True)
class InOrder(Order):
    """Scene after scene, each frame once: step s is frame s of the set."""

    def place(self, step: int, position: int) -> tuple[int, int]:
        """Return the scene and which of its frames step ``step`` shows."""
        return divmod(step, self.frames_per_scene)

    def uses(self, scene: int, first: int, steps: int) -> npt.NDArray[np.int64]:
        """Return how often each frame of a scene is shown in the steps ``first`` to ``steps``."""
        step = scene * self.frames_per_scene + np.arange(self.frames_per_scene)
        return ((first <= step) & (step < steps)).astype(np.int64)


def write_frame_set(
    folder: Path,
    count: int,
    seed: int,
    width: int = 640,
    height: int = 480,
    *,
    name: str | None = None,
    maps: Sequence[Path] = (),
    terms: DomainRandomization | None = None,
    quality: int = 92,
    frames_per_scene: int = FRAMES_PER_SCENE,
    workers: int = 0,
    progress: Progress | None = None,
) -> None:
    """Render a new frame set: JPEG frames of ``quality`` 1..100, PNG masks.

    ``name`` is the folder's without one; ``maps`` are OpenDRIVE files; ``frames_per_scene`` frames
    share a piece of road, in other light; ``workers`` processes render (0: one a core);
    ``progress`` is told (done, total). Raises `EdgeSegError` as
    `render.Renderer` does, and where ``folder`` exists.
    """
    from edge_seg.frames import FrameSetWriter

    if count < 0 or seed < 0:
        raise EdgeSegError(f"seed {seed} and the count of frames {count} must not be negative")
    check_size(width, height)
    terms = terms or DomainRandomization()
    job = Job(seed, terms, read_maps(maps), ((width, height),), frames_per_scene)
    origin = ", ".join(path.name for path in maps) or "random roads"
    origin = ", ".join([origin, f"seed {seed}", f"{frames_per_scene} a scene", *terms.changed()])
    source = f"rendered by carla_bridge.world: {origin}, {open_display()}"
    name = name or folder.name
    with (
        FrameSetWriter(folder, name=name, licence="Apache-2.0", source=source) as writer,
        closing(_feed(job, count, workers)) as feed,
    ):
        for step in range(count):
            frame, mask = feed.frame(step, 0)
            writer.add(frame, mask, id=f"{seed:04d}-{step:05d}", quality=quality)
            if progress is not None:
                progress(len(writer), count)


def _feed(job: Job, count: int, workers: int) -> SceneFeed:
    scenes = -(-count // job.frames_per_scene)
    most = max(1, min(workers or os.cpu_count() or 1, scenes))
    order = InOrder(job.seed, 1, job.frames_per_scene)
    return SceneFeed(order, job, most, range(count), range(1))


def read_maps(maps: Sequence[Path]) -> tuple[str, ...]:
    """Return the texts of OpenDRIVE files; what is no map is refused here, under its name."""
    texts = tuple(_read(path) for path in maps)
    for path, text in zip(maps, texts, strict=True):
        read_roads(text, path.name)
    return texts


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise EdgeSegError(f"cannot read the map {path}: {why}; give a .xodr file") from error
