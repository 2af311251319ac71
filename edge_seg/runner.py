"""Run a bundle over a source of frames and keep masks and overlays."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import msgspec

from edge_seg.bench import Quantiles, quantiles
from edge_seg.draw import overlay
from edge_seg.errors import EdgeSegError
from edge_seg.files import explain, write_bytes
from edge_seg.frames.sources import Source
from edge_seg.preprocess import Frame
from edge_seg.progress import Track, silent
from edge_seg.segmenter import Segmenter, Timings

RECENT = 10_000
"""Frames whose timings are kept: a camera may run for days in flat memory."""


class RunSummary(msgspec.Struct, frozen=True):
    """What a run did; ``fps`` is of the median frame, reading and writing files excluded."""

    frames: int
    stages: dict[str, Quantiles]
    fps: float
    output: str


def run(
    segmenter: Segmenter,
    source: Source,
    out: Path,
    with_overlay: bool = True,
    limit: int | None = None,
    track: Track = silent,
) -> RunSummary:
    """Write ``out/NAME.png`` (class ids) and ``out/NAME.overlay.jpg`` for every frame."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, out) from error
    timings: list[Timings] = []
    count = 0
    for name, frame in track(islice(source, limit), "segmenting", limit or source.count or 0):
        mask = segmenter(frame)
        if len(timings) < RECENT:
            timings.append(segmenter.timings)
        else:
            timings[count % RECENT] = segmenter.timings
        count += 1
        _write(out / f"{name}.png", mask)
        if with_overlay:
            _write(out / f"{name}.overlay.jpg", overlay(frame, mask, segmenter.classes))
    if not count:
        raise EdgeSegError(f"{source.name} gave no frame")
    stages = quantiles(timings)
    return RunSummary(count, stages, 1e3 / stages["total"].p50_ms, str(out))


def _write(path: Path, image: Frame) -> None:
    encoded, payload = cv2.imencode(path.suffix, image)
    if not encoded:
        raise EdgeSegError(f"cannot encode {path}")
    write_bytes(path, payload.tobytes())
