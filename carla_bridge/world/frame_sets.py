"""Rendered frame sets on disk: what ``edge-seg frames render`` writes.

write_frame_set(Path("my-frames"), count=100, seed=1)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from carla_bridge.world.display import open_display
from carla_bridge.world.randomization import DomainRandomization
from carla_bridge.world.render import render_frames
from edge_seg.errors import EdgeSegError

if TYPE_CHECKING:
    from edge_seg.frames.importers import Progress


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
    progress: Progress | None = None,
) -> None:
    """Render a new frame set: JPEG frames of ``quality`` 1..100, PNG masks.

    ``name`` is the folder's without one; ``maps`` are OpenDRIVE files; ``progress`` is told
    (done, total). Raises `EdgeSegError` as `render_frames` does, and where ``folder`` exists.
    """
    from edge_seg.frames import FrameSetWriter

    texts = [read_map(path) for path in maps]
    origin = ", ".join(path.name for path in maps) or "random roads"
    source = f"rendered by carla_bridge.world: {origin}, seed {seed}, {open_display()}"
    name = name or folder.name
    with FrameSetWriter(folder, name=name, licence="Apache-2.0", source=source) as writer:
        for shot in render_frames(count, seed, width, height, texts, terms):
            writer.add(shot.frame, shot.mask, id=shot.id, quality=quality)
            if progress is not None:
                progress(len(writer), count)


def read_map(path: Path) -> str:
    """Return the text of an OpenDRIVE file."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeSegError(f"cannot read the map {path}: {error}; give a .xodr file") from error
