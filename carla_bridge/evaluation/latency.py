"""Latency in the loop: a frame taken at t is answered at t + L, whatever this machine takes.

    delay = Delay(latency, seed=3)
    if delay.accepts(time_s):                     # busy with an earlier frame: dropped
        delay.start(time_s, segmenter(frame))
    for answer in delay.due(time_s):              # masks that are ready by now
        driver.see(answer.mask, answer.taken_at_s)

Like a node that skips stale input: one frame at a time, none waits in a queue. The simulator's
clock goes in steps, so an answer takes effect at the first step that is not before it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from carla_bridge.evaluation.record import LatencyInfo, LatencySource

Mask = npt.NDArray[np.uint8]

SLACK_S = 1e-6
"""Times of steps are sums of fractions: 3 x 0.05 is not 0.15."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from frame to mask: ``samples_ms`` to draw from, one or many."""

    name: str
    source: LatencySource
    samples_ms: tuple[float, ...]
    device: str = ""
    note: str = ""

    def percentile(self, percent: float) -> float:
        """Return a percentile of the samples in milliseconds."""
        return round(float(np.percentile(self.samples_ms, percent)), 3)

    @property
    def info(self) -> LatencyInfo:
        """What a record says of it."""
        return LatencyInfo(
            label=self.name,
            source=self.source,
            device=self.device,
            p50_ms=self.percentile(50.0),
            p99_ms=self.percentile(99.0),
            fixed=len(self.samples_ms) == 1,
            note=self.note,
        )

    def at(self, percent: float) -> Latency:
        """Return a latency that is always this percentile: ``pi5 p99``."""
        fixed = (self.percentile(percent),)
        name = f"{self.name} p{percent:g}"
        return msgspec.structs.replace(self, name=name, samples_ms=fixed)


NONE = Latency(name="0 ms", source="none", samples_ms=(0.0,))


def fixed(milliseconds: float) -> Latency:
    """Return a latency that is always the same."""
    return Latency(name=f"{milliseconds:g} ms", source="given", samples_ms=(milliseconds,))


@dataclass(frozen=True)
class Answer:
    """A mask, when its frame was taken and when it is ready, seconds."""

    mask: Mask
    taken_at_s: float
    ready_at_s: float


class Delay:
    """The device that works on one frame at a time, seeded."""

    def __init__(self, latency: Latency, seed: int) -> None:
        self._samples_ms = latency.samples_ms
        self._dice = random.Random(f"latency:{seed}")
        self._work: Answer | None = None
        self.dropped = 0

    def accepts(self, time_s: float) -> bool:
        """Return whether the device is idle at a frame's time; a frame refused is dropped."""
        idle = self._work is None or self._work.ready_at_s <= time_s + SLACK_S
        self.dropped += not idle
        return idle

    def start(self, time_s: float, mask: Mask) -> None:
        """Begin with the frame taken now, whose mask will be known later. Take `due` before."""
        took_ms = self._dice.choice(self._samples_ms)
        self._work = Answer(mask, time_s, time_s + took_ms / 1e3)

    def due(self, time_s: float) -> list[Answer]:
        """Return what is ready at this time and was not taken yet."""
        if self._work is None or self._work.ready_at_s > time_s + SLACK_S:
            return []
        answer, self._work = self._work, None
        return [answer]
