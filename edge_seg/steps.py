"""The steps of a long job: each has a name, a time, and something to say when it is done.

steps = Steps(notify=print)
with steps("fold") as step:
    step.detail = "23 layers"
steps.finished            # [("fold", 0.8)]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from time import perf_counter

from edge_seg.progress import Track, silent


@dataclass
class Step:
    """One step; ``seconds`` is filled when it ends."""

    name: str
    detail: str = ""
    seconds: float = 0.0


class Steps:
    """Times the steps and tells ``notify`` of each that is done.

    ``show`` is entered with a step's name while it runs; ``track`` draws the bars inside it.
    """

    def __init__(
        self,
        notify: Callable[[Step], None] = lambda step: None,
        track: Track = silent,
        show: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
    ) -> None:
        self.track = track
        self.finished: list[tuple[str, float]] = []
        self._notify = notify
        self._show = show

    @contextmanager
    def __call__(self, name: str) -> Iterator[Step]:
        """Run one step."""
        step = Step(name)
        start = perf_counter()
        with self._show(name):
            yield step
        step.seconds = perf_counter() - start
        self.finished.append((name, step.seconds))
        self._notify(step)
