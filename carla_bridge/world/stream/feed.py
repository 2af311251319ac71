"""Samples of rendered scenes, in order, from processes that render ahead.

    with closing(SceneFeed(Order(seed=1, batch=8), Job(seed=1), 2, range(100), range(8))) as feed:
        frame, mask = feed.frame(step=0, position=3)

In memory are, at most, `SCENES` scenes for each position in the batch and `AHEAD` for each worker:
at 4 frames of 640x480 (5 MB) a scene, 170 MB for a batch of 8 and one worker.

A worker that dies is replaced and renders its scene again, with the same bytes; after `DEATHS`
in a row, whoever waits gets an `EdgeSegError`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carla_bridge.world.stream.order import SCENES, Order
from carla_bridge.world.stream.worker import Job, Shots, Worker, WorkerDiedError
from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame, Mask

AHEAD = 3
"""Scenes that each worker may render before they are asked for."""
DEATHS = 5
"""Workers that may die in a row before something else must be wrong."""


@dataclass
class _Scene:
    """A rendered scene, and how often each of its frames is still to be shown."""

    shots: list[tuple[Frame, Mask] | None]
    uses: npt.NDArray[np.int64]


class SceneFeed:
    """The samples of some positions of the batch; a thread a worker waits for its process."""

    def __init__(
        self, order: Order, job: Job, workers: int, steps: range, positions: range
    ) -> None:
        self._order, self._job = order, job
        self._steps, self._positions = steps, positions
        self._needed = self._scenes_in_order()
        self._limit = len(positions) * SCENES + AHEAD * workers
        self._changed = threading.Condition()
        self._ready: dict[int, _Scene] = {}
        self._claimed = 0
        self._deaths = 0
        self._error = ""
        self._closed = False
        self._processes: list[Worker | None] = [None] * workers
        self._threads = [
            threading.Thread(target=self._work, args=(slot,), name=f"scenes-{slot}", daemon=True)
            for slot in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that run now."""
        with self._changed:
            return [worker.pid for worker in self._processes if worker is not None]

    def frame(self, step: int, position: int) -> tuple[Frame, Mask]:
        """Return a sample's frame (H, W, 3) and mask (H, W), waiting for it where it must."""
        number, index = self._order.place(step, position)
        with self._changed:
            while number not in self._ready:
                if self._error or self._closed:
                    raise EdgeSegError(self._error or "the scenes were closed")
                self._changed.wait()
            scene = self._ready[number]
            shot = scene.shots[index]
            assert shot is not None, "each sample is asked for once"
            scene.uses[index] -= 1
            if not scene.uses[index]:
                scene.shots[index] = None
            self._let_go_if_used(number)
        return shot

    def close(self) -> None:
        """End the workers; whoever waits for a frame gets an `EdgeSegError`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            for worker in self._processes:
                if worker is not None:
                    worker.kill()
        for thread in self._threads:
            thread.join()

    def _scenes_in_order(self) -> Iterator[int]:
        """Yield the scenes in the order in which they are first needed."""
        seen: set[int] = set()
        for step in self._steps:
            for position in self._positions:
                number, _ = self._order.place(step, position)
                if number not in seen:
                    seen.add(number)
                    yield number

    def _work(self, slot: int) -> None:
        """Render scene after scene in a process of this thread's own."""
        try:
            while (number := self._claim()) is not None:
                shots = self._rendered(slot, number)
                if shots is None:
                    return
                self._put(number, shots)
        except EdgeSegError as error:
            self._fail(str(error))
        finally:
            self._replace(slot, None)

    def _claim(self) -> int | None:
        """Return the next scene as soon as there is room for it; None where there is none."""
        with self._changed:
            while self._claimed >= self._limit and not (self._closed or self._error):
                self._changed.wait()
            if self._closed or self._error:
                return None
            self._claimed += 1
            return next(self._needed, None)

    def _rendered(self, slot: int, number: int) -> Shots | None:
        """Return a scene's frames, of a new process where one dies; None once closed."""
        while True:
            try:
                worker = self._processes[slot] or self._replace(slot, Worker(self._job))
                if worker is None:
                    return None
                shots = worker.scene(number)
            except (WorkerDiedError, OSError, ValueError) as error:
                if not self._go_on_after(error):
                    return None
                self._replace(slot, None)
                continue
            with self._changed:
                self._deaths = 0
            return shots

    def _go_on_after(self, death: Exception) -> bool:
        """Count a death; False once closed. Raises `EdgeSegError` after too many in a row."""
        with self._changed:
            if self._closed:
                return False
            self._deaths += 1
            if self._deaths >= DEATHS:
                raise EdgeSegError(
                    f"the scene's renderer ended {DEATHS} times in a row ({death}): see what "
                    "`edge-seg frames render` says, free memory, or take fewer --workers"
                )
            return True

    def _replace(self, slot: int, worker: Worker | None) -> Worker | None:
        """Put a process in the place of another; None, and it is ended, once closed."""
        with self._changed:
            before, self._processes[slot] = self._processes[slot], worker
            closed = self._closed
        if before is not None:
            before.close()
        if closed and worker is not None:
            worker.close()
            return None
        return worker

    def _put(self, number: int, shots: Sequence[tuple[Frame, Mask]]) -> None:
        if len(shots) != self._order.frames_per_scene:
            raise EdgeSegError(
                f"scene {number} has {len(shots)} frames, not {self._order.frames_per_scene}"
            )
        uses = self._order.uses(number, self._steps.start, self._steps.stop)
        kept = [shot if count else None for shot, count in zip(shots, uses, strict=True)]
        with self._changed:
            self._ready[number] = _Scene(kept, uses)
            self._changed.notify_all()

    def _let_go_if_used(self, number: int) -> None:
        if not self._ready[number].uses.any():
            del self._ready[number]
            self._claimed -= 1
            self._changed.notify_all()

    def _fail(self, message: str) -> None:
        with self._changed:
            self._error = self._error or message
            self._changed.notify_all()
