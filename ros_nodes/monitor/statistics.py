"""The figures of a measurement: rate, frames missed, latency, jitter; no ROS in here.

    record = Record()
    record.frame(stamp_ns, seen_ns)              # a frame that the camera sent
    record.mask(stamp_ns, seen_ns)               # a mask, with the stamp of its frame
    record.stages({"inference": 0.021})          # seconds, as the node itself says
    report(record, topics, end_ns, seconds).metrics.mean_latency

`Metrics` has names and formulas of NVIDIA's ros2_benchmark (ros2_benchmark/
basic_performance_calculator.py, `BasicPerformanceMetrics`); of a frame the stamp is taken as when
it was sent. Its mean frame rate is all frames over the time from the first to the last, so a
little above `Report.rate_hz`, which counts intervals.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

GRACE_NS = 1_000_000_000
"""A frame sent later than this before the end may still be at work: not missed yet."""
GAP = 1.5
"""Times the median interval: there a mask is missing."""


def _longs() -> array[int]:
    return array("q")


@dataclass
class Record:
    """Nanoseconds of one clock, in the order of arrival: 32 bytes a frame, so hours are kept."""

    frame_stamps: array[int] = field(default_factory=_longs)
    frame_seen: array[int] = field(default_factory=_longs)
    mask_stamps: array[int] = field(default_factory=_longs)
    mask_seen: array[int] = field(default_factory=_longs)
    stage_ms: dict[str, array[float]] = field(default_factory=dict)

    def frame(self, stamp_ns: int, seen_ns: int) -> None:
        """Note a frame of the camera."""
        self.frame_stamps.append(stamp_ns)
        self.frame_seen.append(seen_ns)

    def mask(self, stamp_ns: int, seen_ns: int) -> None:
        """Note a mask."""
        self.mask_stamps.append(stamp_ns)
        self.mask_seen.append(seen_ns)

    def stages(self, seconds: Mapping[str, float]) -> None:
        """Note how long a frame's stages took; NaN is what the node does not know."""
        for name, value in seconds.items():
            if not math.isnan(value):
                self.stage_ms.setdefault(name, array("d")).append(1e3 * value)

    def latencies_ms(self, first: int = 0) -> Floats:
        """Return receipt minus stamp of each mask from the ``first`` on."""
        seen = np.asarray(self.mask_seen[first:], np.int64)
        return np.asarray((seen - np.asarray(self.mask_stamps[first:], np.int64)) / 1e6, float)


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds; quantiles by linear interpolation between the two nearest."""

    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class Intervals(msgspec.Struct, frozen=True, kw_only=True):
    """Between one mask's arrival and the next; ``gaps`` are longer than 1.5 medians."""

    mean_ms: float
    std_ms: float
    range_ms: float
    max_ms: float
    gaps: int


class Metrics(msgspec.Struct, frozen=True, kw_only=True, rename="upper"):
    """ros2_benchmark's: milliseconds, frames a second; None where too little arrived."""

    received_duration: float | None = None
    mean_playback_frame_rate: float | None = None
    mean_frame_rate: float | None = None
    num_missed_frames: int | None = None
    num_frames_sent: int | None = None
    max_latency: float | None = None
    min_latency: float | None = None
    mean_latency: float | None = None
    max_jitter: float | None = None
    min_jitter: float | None = None
    mean_jitter: float | None = None
    std_dev_jitter: float | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured in ``seconds``; ``stages`` are the node's own, ``latency`` is from outside.

    ``received`` counts masks, ``frames_seen`` what came on the image topic, None where nobody
    listened there.
    """

    schema: str = "edge-seg/ros-latency-1"
    topics: dict[str, str]
    seconds: float
    received: int
    frames_seen: int | None
    rate_hz: float | None
    latency: Spread | None
    intervals: Intervals | None
    metrics: Metrics
    stages: dict[str, Spread]


def report(record: Record, topics: Mapping[str, str], end_ns: int, seconds: float) -> Report:
    """Return the figures at ``end_ns``; frames are counted where ``topics`` has an "image"."""
    latencies = record.latencies_ms()
    intervals_ms = np.asarray(np.diff(np.asarray(record.mask_seen, np.int64)) / 1e6, float)
    counted = "image" in topics
    return Report(
        topics=dict(topics),
        seconds=round(seconds, 3),
        received=len(record.mask_seen),
        frames_seen=len(record.frame_seen) if counted else None,
        rate_hz=float(1e3 / intervals_ms.mean()) if intervals_ms.sum() > 0 else None,
        latency=spread(latencies),
        intervals=_intervals(intervals_ms),
        metrics=_metrics(record, latencies, intervals_ms, end_ns, counted),
        stages={name: row for name, ms in record.stage_ms.items() if (row := spread(ms))},
    )


def spread(values_ms: Sequence[float] | Floats) -> Spread | None:
    """Return mean, quantiles and maximum; None of nothing."""
    values = np.asarray(values_ms, float)
    if not len(values):
        return None
    p50, p90, p99 = (float(value) for value in np.percentile(values, (50, 90, 99)))
    mean, largest = float(values.mean()), float(values.max())
    return Spread(mean_ms=mean, p50_ms=p50, p90_ms=p90, p99_ms=p99, max_ms=largest)


def sent_and_missed(record: Record, end_ns: int) -> tuple[int, int]:
    """Return how many frames should have become masks, and how many of them did not.

    Counted from the first mask's frame on: before it the node was not at work. A frame whose mask
    came was sent, also where we did not see it ourselves.
    """
    masks = set(record.mask_stamps)
    first, last = min(masks, default=0), max(masks, default=0)
    sent = set(masks)
    for stamp, seen in zip(record.frame_stamps, record.frame_seen, strict=True):
        if stamp >= first and (stamp < last or seen <= end_ns - GRACE_NS):
            sent.add(stamp)
    return len(sent), len(sent - masks)


def _intervals(intervals_ms: Floats) -> Intervals | None:
    if not len(intervals_ms):
        return None
    return Intervals(
        mean_ms=float(intervals_ms.mean()),
        std_ms=float(intervals_ms.std()),
        range_ms=float(np.ptp(intervals_ms)),
        max_ms=float(intervals_ms.max()),
        gaps=int((intervals_ms > GAP * np.median(intervals_ms)).sum()),
    )


def _metrics(
    record: Record, latencies: Floats, intervals_ms: Floats, end_ns: int, counted: bool
) -> Metrics:
    values: dict[str, Any] = {}
    if len(latencies):
        values["max_latency"] = float(latencies.max())
        values["min_latency"] = float(latencies.min())
        values["mean_latency"] = float(latencies.mean())
        values["received_duration"] = duration_ms = float(intervals_ms.sum())
        if duration_ms > 0:
            values["mean_frame_rate"] = 1e3 * len(latencies) / duration_ms
    jitters = np.abs(np.diff(intervals_ms))
    if len(jitters):
        values["max_jitter"] = float(jitters.max())
        values["min_jitter"] = float(jitters.min())
        values["mean_jitter"] = float(jitters.mean())
        values["std_dev_jitter"] = float(jitters.std())
    if counted:
        sent, missed = sent_and_missed(record, end_ns)
        values["num_frames_sent"], values["num_missed_frames"] = sent, missed
        stamps = record.frame_stamps
        if len(stamps) > 1 and stamps[-1] > stamps[0]:
            values["mean_playback_frame_rate"] = 1e9 * len(stamps) / (stamps[-1] - stamps[0])
    return Metrics(**values)
