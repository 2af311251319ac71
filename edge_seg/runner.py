"""Run a bundle over a source of frames and keep masks and overlays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from edge_seg.bench import Quantiles, quantiles
from edge_seg.classes import ClassMap
from edge_seg.draw import overlay
from edge_seg.errors import EdgeSegError
from edge_seg.files import explain, remove_stale, temporary_prefix, write_bytes
from edge_seg.frames.images import quiet_opencv
from edge_seg.frames.sources import ImageSource, Source
from edge_seg.pipeline import Timings
from edge_seg.preprocess import Frame, Mask
from edge_seg.progress import Track, silent
from edge_seg.segmenter import Segmenter

RECENT = 10_000
"""Frames whose timings are kept: a camera may run for days in flat memory."""
FPS = 25.0
"""Of the overlay video where the stream does not say: cameras give 25 or 30."""

DEPTH_UNITS = 256
"""Of a depth file, a metre."""


class RunSummary(msgspec.Struct, frozen=True):
    """What a run did; ``fps`` is of the median frame, reading and writing files excluded.

    ``unreadable`` says what was wrong with each file that was left out, or how a camera was lost.
    """

    frames: int
    stages: dict[str, Quantiles]
    fps: float
    output: str
    unreadable: list[str]


def run(
    segmenter: Segmenter,
    source: Source,
    out: Path,
    with_overlay: bool = True,
    limit: int | None = None,
    track: Track = silent,
) -> RunSummary:
    """Write ``out/NAME.png`` (class ids, or depths) for every frame, and overlays.

    A depth is 16-bit grey, 256 times the metres, 0 for unknown: the form of KITTI's depth maps
    (Uhrig et al. 2017, arXiv:1708.06500, development kit).

    Overlays are ``out/NAME.overlay.jpg``; a stream's are one video, ``out/SOURCE.overlay.mp4``.
    Raises `EdgeSegError` where the source gives nothing or the folder cannot be written.
    """
    _refuse_overwriting(source, out)
    if out.exists() and not out.is_dir():
        raise EdgeSegError(f"{out} is a file: name a folder for the masks with -o")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, out) from error
    remove_stale(out)
    timings: list[Timings] = []
    count = 0
    with _overlays(source, out) as show:
        for name, frame in track(islice(source, limit), "segmenting", limit or source.count or 0):
            if not count:
                segmenter(frame)  # an engine's first run allocates: not what a frame costs
            mask = segmenter(frame)
            if len(timings) < RECENT:
                timings.append(segmenter.timings)
            else:
                timings[count % RECENT] = segmenter.timings
            count += 1
            _write(out / f"{name}.png", _stored(mask, segmenter.classes))
            if with_overlay:
                show(name, overlay(frame, mask, segmenter.classes))
    if not count:
        why = f": {source.unreadable[0]}" if source.unreadable else ""
        raise EdgeSegError(f"{source.name} gave no frame{why}")
    stages = quantiles(timings)
    return RunSummary(count, stages, 1e3 / stages["total"].p50_ms, str(out), source.unreadable)


def _refuse_overwriting(source: Source, out: Path) -> None:
    """Refuse a mask or an overlay that would take the place of a frame."""
    if not isinstance(source, ImageSource):
        return
    results = {
        (out / f"{source.name_of(path)}{ending}").resolve()
        for path in source.paths
        for ending in (".png", ".overlay.jpg")
    }
    for path in source.paths:
        if path.resolve() in results:
            raise EdgeSegError(f"a result would overwrite {path}: name another folder with -o")


@contextmanager
def _overlays(source: Source, out: Path) -> Iterator[Callable[[str, Frame], None]]:
    """Yield what keeps a frame's overlay, given (name, picture)."""
    if source.is_stream:
        with _video(out / f"{source.name}.overlay.mp4", source.fps or FPS) as append:
            yield lambda name, picture: append(picture)
    else:
        yield lambda name, picture: _write(out / f"{name}.overlay.jpg", picture)


@contextmanager
def _video(path: Path, fps: float) -> Iterator[Callable[[Frame], None]]:
    """Yield what appends a picture; the video is kept when a Ctrl-C ends it early."""
    temporary = path.with_name(f"{temporary_prefix()}{path.name}")
    writer = cv2.VideoWriter()

    def append(picture: Frame) -> None:
        if not writer.isOpened():
            height, width = picture.shape[:2]
            with quiet_opencv():
                writer.open(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
            if not writer.isOpened():
                raise EdgeSegError(f"cannot write {path} as MPEG-4 video: try --no-overlay")
        writer.write(picture)

    whole = True
    try:
        yield append
    except Exception:  # a Ctrl-C is none: it is how the run of a camera ends
        whole = False
        raise
    finally:
        writer.release()
        if whole and temporary.exists():
            temporary.replace(path)
        temporary.unlink(missing_ok=True)


def _stored(mask: Mask, classes: ClassMap) -> npt.NDArray[Any]:
    """Return what a mask's file holds."""
    if classes.depth is None:
        return mask
    metres = np.nan_to_num(classes.depth.metres(mask))
    return np.clip(np.rint(metres * DEPTH_UNITS), 0, 65535).astype(np.uint16)


def _write(path: Path, image: npt.NDArray[Any]) -> None:
    encoded, payload = cv2.imencode(path.suffix, image)
    if not encoded:
        raise EdgeSegError(f"cannot encode {path}")
    write_bytes(path, payload.tobytes())
