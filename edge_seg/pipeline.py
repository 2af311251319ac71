"""A session with the mask brought to the frame's size, every stage timed.

pipeline = Pipeline(engine.open(model, spec, options))
mask = pipeline(frame)             # (H, W, 3) uint8 BGR -> (H, W) uint8 class ids
pipeline.timings.total_ms          # of that frame, and each stage of it
"""

from __future__ import annotations

from time import perf_counter

import msgspec
import numpy as np

from edge_seg.engines.session import Session
from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame, Mask, resize_mask

STAGES = ("preprocess", "inference", "postprocess", "total")


class Timings(msgspec.Struct, frozen=True):
    """Wall-clock milliseconds that one frame spent in each stage."""

    preprocess_ms: float
    inference_ms: float
    postprocess_ms: float
    total_ms: float


class Pipeline:
    """A session with the mask brought to the frame's size, every stage timed.

    What `Segmenter` is without a bundle: the tournament runs its candidates through it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.timings = Timings(0.0, 0.0, 0.0, 0.0)

    def __call__(self, frame: Frame) -> Mask:
        """Return the mask (H, W) of a frame (H, W, 3) uint8 BGR."""
        _check(frame)
        start = perf_counter()
        self._session.preprocess(frame)
        prepared = perf_counter()
        self._session.infer()
        inferred = perf_counter()
        mask = resize_mask(self._session.ids(), *frame.shape[:2])
        end = perf_counter()
        self.timings = Timings(
            (prepared - start) * 1e3,
            (inferred - prepared) * 1e3,
            (end - inferred) * 1e3,
            (end - start) * 1e3,
        )
        return mask

    def close(self) -> None:
        """Free the runtime."""
        self._session.close()


def _check(frame: Frame) -> None:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3:
        found = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame)
        raise EdgeSegError(f"a frame is a uint8 array (H, W, 3) in BGR order, not {found}")
    if frame.shape[2] != 3 or 0 in frame.shape:
        raise EdgeSegError(f"a frame has the shape (H, W, 3), not {frame.shape}")
