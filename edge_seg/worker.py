"""One candidate in a process of its own: its memory is its own, and so is its crash.

    with Worker(Job(engine="openvino", model="x.onnx", input=spec, options={})) as worker:
        scores, peak_rss_bytes = worker.evaluate(frames)
        worker.time(frames.path, count=20)

Parent and child exchange lines of JSON over pipes. A runtime that dies or hangs becomes a
`WorkerError` that says how, and the parent goes on.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import IO, TYPE_CHECKING

import msgspec

from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.pipeline import Pipeline, Timings
from edge_seg.preprocess import Frame, InputSpec
from edge_seg.progress import Track, silent

if TYPE_CHECKING:
    from edge_seg.frames import FrameSet
    from edge_seg.metrics import Evaluation

TIME_LIMIT_S = 900.0
"""A candidate that takes longer for one request hangs, or is of no use on an edge device."""

DISTINCT_FRAMES = 8
"""Decoded once and run round and round when timing."""
SPIN_COUNT = "3000"
"""How long PyTorch's threads (libgomp) spin at a barrier: about 0.2 ms, enough for their kernels.
The default is a hundred times that, and where another process holds a core, a frame that takes
80 ms takes two seconds."""


class WorkerError(EdgeSegError):
    """The candidate could not be run; the message says why."""


class Job(msgspec.Struct, frozen=True):
    """What a worker loads: a lowered file and how to run it."""

    engine: str
    model: str
    input: InputSpec
    options: dict[str, str | int | float | bool] = {}
    threads: int | None = None


class Evaluate(msgspec.Struct, frozen=True, tag="evaluate"):
    """Score every frame of a set."""

    frames: str


class Masks(msgspec.Struct, frozen=True, tag="masks"):
    """Write the masks of some frames of a set to ``folder/<index>.png``."""

    frames: str
    indices: tuple[int, ...]
    folder: str


class Time(msgspec.Struct, frozen=True, tag="time"):
    """Run ``count`` frames of a set, round and round, and return each frame's timings."""

    frames: str
    count: int


class Answer(msgspec.Struct, frozen=True):
    """What comes back; ``error`` is empty unless the request failed.

    An answer that is not ``final`` says that one more frame is done.
    """

    final: bool = True
    error: str = ""
    evaluation: msgspec.Raw = msgspec.Raw(b"null")
    timings: list[Timings] = []
    peak_rss_bytes: int = 0


