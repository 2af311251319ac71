"""A build is watched: how far it is, and Ctrl-C ends it.

    built = watched(api, track, attempt, model)     # attempt(api, watch, model), in a thread

What TensorRT calls back must not raise, as C++ would end the process; so the build has a thread of
its own, and what the user sees and does stays in the caller's.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from edge_seg.engines.tensorrt.api import Api
from edge_seg.progress import Track

Result = TypeVar("Result")


def watched(api: Api, track: Track, attempt: Callable[..., Result], *arguments: Any) -> Result:
    """Return what ``attempt(api, watch, *arguments)`` returns, or raise what it raises."""
    watch = Watch(api)
    ends: list[Result | BaseException] = []

    def build_here() -> None:
        try:
            ends.append(attempt(api, watch, *arguments))
        except BaseException as error:
            # What failed ends here, in order, and not with the traceback, whenever that goes.
            traceback.clear_frames(error.__traceback__)
            ends.append(error)
        watch.end()

    thread = threading.Thread(target=build_here, name="tensorrt-build", daemon=True)
    by_hand = contextlib.nullcontext() if api.reports_progress else _ctrl_c_kills()
    with by_hand, _no_garbage():
        thread.start()
        try:
            for _ in track(watch.percents(), "building the engine", 100):
                pass
        finally:
            watch.interrupt()  # where it is not over yet: at its next step
            thread.join()
    (end,) = ends
    if isinstance(end, BaseException):
        raise end
    return end


@dataclass
class _Phase:
    """A phase of a build: where it begins and how much it is of the whole, its steps."""

    start: float
    width: float
    steps: int
    done: int = 0

    @property
    def place(self) -> float:
        return self.start + self.width * min(1.0, self.done / self.steps)


class Watch:
    """How far a build is: its thread says so through `monitor`, the caller's reads `percents`."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._places: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        self._interrupted = False

    def end(self) -> None:
        """Say that the build is over."""
        self._places.put(None)

    def interrupt(self) -> None:
        """Have the build ended at its next step."""
        self._interrupted = True

    def percents(self) -> Iterator[int]:
        """Yield 1 to 100, as far as the build gets, until it is over."""
        shown = 0
        while (place := self._places.get()) is not None:
            while shown < int(100 * place):
                shown += 1
                yield shown

    @functools.cached_property
    def monitor(self) -> Any:
        """What TensorRT tells its phases; one lies within a step of its parent's."""
        watch = self
        phases: dict[str | None, _Phase] = {}
        whole = _Phase(0.0, 1.0, 1)

        class Monitor(self._api.module.IProgressMonitor):  # type: ignore[name-defined]
            def phase_start(self, name: str, parent: str | None, steps: int) -> None:
                above = phases.get(parent, whole)
                phases[name] = _Phase(above.place, above.width / above.steps, max(1, steps))

            def step_complete(self, name: str, step: int) -> bool:
                phase = phases.get(name, whole)
                phase.done = step + 1
                watch._places.put(phase.place)
                return not watch._interrupted

            def phase_finish(self, name: str) -> None:
                self.step_complete(name, phases.get(name, whole).steps - 1)

        return Monitor()


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    """Let no garbage be collected meanwhile.

    A builder in a cycle would be destroyed wherever the collector happens to run. In TensorRT's
    callbacks that is for ever: both the new builder, which calls back, and the end of an old one
    hold the library's lock.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def _ctrl_c_kills() -> Iterator[None]:
    """Let Ctrl-C end the process where it would raise: TensorRT 8 cannot be ended otherwise."""
    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if raises and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL and raises:
            signal.signal(signal.SIGINT, signal.default_int_handler)
