"""The job function: one job in, one record out, on whatever machine it is called.

    record = run(job, Path("study"))

It writes the files that the record names into the folder, and not the record: that is for
whoever asked, when it has come. What is wrong with the job is a record with the reason. Only a full
disk is raised, as nothing else could go well on it, and a signal.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import msgspec

from edge_seg.errors import NoSpaceError
from edge_seg.files import explain, sha256_file
from edge_seg.machine import this_machine
from edge_seg.packing.tournament import reason
from edge_seg.progress import Track, silent
from edge_seg.study.jobs import Job, Run, Timing, Training, digest_of
from edge_seg.study.records import (
    Measured,
    Record,
    Timed,
    Trained,
    failed,
    now,
    read_record,
    record_path,
)


def run(job: Job, folder: Path, track: Track = silent) -> Record:
    """Do a job and return its record; raises `NoSpaceError`, and `StoppedError` for a signal."""
    begin = perf_counter()
    try:
        result = _done(job, folder, track)
    except NoSpaceError:
        raise
    except Exception as error:  # whatever a toolchain raises, the study goes on
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise explain(error, folder) from error
        if hasattr(error, "number"):  # a StoppedError: the training has kept its checkpoint
            raise
        return failed(job, reason(error), seconds=perf_counter() - begin)
    from edge_seg.packing.contents import tool_versions

    return Record(
        key=job.key,
        digest=digest_of(job),
        job=job,
        status="done",
        result=result,
        seconds=round(perf_counter() - begin, 3),
        finished=now(),
        machine=this_machine(),
        versions=tool_versions(),
    )


def _done(job: Job, folder: Path, track: Track) -> Trained | Measured | Timed:
    match job:
        case Training():
            return _trained(job, folder, track)
        case Run():
            from edge_seg.study.evaluating import evaluate

            return evaluate(job, folder, track)
        case Timing():
            from edge_seg.study.timing import time_all

            return time_all(job, folder, track)


def _trained(job: Training, folder: Path, track: Track) -> Trained:
    """Train, from the checkpoint that a killed training left where there is one."""
    from edge_seg.training.command import start_of
    from edge_seg.training.loop import train
    from edge_seg.training.pruning import pruned

    remove_broken(job, folder)
    output = folder / job.output
    begun = _checkpoint(output).exists()
    if begun or not output.exists():  # else it was killed between the weights and the record
        report = _counting(track, job.settings.steps)
        with pruned(start_of(job.settings, None), job.settings.prune) as begin:
            train(job.settings, job.frames.open(), job.validation.open(), output, start=begin,
                  resume=begun, report=report)  # fmt: skip
    last = _read_history(output).history[-1]
    return Trained(
        weights=job.output,
        digest=sha256_file(output),
        steps=last.step,
        val_iou=last.val_iou or {},
    )


def remove_broken(job: Training, folder: Path) -> None:
    """Remove what of a training was torn or changed: it would be taken for the training's own."""
    output = folder / job.output
    checkpoint = _checkpoint(output)
    if checkpoint.exists() and not _is_safetensors(checkpoint):
        checkpoint.unlink()
    if not output.exists():
        return
    known = read_record(record_path(folder, job.key))
    match known.result if known is not None else None:
        case Trained(weights=job.output, digest=digest):
            changed = sha256_file(output) != digest
        case _:
            changed = False
    try:
        _read_history(output)
    except (OSError, msgspec.MsgspecError):
        changed = True
    if changed or not _is_safetensors(output):
        output.unlink()


def _checkpoint(output: Path) -> Path:
    return output.with_name(f"{output.stem}.checkpoint.safetensors")


def _is_safetensors(path: Path) -> bool:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        load_file(path)
    except (SafetensorError, OSError):
        return False
    return True


class _Line(msgspec.Struct):
    """What is read of a training's last line."""

    step: int
    val_iou: dict[str, float] | None = None


class _History(msgspec.Struct):
    """The history that a training writes beside its weights."""

    history: Annotated[list[_Line], msgspec.Meta(min_length=1)]


def _read_history(output: Path) -> _History:
    path = output.with_name(f"{output.stem}.history.json")
    return msgspec.json.decode(path.read_bytes(), type=_History)


def _counting(track: Track, steps: int) -> Callable[[object], None]:
    """Return what a training calls with each line of its history: it moves the bar on."""
    bar = iter(track(range(steps), "training", steps))
    seen = 0

    def report(line: Any) -> None:
        nonlocal seen
        while seen < line.step:
            next(bar, None)
            seen += 1

    return report