class Worker:
    """The parent's end; a context manager that ends the child in every case.

    ``limit_s`` is how long any one request may take, `TIME_LIMIT_S` where it is not given.
    """

    def __init__(self, job: Job, limit_s: float | None = None) -> None:
        self._limit_s = limit_s
        self._child = subprocess.Popen(
            [sys.executable, "-m", "edge_seg.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # two answers may come at once, and `select` sees no buffer of Python's
            stderr=subprocess.DEVNULL,
            env={"GOMP_SPINCOUNT": SPIN_COUNT, **os.environ},
        )
        self._pending = b""
        self._loaded = False
        with self._closed_on_error():
            self._send(msgspec.json.encode(job))

    def ready(self) -> None:
        """Wait until the model is loaded: workers that are all made first load side by side."""
        if not self._loaded:
            with self._closed_on_error():
                *_, _ = self._answers()
            self._loaded = True

    def evaluate(self, frames: FrameSet, track: Track = silent) -> tuple[Evaluation, int]:
        """Return the scores on a frame set and the process's peak memory in bytes."""
        from edge_seg.metrics import Evaluation

        self.ready()
        self._send(msgspec.json.encode(Evaluate(str(frames.path))))
        *_, answer = track(self._answers(), "scoring", len(frames) + 1)
        return msgspec.json.decode(answer.evaluation, type=Evaluation), answer.peak_rss_bytes

    def masks(self, frames: Path, indices: tuple[int, ...], folder: Path) -> None:
        """Write the masks of these frames of a set to ``folder/<index>.png``."""
        self._ask(msgspec.json.encode(Masks(str(frames), indices, str(folder))))

    def time(self, frames: Path, count: int) -> tuple[list[Timings], int]:
        """Return the timings of ``count`` frames and the process's peak memory in bytes."""
        answer = self._ask(msgspec.json.encode(Time(str(frames), count)))
        return answer.timings, answer.peak_rss_bytes

    def close(self) -> None:
        """End the child."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # a request that a dead child never read
                    pipe.close()
        self._child.kill()
        self._child.wait()

    def __enter__(self) -> Worker:
        self.ready()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _ask(self, line: bytes) -> Answer:
        self.ready()
        self._send(line)
        *_, answer = self._answers()
        return answer

    def _send(self, line: bytes) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(line + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def _answers(self) -> Iterator[Answer]:
        """Yield what the child says until its final answer to one request."""
        final = False
        while not final:
            answer = self._receive()
            final = answer.final
            yield answer

    def _receive(self) -> Answer:
        assert self._child.stdout is not None
        limit_s = TIME_LIMIT_S if self._limit_s is None else self._limit_s
        end = monotonic() + limit_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(max(0.0, end - monotonic())):
                    raise WorkerError(f"no answer within {limit_s:.0f} seconds")
                block = os.read(self._child.stdout.fileno(), 1 << 16)
                if not block:
                    raise self._died()
                self._pending += block
        reply, _, self._pending = self._pending.partition(b"\n")
        answer = msgspec.json.decode(reply, type=Answer)
        if answer.error:
            raise WorkerError(answer.error)
        return answer

    def _died(self) -> WorkerError:
        code = self._child.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return WorkerError(f"the runtime ended the process ({how})")


def main() -> None:
    """The child's end: load the job of the first line, then answer line by line."""
    end_with(parent=int(sys.argv[1]))
    # What a runtime prints must not mix with the answers.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # The parent decides when this ends; Ctrl-C reaches the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipeline = None
    images = functools.lru_cache(maxsize=1)(_images)
    for line in sys.stdin.buffer:
        try:
            if pipeline is None:
                pipeline = _load(msgspec.json.decode(line, type=Job))
                answer = Answer()
            else:
                request = msgspec.json.decode(line, type=Evaluate | Time | Masks)
                answer = _answer(pipeline, request, replies, images)
        except Exception as error:
            answer = Answer(error=in_one_line(error))
        _reply(replies, answer)


def _reply(replies: IO[bytes], answer: Answer) -> None:
    replies.write(msgspec.json.encode(answer) + b"\n")
    replies.flush()


def end_with(parent: int) -> None:
    """Let the kernel end this process when its parent ends, even killed, even in mid-inference.

    Linux's prctl(2), PR_SET_PDEATHSIG = 1; elsewhere the end of stdin ends the loop.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the call
            sys.exit(1)


def _load(job: Job) -> Pipeline:
    from edge_seg import engines

    model = Path(job.model).read_bytes()
    return Pipeline(engines.find(job.engine).open(model, job.input, job.options, job.threads))


def _answer(
    pipeline: Pipeline,
    request: Evaluate | Time | Masks,
    replies: IO[bytes],
    images: Callable[[str], list[Frame]],
) -> Answer:
    from edge_seg.frames import FrameSet
    from edge_seg.machine import peak_rss_bytes

    match request:
        case Evaluate():
            frames = FrameSet.open(request.frames)
            from edge_seg.metrics import evaluate

            done = Answer(final=False)
            scores = evaluate(pipeline, frames, lambda *_: _reply(replies, done))
            encoded = msgspec.Raw(msgspec.json.encode(scores))
            return Answer(evaluation=encoded, peak_rss_bytes=peak_rss_bytes())
        case Time(count=count):
            timings = _time(pipeline, images(request.frames), count)
            return Answer(timings=timings, peak_rss_bytes=peak_rss_bytes())
        case Masks(indices=indices, folder=folder):
            from edge_seg.files import write_bytes
            from edge_seg.frames.images import encode_mask

            frames = FrameSet.open(request.frames)
            for index in indices:
                mask = pipeline(frames.image(index))
                write_bytes(Path(folder) / f"{index}.png", encode_mask(mask))
            return Answer()


def _images(path: str) -> list[Frame]:
    """Decode a few frames of a set, once: decoding is not what is timed."""
    from edge_seg.frames import FrameSet

    frames = FrameSet.open(path)
    return [frames.image(index) for index in range(min(len(frames), DISTINCT_FRAMES))]


def _time(pipeline: Pipeline, images: list[Frame], count: int) -> list[Timings]:
    """Run over the images round and round; one frame first, for the caches others emptied."""
    pipeline(images[0])
    timings = []
    for index in range(count):
        pipeline(images[index % len(images)])
        timings.append(pipeline.timings)
    return timings


if __name__ == "__main__":
    main()
