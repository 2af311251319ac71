"""The child of `worker`: a world, a bundle, and one job after the other.

    python -m carla_bridge.evaluation.work PARENT_PID      # lines of JSON on stdin and stdout

The built-in world is started once and loaded anew for each job, and again where it died; the
network stays open while jobs ask for the same one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import IO, NoReturn

import msgspec
import numpy as np

from carla_bridge.client.session import Session, SimulatorError
from carla_bridge.evaluation.faults import Fault, agent_at_work, what_failed
from carla_bridge.evaluation.jobs import Job
from carla_bridge.evaluation.loop import Turn, drive_route
from carla_bridge.evaluation.masks import Masks, MaskSource, open_masks
from carla_bridge.evaluation.pictures import Album
from carla_bridge.evaluation.record import Run, Times, write_record
from carla_bridge.evaluation.scoring import scored
from carla_bridge.evaluation.worker import Answer, Start
from carla_bridge.world.server.start import WorldProcess
from edge_seg.errors import EdgeSegError
from edge_seg.files import write_bytes
from edge_seg.worker import end_with

FILM_EVERY = 2


def main() -> None:
    """Drive a job for each line after the first."""
    end_with(parent=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; ctrl-C reaches all
    signal.signal(signal.SIGTERM, _end)  # sessions are closed on the way out
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a runtime prints must not mix with the answers
    start = msgspec.json.decode(sys.stdin.buffer.readline(), type=Start)
    with contextlib.closing(Workplace(start, replies)) as place:
        for line in sys.stdin.buffer:
            job = msgspec.json.decode(line, type=Job)
            try:
                _reply(replies, Answer(run=place.drive(job)))
            except EdgeSegError as error:
                _reply(replies, Answer(error=str(error)))


class Workplace:
    """What is kept from job to job: the world and the network."""

    def __init__(self, start: Start, replies: IO[bytes]) -> None:
        self._server, self._folder, self._seed = start.server, Path(start.folder), start.seed
        self._replies = replies
        self._world: WorldProcess | None = None
        self._source: MaskSource | None = None
        self._masks: Masks | None = None
        self._open = contextlib.ExitStack()
        self._mask_ms: list[float] = []

    def drive(self, job: Job) -> Run:
        """Return the run of a job; its trace and pictures are written."""
        started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        begin = perf_counter()
        self._mask_ms.clear()
        try:
            run = self._run(job)
        except (Fault, SimulatorError) as error:  # before there was anything to measure
            run = job.started()
            run.status = "Failed"
            host, port = self._address()
            run.reason = error.reason if isinstance(error, Fault) else what_failed(host, port)
            run.detail = str(error)
        if run.reason == "agent failure":  # what failed may be gone: the next job opens it anew
            self._open.close()
            self._masks = None
        run.times = Times(
            started=started,
            wall_s=round(perf_counter() - begin, 3),
            mask_p50_ms=round(float(np.median(self._mask_ms)), 3) if self._mask_ms else None,
        )
        return run

    def close(self) -> None:
        """End the world and the network."""
        self._open.close()
        if self._world is not None:
            self._world.stop()
            self._world = None

    def _run(self, job: Job) -> Run:
        self._say("loading")
        with agent_at_work():
            masks = self._masks_of(job.driver)
        host, port = self._ready_world(job)
        album = Album(self._folder, job.key, FILM_EVERY) if job.pictures else None
        with Session.connect(host, port, self._server.timeout_s) as session:
            drive = drive_route(session, (host, port), job, masks, self._say, album)
            self._keep_map(session, job)
        run = scored(job, drive, album)
        write_record(self._folder / run.trace, drive.trace)
        return run

    def _ready_world(self, job: Job) -> tuple[str, int]:
        """Return the address of the world, started where it is not running."""
        if self._server.host is None and (self._world is None or not self._world.alive()):
            self._world = WorldProcess(seed=self._seed, traffic=job.traffic)
        return self._address()

    def _address(self) -> tuple[str, int]:
        if self._world is not None:
            return self._world.host, self._world.port
        return self._server.host or "127.0.0.1", self._server.port

    def _masks_of(self, source: MaskSource) -> Masks:
        if self._masks is None or source != self._source:
            self._open.close()
            self._masks = self._open.enter_context(open_masks(source))
            self._source = source
        return self._timed(self._masks)

    def _timed(self, masks: Masks) -> Masks:
        def timed(frame: np.ndarray, truth: np.ndarray) -> np.ndarray:
            begin = perf_counter()
            mask = masks(frame, truth)
            self._mask_ms.append(1e3 * (perf_counter() - begin))
            return mask

        return timed

    def _keep_map(self, session: Session, job: Job) -> None:
        """Write the roads that were driven, once, for the report to draw."""
        path = self._folder / "maps" / f"{job.map_name}.xodr"
        if not path.exists():
            with contextlib.suppress(SimulatorError):  # the server is gone, with its map
                write_bytes(path, session.map.to_opendrive().encode())

    def _say(self, turn: Turn) -> None:
        _reply(self._replies, Answer(turn=turn))


def _reply(replies: IO[bytes], answer: Answer) -> None:
    replies.write(msgspec.json.encode(answer) + b"\n")
    replies.flush()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    main()
