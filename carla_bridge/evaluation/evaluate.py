"""The story of an evaluation: what is left to drive, drive it, put it together.

    plan = make_plan(options)
    results = evaluate(plan, Path("result"), workers=2)
    results.summary[0].completion

``results.json`` is written as Started before the first route and as Finished after the last;
between, each run's own file is the checkpoint that `resume` goes on from.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter

import msgspec

import edge_seg
from carla_bridge.evaluation.jobs import Job
from carla_bridge.evaluation.plan import Plan
from carla_bridge.evaluation.record import (
    Request,
    Results,
    Run,
    Times,
    read_results,
    read_run,
    write_record,
)
from carla_bridge.evaluation.summary import curve_of, differences, summarize
from carla_bridge.evaluation.worker import RouteWorker
from edge_seg.errors import EdgeSegError
from edge_seg.files import explain

Done = Callable[[Run], None]
DriveAll = Callable[[Sequence[Job], Done], None]

OWN_REASONS = ("", "deviation", "blocked", "timeout")
"""How driving ends; a run that a fault ended is driven again on resuming."""
FOLDERS = ("runs", "traces", "maps")


def evaluate(
    plan: Plan,
    folder: Path,
    drive_all: DriveAll,
    resume: bool = False,
    tell: Callable[[Run, int, int], None] = lambda run, done, total: None,
) -> Results:
    """Drive what is missing of a plan and return its results, which are also in the folder.

    ``drive_all`` drives jobs and hands over each run: `on_this_machine` or `ray_jobs.on_ray`.
    ``tell`` is called with each run, how many are done, and how many there are.
    Raises `EdgeSegError` where the folder holds another drive, or a job cannot begin.
    """
    clock = perf_counter()
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    # The curve's first point may be a main run, too: that one has a film.
    wanted = {job.key: job for job in plan.curve_jobs} | {job.key: job for job in plan.jobs}
    runs = _open_folder(folder, plan.request, resume, wanted)
    results = Results(tools=_tools(), request=plan.request, times=Times(started=started))
    write_record(folder / "results.json", results)

    def keep(run: Run) -> None:
        runs[run.key] = run
        tell(run, len(runs), len(wanted))

    try:
        drive_all([job for key, job in wanted.items() if key not in runs], keep)
    except EdgeSegError as error:
        kept = " (what was driven is kept: add --resume)" if runs else ""
        raise type(error)(f"{error}{kept}") from error
    results.runs = [runs[job.key] for job in plan.jobs]
    results.curve_runs = [runs[job.key] for job in plan.curve_jobs]
    results.summary = summarize(results.runs, folder)
    results.curve = curve_of(results.curve_runs)
    if plan.request.versus is not None:
        driver, other = plan.drivers
        results.differences = differences(results.runs, driver, other)
    results.status = "Finished"
    results.times.wall_s = round(perf_counter() - clock, 3)
    write_record(folder / "results.json", results)
    return results


def on_this_machine(plan: Plan, folder: Path, workers: int) -> DriveAll:
    """Return what drives jobs in ``workers`` processes side by side, each with its own world."""

    def drive_all(jobs: Sequence[Job], done: Done) -> None:
        left: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            left.put(job)
        news: queue.SimpleQueue[Run | Exception | None] = queue.SimpleQueue()
        crew = [
            RouteWorker(plan.server, folder, plan.request.seed)
            for _ in range(min(workers, len(jobs)))
        ]
        hands = [threading.Thread(target=_work, args=(worker, left, news)) for worker in crew]
        for hand in hands:
            hand.start()
        try:
            _hand_over(news, len(hands), done)
        finally:
            for worker in crew:
                worker.interrupt()
            for hand in hands:
                hand.join()

    return drive_all


def _work(
    worker: RouteWorker,
    left: queue.SimpleQueue[Job],
    news: queue.SimpleQueue[Run | Exception | None],
) -> None:
    """Drive jobs until none is left: a thread's whole life, as its child ends with it."""
    with closing(worker):
        try:
            while not worker.interrupted:
                news.put(worker.drive(left.get_nowait()))
        except queue.Empty:
            pass
        except Exception as error:
            news.put(error)
        finally:
            news.put(None)


def _hand_over(news: queue.SimpleQueue[Run | Exception | None], hands: int, done: Done) -> None:
    while hands:
        item = news.get()
        if item is None:
            hands -= 1
        elif isinstance(item, Exception):
            raise item
        else:
            done(item)


def _open_folder(
    folder: Path, request: Request, resume: bool, wanted: dict[str, Job]
) -> dict[str, Run]:
    """Make the folder ready; return the runs that need not be driven again."""
    record = folder / "results.json"
    if not resume and record.exists():
        raise EdgeSegError(
            f"{folder} holds a drive already: go on with it (--resume), or name another (-o)"
        )
    try:
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, folder) from error
    if not record.exists():
        return {}
    _require_same(read_results(folder).request, request, folder)
    runs = {}
    for key in wanted:
        path = folder / "runs" / f"{key}.json"
        if path.exists():
            run = read_run(path)
            if run.status != "Started" and run.reason in OWN_REASONS:
                runs[key] = run
    return runs


def _require_same(before: Request, now: Request, folder: Path) -> None:
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(now)
    for name in old:
        if old[name] != new[name]:
            raise EdgeSegError(
                f"{folder} was driven with another '{name}' ({_shown(old[name])}, now "
                f"{_shown(new[name])}): resume with the same, or name another folder (-o)"
            )


def _shown(value: object) -> str:
    """Return a part of a request in few words."""
    if isinstance(value, dict):
        return str(value.get("label") or value.get("digest") or value)[:60]
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return str(value)


def _tools() -> dict[str, str]:
    from importlib.metadata import version

    return {"edge-seg": edge_seg.__version__, "carla": version("carla")}
