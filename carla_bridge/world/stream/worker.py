"""A process that renders scenes for another, and the other's end of it.

    with closing(Worker(Job(seed=1))) as worker:
        for frame, mask in worker.scene(17):
            ...

Requests are lines with a scene's number; an answer is a JSON header, which gives the sizes, and
the pixels as they are: no object of one process is unpickled in the other. The child lets the
training go first (nice 10), renders in one thread, and ends when its parent does: Linux kills
it (prctl), and a pipe nobody else holds is closed.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import selectors
import signal
import struct
import subprocess
import sys
from time import monotonic
from typing import IO, Any

import msgspec
import numpy as np

from carla_bridge.world.randomization import DomainRandomization
from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.preprocess import Frame, Mask
from edge_seg.worker import end_with

Shots = list[tuple[Frame, Mask]]
"""A scene's frames (H, W, 3) uint8 BGR and masks (H, W) uint8."""

SCENE_SECONDS = 300.0
"""A scene that takes longer, on a machine however busy, hangs."""
ONE_THREAD = {"LP_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""llvmpipe and numpy: several workers share the cores better than one does."""
NICE = 10

_LENGTH = struct.Struct("<I")


class Job(msgspec.Struct, frozen=True):
    """What a worker's renderer is made of; ``sizes`` are (width, height)."""

    seed: int
    terms: DomainRandomization = DomainRandomization()
    maps: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ((640, 480),)
    frames_per_scene: int = 4
    renderer: str = "carla_bridge.world.render:Renderer"


class _Header(msgspec.Struct):
    """What precedes the pixels: (height, width) of each frame, or why there is none."""

    sizes: list[tuple[int, int]] = []
    error: str = ""


class WorkerDiedError(Exception):
    """The process ended or hangs; another may do better."""


class Worker:
    """The parent's end; one thread uses it. ``pid`` is the child's."""

    def __init__(self, job: Job) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "carla_bridge.world.stream.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, **ONE_THREAD},
        )
        self.pid = self._child.pid
        self._send(msgspec.json.encode(job))

    def scene(self, number: int) -> Shots:
        """Return a scene's frames; raises `WorkerDiedError`, or `EdgeSegError` for a bad job."""
        self._send(b"%d" % number)
        end = monotonic() + SCENE_SECONDS
        length = bytearray(_LENGTH.size)
        self._fill(memoryview(length), end)
        encoded = bytearray(_LENGTH.unpack(length)[0])
        self._fill(memoryview(encoded), end)
        header = msgspec.json.decode(encoded, type=_Header)
        if header.error:
            raise EdgeSegError(header.error)
        shots = []
        for height, width in header.sizes:
            frame = np.empty((height, width, 3), np.uint8)
            mask = np.empty((height, width), np.uint8)
            for pixels in (frame, mask):
                self._fill(pixels.data.cast("B"), end)
            shots.append((frame, mask))
        return shots

    def kill(self) -> None:
        """End the child, from any thread: a `scene` that waits raises `WorkerDiedError`."""
        self._child.kill()

    def close(self) -> None:
        """End the child and let go of its pipes; for the thread that uses them."""
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _send(self, line: bytes) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(line + b"\n")
        except OSError:
            raise self._died() from None

    def _fill(self, goal: memoryview, end: float) -> None:
        assert self._child.stdout is not None
        pipe: Any = self._child.stdout  # unbuffered: it has readinto
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while goal:
                if not selector.select(max(0.0, end - monotonic())):
                    raise WorkerDiedError(f"no scene within {SCENE_SECONDS:.0f} seconds")
                count = pipe.readinto(goal)
                if not count:
                    raise self._died()
                goal = goal[count:]

    def _died(self) -> WorkerDiedError:
        code = self._child.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return WorkerDiedError(how)


def main() -> None:
    """The child's end: make the renderer of the first line, then a scene for each line."""
    end_with(parent=int(sys.argv[1]))
    # The parent decides when this ends; signals reach the whole process group.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(NICE)
    # What a graphics driver prints must not mix with the answers.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    renderer = None
    for line in sys.stdin.buffer:
        try:
            renderer = renderer or _renderer(job)
            shots = renderer.scene(int(line))
        except Exception as error:
            _reply(replies, _Header(error=f"scene {int(line)}: {in_one_line(error)}"), [])
            continue
        _reply(replies, _Header([mask.shape for _, _, mask in shots]), shots)


def _renderer(job: Job) -> Any:
    module, _, name = job.renderer.partition(":")
    make = getattr(importlib.import_module(module), name)
    return make(job.seed, job.terms, job.maps, job.sizes, job.frames_per_scene)


def _reply(replies: IO[bytes], header: _Header, shots: list[tuple[str, Frame, Mask]]) -> None:
    encoded = msgspec.json.encode(header)
    try:
        replies.write(_LENGTH.pack(len(encoded)) + encoded)
        for _, frame, mask in shots:
            replies.write(np.ascontiguousarray(frame).data.cast("B"))
            replies.write(np.ascontiguousarray(mask).data.cast("B"))
        replies.flush()
    except BrokenPipeError:  # nobody reads any more
        os._exit(1)


if __name__ == "__main__":
    main()
