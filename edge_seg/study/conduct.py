"""The story of a study: what is left to do, do it, time it, put it together.

    results = conduct(plan, Path("study"), on_this_machine(2))

Every finished job's record is in the folder before the next result is waited for; the same call
goes on from there, whatever ended the last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from edge_seg.errors import EdgeSegError
from edge_seg.files import explain, remove_stale, write_bytes
from edge_seg.study.crew import Hands, on_this_machine
from edge_seg.study.expand import expand
from edge_seg.study.jobs import Job, Run
from edge_seg.study.plan import Plan
from edge_seg.study.records import (
    Record,
    failed,
    open_folder,
    read_records,
    require_own,
    write_record,
)
from edge_seg.study.results import Results, gather
from edge_seg.study.timing import plan_timing


class Watch(Protocol):
    """Who looks on while a study runs; may be called from several threads."""

    def planned(self, jobs: Sequence[Job], kept: dict[str, Record]) -> None:
        """Say what there is to do, and what is done already."""

    def doing(self, key: str, what: str) -> None:
        """Say what is being done for a job."""

    def done(self, record: Record) -> None:
        """Say that a job has its record."""


class Nobody:
    """A `Watch` that does not look."""

    def planned(self, jobs: Sequence[Job], kept: dict[str, Record]) -> None:
        """Nothing."""

    def doing(self, key: str, what: str) -> None:
        """Nothing."""

    def done(self, record: Record) -> None:
        """Nothing."""


def conduct(plan: Plan, folder: Path, hands: Hands, watch: Watch | None = None) -> Results:
    """Do what is missing of a plan and return its results; all files are in ``folder``.

    Raises `EdgeSegError` for a plan that cannot be run, a folder of something else or of another
    command at work, and a full disk; what was finished is kept in every case.
    """
    watch = watch or Nobody()
    trainings, runs = expand(plan)
    with _alone(folder, plan.study.name):
        jobs: list[Job] = [*trainings, *runs]
        records = read_records(folder, jobs)
        watch.planned(jobs, dict(records))
        _do(trainings, folder, hands, watch, records)
        records |= _orphans(runs, records, folder, watch)
        # Float rows first: what they give is in the cache when the others ask for it.
        _do([run for run in runs if run.is_reference], folder, hands, watch, records)
        _do(runs, folder, hands, watch, records)
        timed = _timed(plan, runs, folder, watch, records)
        return gather(plan, runs, records, timed, folder)


def _do(
    jobs: Sequence[Job], folder: Path, hands: Hands, watch: Watch, records: dict[str, Record]
) -> None:
    """Do the jobs that have no record, and write each record when it comes."""
    left = [job for job in jobs if job.key not in records]
    if not left:
        return
    with closing(hands(left, folder, watch.doing)) as coming:
        for record in coming:
            write_record(folder, record)
            records[record.key] = record
            watch.done(record)


def _orphans(
    runs: Sequence[Run], records: dict[str, Record], folder: Path, watch: Watch
) -> dict[str, Record]:
    """Return a failed record for each run whose weights were not trained."""
    found = {}
    for run in runs:
        training = records.get(run.training)
        if training is None or training.status == "done":
            continue
        found[run.key] = failed(run, f"its training failed: {training.reason}")
        write_record(folder, found[run.key])
        watch.done(found[run.key])
    return found


def _timed(
    plan: Plan, runs: Sequence[Run], folder: Path, watch: Watch, records: dict[str, Record]
) -> Record | None:
    """Time everything here, alone on the machine, wherever it was evaluated."""
    job = plan_timing(runs, records, plan.timing.frames, plan.threads)
    if job is None:
        return None
    known = read_records(folder, [job])
    _do([job], folder, on_this_machine(1), watch, known)
    return known[job.key]


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Hold the folder for one command; raises `EdgeSegError` where another has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, folder) from error
    require_own(folder, name)
    try:
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise EdgeSegError(
            f"another command works on {folder}: wait for it, or name another folder (-o)"
        ) from None
    except OSError as error:
        raise explain(error, folder) from error
    try:
        write_bytes(folder / "study.txt", f"{name}\n".encode())
        open_folder(folder)
        for place in folder.iterdir():
            if place.is_dir():
                remove_stale(place)
        yield
    finally:
        lock.release()
