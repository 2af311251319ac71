"""The same jobs on a Ray cluster: beyond one machine's cores.

    hands = on_ray("10.0.0.1:6379")
    conduct(plan, Path("study"), hands)

Each task gets one job with the files that it needs, does it with `run.run` in a folder of its own,
and sends back the record and its files. The machines need this package with the extra ``pack``,
and the runtimes that the study names. Latencies are not measured there but on the machine that
the command runs on, all side by side.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge_seg.errors import NoSpaceError, in_one_line
from edge_seg.files import write_bytes
from edge_seg.frames.frameset import shipped_names
from edge_seg.ray_cluster import connect
from edge_seg.study.crew import TRIES, Hands, Tell
from edge_seg.study.jobs import Frames, Job, Run, Training
from edge_seg.study.records import Record, failed, open_folder
from edge_seg.study.run import run

CORES = 2
"""Of a task: an engine's threads beside the process that asks it."""

Files = dict[str, bytes]


def on_ray(address: str) -> Hands:
    """Return what does jobs on the cluster at ``address``.

    "auto" finds the one that runs on this machine, "local" starts one for this study alone.
    Raises `MissingRuntimeError` without Ray, `EdgeSegError` where no cluster answers.
    """
    ray = connect(address)

    def work_off(jobs: Sequence[Job], folder: Path, tell: Tell) -> Generator[Record, None, None]:
        task = ray.remote(num_cpus=CORES, max_retries=TRIES - 1)(do_one)
        shared: dict[str, Any] = {}  # a frame set is sent once, not with every job
        waiting = {}
        for job in jobs:
            places = [place for place in frame_folders(job) if place not in shared]
            shared |= {place: ray.put(_files_below(Path(place))) for place in places}
            sets = {place: shared[place] for place in frame_folders(job)}
            encoded = msgspec.json.encode(job)
            sent = task.remote(encoded, inputs_of(job, folder), list(sets), *sets.values())
            waiting[sent] = job
            tell(job.key, "on the cluster")
        while waiting:
            ready, _ = ray.wait(list(waiting))
            yield _record(ray, ready[0], waiting.pop(ready[0]), folder)

    return work_off


def _record(ray: Any, task: Any, job: Job, folder: Path) -> Record:
    """Return a task's record, its files in their places; a lost task is a failed record."""
    try:
        encoded, files = ray.get(task)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, NoSpaceError):
            raise cause from error
        return failed(job, f"lost on the cluster: {in_one_line(error)}", TRIES)
    for name, payload in files.items():
        write_bytes(folder / name, payload)
    return msgspec.json.decode(encoded, type=Record)


def do_one(encoded: bytes, inputs: Files, places: list[str], *sets: Files) -> tuple[bytes, Files]:
    """Do one job anywhere: return its record and what it wrote, by path in the folder."""
    job = msgspec.json.decode(encoded, type=Job)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "study"
        open_folder(folder)
        for name, payload in inputs.items():
            write_bytes(folder / name, payload)
        here = {}
        for number, (place, files) in enumerate(zip(places, sets, strict=True)):
            here[place] = str(Path(scratch) / f"frames-{number}")
            for name, payload in files.items():
                path = Path(here[place]) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(payload)
        record = run(localized(job, here, folder), folder)
        written = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and str(path.relative_to(folder)) not in inputs
        }
    # The record is of the job as it was asked, not of where its files lay on that machine.
    return msgspec.json.encode(msgspec.structs.replace(record, job=job)), written


def frame_folders(job: Job) -> list[str]:
    """Return the folders of frame sets that a job names and no installation has."""
    named: tuple[Frames, ...]
    match job:
        case Training():
            named = (job.frames, job.validation)
        case Run():
            named = (job.calibration, job.evaluation)
        case _:
            named = ()
    return sorted({frames.place for frames in named} - set(shipped_names()))


def inputs_of(job: Job, folder: Path) -> Files:
    """Return the files besides frames that a job reads, by where they are to lie in a folder."""
    if not isinstance(job, Run) or job.weights in ("shipped", "random"):
        return {}
    if job.training:
        return {job.weights: (folder / job.weights).read_bytes()}
    path = Path(job.weights)
    return {f"weights/{path.name}": path.read_bytes()} if path.is_file() else {}


def localized(job: Job, here: dict[str, str], folder: Path) -> Job:
    """Return a job with its files where they are on this machine."""

    def moved(frames: Frames) -> Frames:
        return msgspec.structs.replace(frames, place=here.get(frames.place, frames.place))

    if isinstance(job, Training):
        return msgspec.structs.replace(
            job, frames=moved(job.frames), validation=moved(job.validation)
        )
    if not isinstance(job, Run):
        return job
    brought = folder / "weights" / Path(job.weights).name
    weights = str(brought) if not job.training and brought.is_file() else job.weights
    return msgspec.structs.replace(
        job, weights=weights, calibration=moved(job.calibration), evaluation=moved(job.evaluation)
    )


def _files_below(folder: Path) -> Files:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
