"""Driving for real: the unmodified `carla` client, the built-in world, perfect masks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import psutil
import pytest

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.evaluation.evaluate import Done, evaluate, on_this_machine
from carla_bridge.evaluation.jobs import Camera, Job, Server
from carla_bridge.evaluation.latency import NONE
from carla_bridge.evaluation.masks import MaskSource
from carla_bridge.evaluation.plan import Options, Plan, make_plan
from carla_bridge.evaluation.record import Results, Run, read_results, read_run, read_trace
from carla_bridge.evaluation.worker import RouteWorker
from carla_bridge.world.server.start import WorldProcess
from edge_seg.errors import EdgeSegError

LENGTH_M = 50.0
SMALL = Camera(width=240, height=180)


def plan_of(**asked: object) -> Plan:
    usual = {"driver": "labels", "maps": ("Straight",), "length_m": LENGTH_M, "camera": SMALL}
    return make_plan(Options(**{**usual, **asked}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Perfect masks at 0 and 100 ms on one short route, filmed."""
    place = tmp_path_factory.mktemp("drive") / "result"
    plan = plan_of(latency="100")
    evaluate(plan, place, on_this_machine(plan, place, 1))
    return place


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return read_results(folder)


def test_perfect_masks_drive_perfectly(results: Results) -> None:
    assert results.status == "Finished"
    for run in results.runs:
        assert (run.status, run.reason, run.detail) == ("Perfect", "", "")
        assert run.metrics is not None and run.metrics.completion == 100.0
        assert run.metrics.departures == run.metrics.collisions == 0
        assert run.metrics.cross_track_p95_m < 0.25
        assert run.metrics.mask_iou == {"road": 100.0, "lane_marking": 100.0}
        assert run.events[-1].kind == "end" and run.events[-1].what == "completed"


def test_a_late_answer_drops_the_frames_in_between(results: Results) -> None:
    """100 ms are two steps: every other frame is dropped, and controls are 2 or 3 steps old."""
    now, late = (run.metrics for run in results.runs)
    assert now is not None and late is not None
    assert now.frames_dropped == 0 and now.control_age_p50_ms == 0.0
    assert abs(late.frames_dropped - late.frames_seen) <= 1
    assert 100.0 <= (late.control_age_p50_ms or 0.0) <= 150.0
    assert late.control_age_p99_ms == pytest.approx(150.0)


def test_a_trace_has_a_row_a_tick(folder: Path, results: Results) -> None:
    for run in results.runs:
        trace = read_trace(folder, run)
        columns = msgspec.to_builtins(trace)
        ticks = len(trace.tick)
        lengths = {name: len(v) for name, v in columns.items() if isinstance(v, list)}
        lines = {"route_x_m", "route_y_m"}
        assert {name for name, n in lengths.items() if n != ticks} == lines
        assert trace.tick == list(range(ticks))
        assert trace.progress_m == sorted(trace.progress_m)
        assert max(trace.speed_mps) < 30.0 / 3.6 * 1.1


def test_everything_that_the_record_names_is_there(folder: Path, results: Results) -> None:
    for run in results.runs:
        assert (folder / run.trace).is_file()
        assert (folder / "runs" / f"{run.key}.json").is_file()
        assert (folder / run.route.map_file).is_file()
        for moment in run.moments:
            for picture in moment.pictures:
                assert (folder / picture.picture).is_file() and (folder / picture.mask).is_file()
    filmed = [run.key for run in results.runs if run.filmed]
    assert [path.name for path in (folder / "frames").iterdir()] == filmed


def without_times(path: Path) -> object:
    def clean(value: object) -> object:
        if isinstance(value, dict):
            return {name: clean(part) for name, part in value.items() if name != "times"}
        return [clean(part) for part in value] if isinstance(value, list) else value

    return clean(json.loads(path.read_bytes()))


def test_the_same_seed_twice_is_the_same_result(folder: Path, tmp_path: Path) -> None:
    plan = plan_of(latency="100")
    again = evaluate(plan, tmp_path, on_this_machine(plan, tmp_path, 2))
    assert without_times(tmp_path / "results.json") == without_times(folder / "results.json")
    for run in again.runs:
        assert (tmp_path / run.trace).read_bytes() == (folder / run.trace).read_bytes()


def test_resuming_drives_only_what_is_missing(folder: Path, results: Results) -> None:
    plan = plan_of(latency="100")
    lost = results.runs[1]
    record = folder / "runs" / f"{lost.key}.json"
    started = msgspec.structs.replace(lost, status="Started", metrics=None)
    record.write_bytes(msgspec.json.encode(started))
    asked: list[str] = []

    def from_the_record(jobs: Sequence[Job], done: Done) -> None:
        asked.extend(job.key for job in jobs)
        for _ in jobs:
            done(lost)

    before = without_times(folder / "results.json")
    evaluate(plan, folder, from_the_record, resume=True)
    assert asked == [lost.key]
    assert without_times(folder / "results.json") == before


def test_another_request_does_not_go_on_in_this_folder(folder: Path) -> None:
    def nothing(jobs: Sequence[Job], done: Done) -> None:
        raise AssertionError("nothing is to be driven")

    with pytest.raises(EdgeSegError, match="holds a drive already"):
        evaluate(plan_of(latency="100"), folder, nothing)
    with pytest.raises(EdgeSegError, match="driven with another 'seed'"):
        evaluate(plan_of(latency="100", seed=1), folder, nothing, resume=True)


