"""A process that drives jobs for another, and the other's end of it: the watchdog.

    with closing(RouteWorker(Server(), folder, seed=0)) as worker:
        run = worker.drive(job)               # a Run, whatever happens in the process

Whatever hangs in native code, a simulator's client or a network's runtime, can be ended from
outside only. So the child says whose turn it is, "loading", "simulator" or "agent", and where it
says nothing for too long it is ended and the run is recorded with that reason. Requests and
answers are lines of JSON. The child, and the world that it started, end with the parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import msgspec

from carla_bridge.evaluation.jobs import Job, Server
from carla_bridge.evaluation.loop import Turn
from carla_bridge.evaluation.record import Reason, Run, write_record
from edge_seg.errors import EdgeSegError
from edge_seg.lines import next_line

LOADING_S = 300.0
"""A real server reads a large town for minutes; torch and a float model take half of one."""
AGENT_S = 60.0
"""The first frame of a runtime compiles; any other takes a second at most."""
ANSWERS = 2
"""A simulator's turn holds a tick and a picture: each may take the server's time-out."""
DYING_S = 1.0
LAST_WORDS_BYTES = 2000
GRACE_S = 5.0
"""Between being asked to end and being ended: a real server's settings are given back."""


class Start(msgspec.Struct, frozen=True):
    """The first line: where to drive, where to write, and the world's seed."""

    server: Server
    folder: str
    seed: int


class Answer(msgspec.Struct, frozen=True):
    """A line of the child's: whose turn it is, or the run, or why there is none."""

    turn: Turn | None = None
    run: Run | None = None
    error: str = ""


class RouteWorker:
    """The parent's end; one thread uses it. A child that was ended is started again.

    ``turn`` says whose it is at present.
    """

    def __init__(self, server: Server, folder: Path, seed: int, agent_s: float = AGENT_S) -> None:
        self._start = Start(server, str(folder.resolve()), seed)
        self._limits_s: dict[Turn, float] = {
            "loading": LOADING_S,
            "simulator": ANSWERS * server.timeout_s + GRACE_S,
            "agent": agent_s,
        }
        self._child: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._pending = b""
        self.turn: Turn = "loading"
        self.interrupted = False

    def drive(self, job: Job) -> Run:
        """Return the job's run, which is also in its file; its status is never Started.

        Raises `EdgeSegError` where the job cannot begin at all (no such map, no such bundle).
        """
        record = Path(self._start.folder) / "runs" / f"{job.key}.json"
        write_record(record, job.started())
        if self._child is None:
            self._child = self._started()
        self._send(msgspec.json.encode(job))
        self.turn = "loading"
        while True:
            answer = self._receive(self._limits_s[self.turn])
            if answer is None:
                run = self._ended(job)
                break
            if answer.error:
                raise EdgeSegError(answer.error)
            if answer.run is not None:
                run = answer.run
                break
            self.turn = answer.turn or self.turn
        write_record(record, run)
        return run

    def interrupt(self) -> None:
        """End a drive from another thread: it returns as interrupted, and no other begins."""
        self.interrupted = True
        if (child := self._child) is not None:
            child.terminate()

    def close(self) -> None:
        """End the child: it gives a server's settings back where it can."""
        if self._child is None:
            return
        child, self._child = self._child, None
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout, self._said):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _started(self) -> subprocess.Popen[bytes]:
        self._pending = b""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        child = subprocess.Popen(
            [sys.executable, "-m", "carla_bridge.evaluation.work", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            bufsize=0,
        )
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode(self._start) + b"\n")
        return child

    def _send(self, line: bytes) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):  # a child that died is found out by reading
            self._child.stdin.write(line + b"\n")

    def _receive(self, limit_s: float) -> Answer | None:
        """Return the child's next line, None where it died or says nothing for too long."""
        assert self._child is not None
        assert self._child.stdout is not None
        line, self._pending = next_line(self._child.stdout, self._pending, limit_s)
        return None if line is None else msgspec.json.decode(line, type=Answer)

    def _ended(self, job: Job) -> Run:
        """Return the record of a run whose process died or hangs, and end the process."""
        assert self._child is not None
        with contextlib.suppress(subprocess.TimeoutExpired):  # its pipe closes before it is gone
            self._child.wait(DYING_S)
        code = self._child.returncode
        run = job.started()
        run.status = "Failed"
        if self.interrupted:
            run.reason, run.detail = "interrupted", "the evaluation was ended"
        else:
            run.reason, run.detail = _blame(self.turn, code, self._limits_s[self.turn])
            if last := self._last_words():
                run.detail += f"; it said last: {last}"
        self.close()
        return run

    def _last_words(self) -> str:
        """Return the last line that the child wrote to stderr, "" for none."""
        assert self._said is not None
        end = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, end - LAST_WORDS_BYTES))
        lines = self._said.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _blame(turn: Turn, code: int | None, limit_s: float) -> tuple[Reason, str]:
    """Return the reason and what is known, by whose turn it was and how the process ended."""
    if code is None:
        reason: Reason = "agent hung" if turn == "agent" else "simulator hung"
        return reason, f"no sign of life for {limit_s:.0f} s while {turn}"
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    reason = "agent failure" if turn == "agent" else "simulator crash"
    return reason, f"its process ended ({how}) while {turn}"
