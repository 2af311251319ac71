"""Latency, measured side by side: every entrant in its own process, taking turns.

Interleaving is what makes the numbers comparable: when the machine slows down for a
second, it does so for all. Compare medians and ratios of one run, not figures of two.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from edge_seg.bundle.manifest import DeviceState, Machine
from edge_seg.device import Device
from edge_seg.pipeline import STAGES, Timings
from edge_seg.progress import Track, silent
from edge_seg.worker import Worker

SCHEMA = "edge-seg/bench-1"
WARM_UP = 5
"""Frames before any is counted: first runs allocate, compile and fill caches."""
ROUNDS = 8


class Quantiles(msgspec.Struct, frozen=True):
    """Milliseconds; linear interpolation between the two nearest frames."""

    p50_ms: float
    p90_ms: float
    p99_ms: float


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entrant's figures; ``fps`` is frames per second of the median frame."""

    name: str
    engine: str
    precision: str
    frames: int
    stages: dict[str, Quantiles]
    fps: float
    peak_rss_bytes: int
    size_bytes: int


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """All entrants of one run; ``ratios`` is each one's median total over the first one's.

    ``before`` is the device at rest, ``after`` when the last frame was done; ``warnings`` say what
    slowed it in between. ``attached`` is the bundle that got the first entrant's figures.
    """

    schema: str = SCHEMA
    machine: Machine
    device: Device
    before: DeviceState
    after: DeviceState
    frame_set: str
    entries: list[Entry]
    ratios: dict[str, float]
    stages: dict[str, Quantiles]
    fps: float
    warnings: list[str] = []
    attached: str | None = None


def interleave(
    workers: Mapping[str, Worker], frames: Path, count: int, track: Track = silent
) -> dict[str, tuple[list[Timings], int]]:
    """Time ``count`` frames on every worker in turns; return timings and peak memory by name.

    ``frames`` is a frame set's folder. A worker that dies raises `edge_seg.worker.WorkerError`.
    """
    timings: dict[str, list[Timings]] = {name: [] for name in workers}
    memory = dict.fromkeys(workers, 0)
    for worker in workers.values():
        worker.time(frames, WARM_UP)
    share = max(1, -(-count // ROUNDS))
    for _ in track(range(ROUNDS), "timing side by side", ROUNDS):
        for name, worker in workers.items():
            rows, memory[name] = worker.time(frames, share)
            timings[name] += rows
    return {name: (timings[name][:count], memory[name]) for name in workers}


def quantiles(timings: list[Timings]) -> dict[str, Quantiles]:
    """Return each stage's quantiles over the frames."""
    result = {}
    for stage in STAGES:
        values = [getattr(row, f"{stage}_ms") for row in timings]
        p50, p90, p99 = (float(value) for value in np.percentile(values, (50, 90, 99)))
        result[stage] = Quantiles(p50, p90, p99)
    return result


def entry(
    name: str,
    engine: str,
    precision: str,
    timings: list[Timings],
    peak_rss_bytes: int,
    size_bytes: int,
) -> Entry:
    """Return one entrant's figures."""
    stages = quantiles(timings)
    return Entry(
        name=name,
        engine=engine,
        precision=precision,
        frames=len(timings),
        stages=stages,
        fps=1e3 / stages["total"].p50_ms,
        peak_rss_bytes=peak_rss_bytes,
        size_bytes=size_bytes,
    )