def job(**fields: object) -> Job:
    return msgspec.structs.replace(plan_of(length_m=1000.0).jobs[0], pictures=False, **fields)


def test_a_driver_that_cannot_be_opened_is_the_agents_failure(tmp_path: Path) -> None:
    for name in ("runs", "traces", "maps"):
        (tmp_path / name).mkdir()
    missing = MaskSource(name="int8", bundle=str(tmp_path / "missing.edgeseg"))
    with closing(RouteWorker(Server(), tmp_path, 0)) as worker:
        run = worker.drive(job(driver=missing, latency=NONE))
    assert (run.status, run.reason) == ("Failed", "agent failure")
    assert "missing.edgeseg" in run.detail


class Meanwhile:
    """A drive in a thread, to do something to its processes meanwhile."""

    def __init__(self, folder: Path, server: Server, agent_s: float = 60.0) -> None:
        for name in ("runs", "traces", "maps"):
            (folder / name).mkdir()
        self.worker = RouteWorker(server, folder, 0, agent_s)
        self.run: Run | None = None
        self._thread = threading.Thread(target=self._drive)
        self._thread.start()

    def _drive(self) -> None:
        self.run = self.worker.drive(job())
        self.worker.close()

    def process(self, what: str) -> psutil.Process:
        """Wait until the car drives, on a route of 1 km, and return the process."""
        end = time.monotonic() + 200.0
        while self.worker.turn == "loading" and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(2.0)  # some ticks along
        children = psutil.Process().children(recursive=True)
        return next(child for child in children if what in " ".join(child.cmdline()))

    def ended(self) -> Run:
        self._thread.join(200.0)
        assert self.run is not None
        return self.run


def is_gone(process: psutil.Process) -> bool:
    """Say whether a process has ended, within some seconds; a zombie has."""
    end = time.monotonic() + 15.0
    while time.monotonic() < end:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


WORLD, WORK = "carla_bridge.world", "carla_bridge.evaluation.work"


@pytest.mark.slow
def test_a_world_killed_in_mid_route_is_a_simulator_crash(tmp_path: Path) -> None:
    drive = Meanwhile(tmp_path, Server(timeout_s=3.0))
    drive.process(WORLD).kill()
    run = drive.ended()
    assert (run.status, run.reason) == ("Failed", "simulator crash")
    assert run.metrics is not None and 0.0 < run.metrics.completion < 100.0
    assert read_trace(tmp_path, run).tick


@pytest.mark.slow
def test_a_world_that_hangs_is_told_from_one_that_crashed(tmp_path: Path) -> None:
    drive = Meanwhile(tmp_path, Server(timeout_s=3.0))
    world = drive.process(WORLD)
    world.send_signal(signal.SIGSTOP)
    run = drive.ended()
    assert (run.status, run.reason) == ("Failed", "simulator hung")
    assert is_gone(world)


@pytest.mark.slow
def test_a_drive_that_says_nothing_is_ended_with_its_world(tmp_path: Path) -> None:
    drive = Meanwhile(tmp_path, Server(timeout_s=3.0), agent_s=3.0)
    world, work = drive.process(WORLD), drive.process(WORK)
    work.send_signal(signal.SIGSTOP)
    run = drive.ended()
    assert run.status == "Failed" and run.reason in ("agent hung", "simulator hung")
    assert "no sign of life" in run.detail
    assert is_gone(world)


@pytest.mark.slow
def test_an_interrupted_drive_is_driven_again(tmp_path: Path) -> None:
    drive = Meanwhile(tmp_path, Server())
    drive.process(WORK)
    drive.worker.interrupt()
    run = drive.ended()
    assert (run.status, run.reason) == ("Failed", "interrupted")


@pytest.mark.slow
def test_a_server_that_somebody_else_started_is_driven_as_it_is(tmp_path: Path) -> None:
    """By address and port alone; afterwards it is as it was: asynchronous, and empty."""
    import carla

    with WorldProcess(map="SCurve") as world:
        server = Server(host=world.host, port=world.port)
        plan = plan_of(maps=(), server=server, film=False)
        results = evaluate(plan, tmp_path, on_this_machine(plan, tmp_path, 1))
        (run,) = results.runs
        assert (run.status, run.detail) == ("Perfect", "")
        assert results.request.server == server.name
        client = carla.Client(world.host, world.port)
        client.set_timeout(60.0)
        there = client.get_world()
        assert not there.get_settings().synchronous_mode
        assert not there.get_actors().filter("vehicle.*")


@pytest.mark.slow
def test_ctrl_c_ends_everything_and_the_drive_goes_on_later(tmp_path: Path) -> None:
    script = (
        "import sys; from edge_seg.cli import main; from carla_bridge.cli import drive; "
        "main.app.command('drive')(drive.command); main.main()"
    )
    arguments = ["drive", "labels", "--map", "Straight", "--size", "240x180", "--no-video"]
    command = [sys.executable, "-c", script, *arguments, "--length", "1000", "-o", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60.0
    while not list((tmp_path / "runs").glob("*.json")) and time.monotonic() < end:
        time.sleep(0.2)
    time.sleep(5.0)  # somewhere between the world's start and the route's end
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60.0)
    assert process.returncode == 130 and "Traceback" not in said
    assert f"kept in {tmp_path}: the same with --resume goes on" in said.replace("\n", "")
    assert children and all(is_gone(child) for child in children)
    assert read_results(tmp_path).status == "Started"
    (record,) = (tmp_path / "runs").glob("*.json")
    assert read_run(record).reason in ("", "interrupted")
