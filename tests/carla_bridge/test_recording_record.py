"""Recording by the real client from a real server: what comes out, again and again, in any case."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
import typer
from listening_proxy import listening_proxy
from typer.testing import CliRunner

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

import carla

from carla_bridge.cli.record import command
from carla_bridge.client.session import Session, SimulatorError
from carla_bridge.recording.finish import ABOUT, SHEET
from carla_bridge.recording.journal import LINES, working_folder
from carla_bridge.recording.plan import Request
from carla_bridge.recording.recorder import Recording, record
from carla_bridge.recording.summary import summarize
from carla_bridge.world.server.start import WorldProcess
from edge_seg.classes import DEPTH
from edge_seg.frames import FrameSet
from edge_seg.frames.check import check

ROOT = Path(__file__).parents[2]
REQUEST = Request(frames=12, seed=9, maps=("SCurve",), width=96, height=64, traffic=3)

DOCUMENTED = {
    "version",
    "get_available_maps",
    "get_episode_info",
    "get_episode_settings",
    "set_episode_settings",
    "get_sensor_token",
    "get_required_files",
    "query_lights_state",
    "load_new_episode",
    "get_map_info",
    "get_map_data",
    "get_actor_definitions",
    "get_actors_by_id",
    "get_weather_parameters",
    "set_weather_parameters",
    "spawn_actor",
    "spawn_actor_with_parent",
    "set_actor_transform",
    "set_actor_simulate_physics",
    "set_vehicle_light_state",
    "apply_batch",
    "tick_cue",
}
"""What CARLA's public client sends for the calls of its Python API that a recording makes
(LibCarla/source/carla/client/detail/Client.cpp of release 0.9.16)."""


@pytest.fixture(scope="module")
def world() -> Iterator[WorldProcess]:
    with WorldProcess(map="SCurve") as process:
        yield process


def recorded(port: int, goal: Path, request: Request = REQUEST) -> Recording:
    with Session.connect(port=port) as session:
        return record(session, request, goal, licence="CC0-1.0")


@pytest.fixture(scope="module")
def recording(world: WorldProcess, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return recorded(world.port, tmp_path_factory.mktemp("first") / "set")


def test_the_set_is_whole_and_fit(recording: Recording) -> None:
    frames = recording.frames
    frames.verify()
    assert (len(frames), frames.name, frames.licence) == (12, "set", "CC0-1.0")
    words = "the built-in world, speaking as CARLA 0.9.16, SCurve, seed 9"
    assert frames.source == f"recorded by carla_bridge.recording: {words}"
    findings = {finding.code for finding in check(frames)}
    assert findings <= {"too-few", "near-duplicates"}
    for labelled in frames:
        assert labelled.mask is not None and labelled.image.shape == (64, 96, 3)
        assert {0, 1} <= set(np.unique(labelled.mask))
    about = msgspec.json.decode((frames.path / ABOUT).read_bytes())
    assert [row["id"] for row in about] == [entry.id for entry in frames.entries]
    assert (frames.path / SHEET).stat().st_size > 1000
    assert not working_folder(frames.path).exists()


def test_the_set_is_balanced(recording: Recording) -> None:
    counts = summarize(recording.entries)
    assert counts["light"] == {"day": 4, "low-sun": 4, "night": 4}
    assert min(counts["bend"][bend] for bend in ("straight", "bend", "sharp")) == 4
    assert counts["frames"] == {"kept": 12, "left_out": 0}
    assert counts["cars_around"]["some"] > 0


def test_light_is_as_the_plan_says(recording: Recording) -> None:
    by_light: dict[str, list[float]] = {}
    for entry, labelled in zip(recording.entries, recording.frames, strict=True):
        by_light.setdefault(entry.light, []).append(float(labelled.image.mean()))
    assert np.mean(by_light["night"]) < 0.7 * np.mean(by_light["day"])


def test_the_same_seed_gives_the_same_bytes(
    recording: Recording, world: WorldProcess, tmp_path: Path
) -> None:
    again = recorded(world.port, tmp_path / "set")
    assert again.frames.digest == recording.frames.digest
    for name in (SHEET, ABOUT):
        first = (recording.frames.path / name).read_bytes()
        assert (again.frames.path / name).read_bytes() == first


def test_a_recording_that_was_cut_off_goes_on_to_the_same_bytes(
    recording: Recording, world: WorldProcess, tmp_path: Path
) -> None:
    goal = tmp_path / "set"

    def stop_at_five(done: int, total: int | None) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Session.connect(port=world.port) as session:
        record(session, REQUEST, goal, "CC0-1.0", stop_at_five)
    lines = (working_folder(goal) / LINES).read_bytes()
    assert lines.count(b"\n") == 5
    again = recorded(world.port, goal)
    assert again.frames.digest == recording.frames.digest


def test_a_world_can_be_taken_as_it_is(world: WorldProcess, tmp_path: Path) -> None:
    request = msgspec.structs.replace(REQUEST, maps=(), frames=2, settle_ticks=3)
    made = recorded(world.port, tmp_path / "set", request)
    assert {entry.map for entry in made.entries} == {"SCurve"}


def test_masks_hold_the_depths_of_the_same_pictures(
    world: WorldProcess, recording: Recording, tmp_path: Path
) -> None:
    request = msgspec.structs.replace(REQUEST, frames=2, truth="depth")
    frames = recorded(world.port, tmp_path / "far", request).frames
    assert frames.classes == DEPTH
    assert DEPTH.depth is not None
    for index in range(2):
        assert np.array_equal(frames.image(index), recording.frames.image(index))
        lanes, depths = recording.frames.mask(index), frames.mask(index)
        assert lanes is not None and depths is not None
        metres = DEPTH.depth.metres(depths)
        # The lowest row of road, 1.4 m below a camera that sees 21 degrees down, is metres away;
        # the sky is drawn in to the far end.
        near = metres[-1][lanes[-1] > 0]
        assert near.min() > 2 and near.max() < 6
        assert metres[0].max() == pytest.approx(100)


def remote_ports() -> set[int]:
    links = psutil.Process().net_connections("tcp")
    return {link.raddr.port for link in links if link.raddr}


def test_only_documented_calls_are_made_and_to_this_server_alone(
    world: WorldProcess, tmp_path: Path
) -> None:
    with listening_proxy(world.port, tmp_path) as (port, calls):
        before = remote_ports()
        with Session.connect(port=port) as session:
            made = record(session, msgspec.structs.replace(REQUEST, frames=3), tmp_path / "set")
            ports = remote_ports() - before
        assert len(made.frames) == 3
        assert calls() <= DOCUMENTED
        assert {"spawn_actor", "tick_cue", "set_actor_transform", "apply_batch"} <= calls()
        assert ports <= {port, world.port + 1}, "calls by the proxy, pictures by their streams"


@pytest.mark.parametrize("package", ["client", "recording"])
def test_the_client_side_knows_nothing_of_the_built_in_server(package: str) -> None:
    shared = {f"carla_bridge.world.{name}" for name in ("tags", "maps.check", "shipped_maps")}
    for path in sorted((ROOT / "carla_bridge" / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                ours = node.module.startswith("carla_bridge.world")
                assert not ours or node.module in shared, f"{path} imports {node.module}"


def test_the_client_side_loads_no_renderer() -> None:
    code = "import sys, carla_bridge.recording.recorder as r; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"panda3d", "direct", "torch", "carla"} & set(done.stdout.split())


@pytest.mark.slow
def test_a_server_that_dies_leaves_what_was_recorded(tmp_path: Path) -> None:
    goal = tmp_path / "set"
    with WorldProcess(map="SCurve") as world:

        def kill_at_three(done: int, total: int | None) -> None:
            if done == 3:
                world.kill()

        with (
            Session.connect(port=world.port, timeout_s=1.0) as session,
            pytest.raises(SimulatorError, match="is gone"),
        ):
            record(session, REQUEST, goal, "CC0-1.0", kill_at_three)
    assert (working_folder(goal) / LINES).read_bytes().count(b"\n") == 3
    assert not goal.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", "640"), "'640' is no size: write width x height"),
        (("--camera", "1.4"), "write its height in metres"),
        (("--camera", "nan,0"), "write its height in metres"),
        (("--weather", "snow"), "no weather 'snow'"),
        (("--port", "9", "--host", "127.0.0.1"), "no CARLA server at 127.0.0.1:9"),
        (("--out", "."), ". exists already"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, ["--out", "set", *arguments])
    assert message in str(done.exception)
    assert len(str(done.exception).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("map", ["Twon", "gone.xodr", "empty.xodr"])
def test_a_map_that_is_not_there_is_one_line(
    map: str, world: WorldProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.xodr").touch()
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, ["--out", "set", "--map", map, f"--port={world.port}"])
    assert map in str(done.exception)
    assert len(str(done.exception).splitlines()) == 1
    assert not Path("set").exists()


def edge_seg_record(*arguments: str | Path) -> list[str]:
    options = ["--frames=30", "--seed=5", "--size=96x64", "--map=SCurve", "--map=Town"]
    return [sys.executable, "-m", "edge_seg.cli", "record", *options, *map(str, arguments)]


def lines_of(goal: Path) -> int:
    path = working_folder(goal) / LINES
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_lines(goal: Path, count: int, process: subprocess.Popen[str]) -> None:
    begun = time.monotonic()
    while lines_of(goal) < count:
        assert process.poll() is None and time.monotonic() - begun < 120
        time.sleep(0.05)


@pytest.mark.slow
def test_the_command_goes_on_after_kill_9(tmp_path: Path) -> None:
    """Killed twice, wherever that is, the built-in world of its own with it: no frame is lost."""
    whole = subprocess.run(
        edge_seg_record("-o", tmp_path / "whole" / "set", "--json"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert whole.returncode == 0, whole.stderr
    told = msgspec.json.decode(whole.stdout)
    assert told["recorded"]["frames"] == {"kept": 30, "left_out": 0}
    assert told["findings"] == [f for f in told["findings"] if f["level"] == "warning"]
    goal = tmp_path / "cut" / "set"
    for count in (4, 19):
        with subprocess.Popen(edge_seg_record("-o", goal), text=True) as running:
            wait_for_lines(goal, count, running)
            running.kill()
        assert lines_of(goal) >= count
    done = subprocess.run(edge_seg_record("-o", goal), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert FrameSet.open(goal).digest == told["digest"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_foreign_world_as_it_was(
    number: signal.Signals, world: WorldProcess, tmp_path: Path
) -> None:
    goal = tmp_path / "set"
    client = carla.Client(world.host, world.port)
    client.set_timeout(10.0)
    found = client.get_world().get_settings()
    assert not found.synchronous_mode
    with subprocess.Popen(edge_seg_record("-o", goal, f"--port={world.port}"), text=True) as run:
        wait_for_lines(goal, 2, run)
        run.send_signal(number)
        assert run.wait(60) == (-number if number == signal.SIGTERM else 130)
    there = client.get_world()
    there.wait_for_tick(10.0)
    assert there.get_settings() == found
    kinds = [actor.type_id for actor in there.get_actors()]
    assert not [kind for kind in kinds if kind.startswith(("vehicle.", "sensor."))]
    assert lines_of(goal) >= 2
    assert os.listdir(tmp_path) == ["set.part"]
