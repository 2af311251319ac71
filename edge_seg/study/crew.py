"""Jobs in child processes on this machine: a crash costs its own job's time and nothing else.

    for record in on_this_machine(2)(jobs, Path("study"), tell):
        write_record(folder, record)

A child that dies, or says nothing for too long, is started again with the same job, `TRIES` times
in all; then its record says how it ended. The children end with this process, even if it is killed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import IO

import msgspec

from edge_seg.errors import NoSpaceError
from edge_seg.lines import next_line
from edge_seg.study.jobs import Job
from edge_seg.study.records import Record, failed
from edge_seg.study.work import Answer

TRIES = 3
SILENCE_S = 1800.0
"""Longer than a lowering of a large network takes, and all else tells how far it is."""
GRACE_S = 5.0
"""Between being asked to end and being ended: a training keeps a checkpoint."""
DYING_S = 1.0
LAST_WORDS_BYTES = 2000

Tell = Callable[[str, str], None]
"""Called with a job's key and what is being done for it, from any thread."""
Hands = Callable[[Sequence[Job], Path, Tell], Generator[Record, None, None]]
"""What does jobs: hands over each record as it comes; a study that ends early closes it."""


def on_this_machine(workers: int) -> Hands:
    """Return what does jobs in so many processes side by side."""

    def work_off(jobs: Sequence[Job], folder: Path, tell: Tell) -> Generator[Record, None, None]:
        left: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            left.put(job)
        news: queue.SimpleQueue[Record | Exception | None] = queue.SimpleQueue()
        crew = [Child(folder, tell) for _ in range(min(workers, len(jobs)))]
        threads = [threading.Thread(target=_work, args=(child, left, news)) for child in crew]
        for thread in threads:
            thread.start()
        try:
            yield from _news(news, len(threads))
        finally:
            for child in crew:
                child.interrupt()
            for thread in threads:
                thread.join()

    return work_off


def _work(
    child: Child,
    left: queue.SimpleQueue[Job],
    news: queue.SimpleQueue[Record | Exception | None],
) -> None:
    """Do jobs until none is left: a thread's whole life, as its child ends with it (prctl(2))."""
    with contextlib.closing(child):
        try:
            while not child.interrupted:
                record = child.do(left.get_nowait())
                if record is not None:
                    news.put(record)
        except queue.Empty:
            pass
        except Exception as error:
            news.put(error)
        finally:
            news.put(None)


def _news(news: queue.SimpleQueue[Record | Exception | None], threads: int) -> Iterator[Record]:
    while threads:
        item = news.get()
        if item is None:
            threads -= 1
        elif isinstance(item, Exception):
            raise item
        else:
            yield item


class Child:
    """The parent's end of one process; one thread uses it."""

    def __init__(self, folder: Path, tell: Tell, silence_s: float = SILENCE_S) -> None:
        self._folder, self._tell, self._silence_s = folder, tell, silence_s
        self._child: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._pending = b""
        self.interrupted = False

    def do(self, job: Job) -> Record | None:
        """Return the job's record, None where it was interrupted; raises `NoSpaceError`."""
        begin = monotonic()
        how = ""
        for tries in range(1, TRIES + 1):
            self._tell(job.key, "starting" if tries == 1 else f"again: {how}")
            answer = self._asked(job)
            if self.interrupted:
                return None
            if answer is not None:
                if answer.no_space:
                    raise NoSpaceError(answer.no_space)
                assert answer.record is not None
                return msgspec.structs.replace(answer.record, tries=tries)
            how = self._end()
        why = f"its process ended {TRIES} times, the last time so: {how}"
        return failed(job, why, TRIES, monotonic() - begin)

    def interrupt(self) -> None:
        """End a job from another thread; no other begins."""
        self.interrupted = True
        if (child := self._child) is not None:
            child.terminate()

    def close(self) -> None:
        """End the process."""
        self._end()

    def _asked(self, job: Job) -> Answer | None:
        """Return the last answer to a job, None where the process died or is silent."""
        if self._child is None:
            self._child = self._started()
        if self.interrupted:  # it came before there was a child to end
            return None
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):  # a child that died is found out by reading
            self._child.stdin.write(msgspec.json.encode(job) + b"\n")
        while (answer := self._receive()) is not None and answer.doing:
            self._tell(job.key, answer.doing)
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        self._pending = b""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        command = [sys.executable, "-m", "edge_seg.study.work", str(os.getpid())]
        return subprocess.Popen(
            [*command, str(self._folder.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            bufsize=0,
        )

    def _receive(self) -> Answer | None:
        assert self._child is not None
        assert self._child.stdout is not None
        line, self._pending = next_line(self._child.stdout, self._pending, self._silence_s)
        return None if line is None else msgspec.json.decode(line, type=Answer)

    def _end(self) -> str:
        """End the process where it still runs, and return how it ended, "" for none."""
        if self._child is None:
            return ""
        child, self._child = self._child, None
        if child.stdin is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()  # a child with nothing to do ends itself
        with contextlib.suppress(subprocess.TimeoutExpired):  # a dead one's pipe closes first
            child.wait(DYING_S)
        code = child.returncode
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
        child.kill()
        child.wait()
        how = _how(code, self._silence_s)
        if last := self._last_words():
            how += f"; it said last: {last}"
        for pipe in (child.stdout, self._said):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return how

    def _last_words(self) -> str:
        """Return the last line that the child wrote to stderr, "" for none."""
        assert self._said is not None
        end = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, end - LAST_WORDS_BYTES))
        lines = self._said.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[:300]


def _how(code: int | None, silence_s: float) -> str:
    if code is None:
        return f"no word for {silence_s:.0f} s"
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
