"""What happened to the frames, and how long each stage took: what diagnostics are made from.

    counts.add("received")
    counts.took(stages)                     # seconds of each stage of a frame that gave a mask
    window = counts.window()                # since the last window

Law: received == masks + dropped + skipped + stale + malformed + failed, but for the one frame that
waits and the one that is at work.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Literal

import numpy as np

STAGES = ("transport", "queue", "preprocess", "inference", "postprocess", "publish", "total")
"""Of a frame, in order: stamp to arrival, waiting, decoding and resizing, the network, its mask at
the frame's size, handing the mask to ROS; and stamp to handed over."""

Fate = Literal["received", "masks", "dropped", "skipped", "stale", "malformed", "failed", "lost"]
"""What becomes of a frame: dropped for a newer one, skipped by frame_skip, too old, no picture,
the network failed; ``lost`` is what the middleware says that never arrived."""

RECENT = 300
"""Frames whose stages are kept: ten seconds of a camera."""


@dataclass(frozen=True)
class Window:
    """A second of the node's life, and the totals since it was configured."""

    seconds: float
    total: dict[str, int]
    fresh: dict[str, int]
    stages_ms: dict[str, tuple[float, float]]
    """p50 and p99 of the recent frames, by stage; a stage nobody knows is missing."""
    skew_ms: float
    """How far ahead of our clock a frame's stamp was at most; 0: never."""
    unstamped: bool
    """Whether a frame came without a stamp."""
    last_malformed: str
    mask_age_s: float
    """Since the last good mask; infinite before the first."""
    late_ms: float
    """How late the executor's timer was at most."""

    def rate(self, fate: Fate) -> float:
        """Return frames per second."""
        return self.fresh.get(fate, 0) / self.seconds if self.seconds else 0.0


@dataclass
class Counts:
    """Written by the worker's and the executor's thread, read once a second."""

    _lock: Lock = field(default_factory=Lock)
    _total: dict[str, int] = field(default_factory=dict)
    _before: dict[str, int] = field(default_factory=dict)
    _since: float = field(default_factory=monotonic)
    _stages: dict[str, deque[float]] = field(default_factory=dict)
    _skew_s: float = 0.0
    _unstamped: bool = False
    _late_s: float = 0.0
    _malformed: str = ""
    _mask_at: float = -math.inf

    def add(self, fate: Fate, count: int = 1) -> None:
        """Count a frame, or several."""
        with self._lock:
            self._total[fate] = self._total.get(fate, 0) + count

    def malformed(self, reason: str) -> None:
        """Count a message that holds no picture."""
        with self._lock:
            self._total["malformed"] = self._total.get("malformed", 0) + 1
            self._malformed = reason

    def took(self, stages_s: dict[str, float]) -> None:
        """Count a mask with the seconds of its stages; NaN is what nobody knows."""
        with self._lock:
            self._total["masks"] = self._total.get("masks", 0) + 1
            self._mask_at = monotonic()
            for stage, seconds in stages_s.items():
                if not math.isnan(seconds):
                    self._stages.setdefault(stage, deque(maxlen=RECENT)).append(seconds)

    def skewed(self, seconds: float) -> None:
        """Remember a stamp that was that far in the future."""
        with self._lock:
            self._skew_s = max(self._skew_s, seconds)

    def unstamped(self) -> None:
        """Remember a frame without a stamp."""
        with self._lock:
            self._unstamped = True

    def late(self, seconds: float) -> None:
        """Remember how late a timer was called."""
        with self._lock:
            self._late_s = max(self._late_s, seconds)

    @property
    def mask_age_s(self) -> float:
        """Seconds since the last good mask; infinite before the first."""
        return monotonic() - self._mask_at

    def window(self) -> Window:
        """Return what happened since the last call, and begin anew."""
        with self._lock:
            now = monotonic()
            window = Window(
                seconds=now - self._since,
                total=dict(self._total),
                fresh={
                    fate: count - self._before.get(fate, 0) for fate, count in self._total.items()
                },
                stages_ms={stage: _quantiles_ms(times) for stage, times in self._stages.items()},
                skew_ms=1e3 * self._skew_s,
                unstamped=self._unstamped,
                last_malformed=self._malformed,
                mask_age_s=now - self._mask_at,
                late_ms=1e3 * self._late_s,
            )
            self._before, self._since = dict(self._total), now
            self._skew_s = self._late_s = 0.0
            self._unstamped = False
        return window


def _quantiles_ms(times_s: deque[float]) -> tuple[float, float]:
    p50, p99 = np.percentile(times_s, (50, 99))
    return 1e3 * float(p50), 1e3 * float(p99)
