"""Parts of frame sets, written as sets of their own."""

from __future__ import annotations

from pathlib import Path

from edge_seg.frames import FrameSet
from edge_seg.frames.writer import FrameSetWriter


def every(frames: FrameSet, step: int, folder: Path) -> FrameSet:
    """Write each ``step``th frame of a set to a set of its own."""
    with FrameSetWriter(folder, frames.name, licence=frames.licence) as writer:
        for index in range(0, len(frames), step):
            writer.add(frames.image(index), frames.mask(index))
    return FrameSet.open(folder)
