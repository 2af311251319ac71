"""Opening a bundle for a robot: checked, tried on its golden frames, warmed up, in another thread.

    opening = Opening(Path("lane.edgeseg"), settings)
    while not opening.done.wait(0.1):
        ...                                   # the executor lives
    network = opening.result()                # raises EdgeSegError

Opening takes seconds, on a Jetson that sees the bundle for the first time minutes: an engine is
built there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Event, Thread

import numpy as np
import psutil

from edge_seg.bundle.archive import open_bundle
from edge_seg.bundle.errors import BundleError
from edge_seg.bundle.golden import golden_check
from edge_seg.errors import EdgeSegError
from edge_seg.segmenter import Segmenter
from ros_nodes.segmentation.parameters import Settings

WARM_UP = 10
"""Frames before the first of a camera: buffers are touched, clocks rise."""
CAMERA = (480, 640, 3)


@dataclass(frozen=True)
class Network:
    """A bundle that runs, and what was found out while opening it."""

    segmenter: Segmenter
    path: str
    digest: str
    expected_ms: float
    """Median of a 640x480 frame, preprocess to mask."""
    memory_bytes: int
    """What the process takes with it."""

    @property
    def engine(self) -> str:
        """``openvino int8``: what runs."""
        return f"{self.segmenter.manifest.engine.name} {self.segmenter.precision}"


def open_network(path: Path, settings: Settings) -> Network:
    """Open, test and warm up; raises `EdgeSegError` for whatever makes it unfit to drive by."""
    bundle = open_bundle(path)
    segmenter = Segmenter(
        bundle,
        threads=settings.threads or None,
        trust=settings.trust,
        options=settings.engine_options,
    )
    try:
        if segmenter.classes.task != "segmentation":
            raise BundleError(f"{path} gives {segmenter.classes.task}: this node publishes classes")
        golden = golden_check(bundle, segmenter, segmenter.precision)
        if not golden.passed:
            raise BundleError(
                f"{path}: only {golden.agreement_min:.2f} % of a golden frame's pixels are as they "
                "were packed: do not use it on this machine"
            )
        expected_ms = _warm(segmenter)
    except BaseException:
        segmenter.close()
        raise
    memory = psutil.Process().memory_info().rss
    return Network(segmenter, str(path), bundle.digest, expected_ms, memory)


class Opening:
    """`open_network` in a thread of its own. ``done`` is set when there is a result."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self.done = Event()
        self._network: Network | None = None
        self._error: Exception | None = None
        # No program waits for it to end: a build cannot be interrupted.
        Thread(target=self._open, args=(settings,), daemon=True, name="opening").start()

    def result(self) -> Network:
        """Return the network, or raise `EdgeSegError`; blocks until it is there."""
        self.done.wait()
        if self._error is not None:
            raise self._error
        assert self._network is not None
        return self._network

    def _open(self, settings: Settings) -> None:
        try:
            self._network = open_network(self.path, settings)
        except EdgeSegError as error:
            self._error = error
        except Exception as error:  # a runtime's own: the old bundle goes on all the same
            self._error = EdgeSegError(f"{self.path}: {type(error).__name__}: {error}")
        finally:
            self.done.set()


def _warm(segmenter: Segmenter) -> float:
    frame = np.zeros(CAMERA, np.uint8)
    totals = []
    for _ in range(WARM_UP):
        segmenter(frame)
        totals.append(segmenter.timings.total_ms)
    return float(median(totals[WARM_UP // 2 :]))
