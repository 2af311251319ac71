"""The same jobs on a Ray cluster: beyond one machine's cores.

    drive_all = on_ray(plan, Path("result"), "ray://head:10001")
    evaluate(plan, Path("result"), drive_all)

Each task takes one job with the files that it needs, drives it in a world of its own on whatever
machine it lands, and sends back the run and its files. The machines need this package with the
extra ``carla``, and what the bundle's engine needs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from carla_bridge.evaluation.evaluate import Done, DriveAll
from carla_bridge.evaluation.jobs import Job, Server
from carla_bridge.evaluation.plan import Plan
from carla_bridge.evaluation.record import Run
from carla_bridge.evaluation.worker import RouteWorker
from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.files import write_bytes
from edge_seg.ray_cluster import connect

CORES = 2
"""Of a task: the world renders beside the network."""

Files = dict[str, bytes]


def on_ray(plan: Plan, folder: Path, address: str) -> DriveAll:
    """Return what drives jobs on the cluster at ``address``.

    "auto" finds the one that runs on this machine, "local" starts one for this drive alone.
    Raises `MissingRuntimeError` without Ray, `EdgeSegError` where no cluster answers.
    """
    if plan.server.host is not None:
        raise EdgeSegError("on Ray each job has a world of its own: leave out --host and --port")
    ray = connect(address)

    def drive_all(jobs: Sequence[Job], done: Done) -> None:
        task = ray.remote(num_cpus=CORES, max_retries=1)(drive_one)
        waiting = [
            task.remote(msgspec.json.encode(job), _files_of(job), plan.request.seed) for job in jobs
        ]
        while waiting:
            ready, waiting = ray.wait(waiting)
            encoded, files = _result(ray, ready[0])
            for name, payload in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(path, payload)
            done(msgspec.json.decode(encoded, type=Run))

    return drive_all


def _result(ray: Any, task: Any) -> tuple[bytes, Files]:
    """Return what a task returned; what went wrong with it is told as it would be here."""
    try:
        result: tuple[bytes, Files] = ray.get(task)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, EdgeSegError):
            raise cause from error
        raise EdgeSegError(
            f"a job was lost on the cluster ({in_one_line(error)}): see the log of its worker"
        ) from error
    return result


def drive_one(encoded: bytes, inputs: Files, seed: int) -> tuple[bytes, Files]:
    """Drive one job anywhere: return its run and what it wrote, by path in the folder."""
    job = msgspec.json.decode(encoded, type=Job)
    with tempfile.TemporaryDirectory() as scratch:
        place, folder = Path(scratch) / "inputs", Path(scratch) / "result"
        for name in ("runs", "traces", "maps"):
            (folder / name).mkdir(parents=True)
        local = _localized(job, inputs, place)
        with closing(RouteWorker(Server(), folder, seed)) as worker:
            run = worker.drive(local)
        written = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    return msgspec.json.encode(run), written


def _files_of(job: Job) -> Files:
    """Return the content of every file that a job names, by its path here."""
    paths = [job.driver.bundle, job.driver.weights]
    paths += [job.map] if job.map.endswith(".xodr") else []
    return {path: Path(path).read_bytes() for path in paths if path is not None}


def _localized(job: Job, inputs: Files, place: Path) -> Job:
    """Return the job with its files where they are on this machine."""

    def local(path: str | None) -> str | None:
        if path is None or path not in inputs:
            return path
        copy = place / str(list(inputs).index(path)) / Path(path).name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(inputs[path])
        return str(copy)

    driver = msgspec.structs.replace(
        job.driver, bundle=local(job.driver.bundle), weights=local(job.driver.weights)
    )
    return msgspec.structs.replace(job, driver=driver, map=local(job.map))
