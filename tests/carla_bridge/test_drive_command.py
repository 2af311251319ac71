"""``edge-seg drive`` as a user calls it: what it refuses, what it prints, its exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.client.session import Session
from carla_bridge.evaluation.record import read_results
from carla_bridge.world.server.start import WorldProcess
from edge_seg.bundle.archive import open_bundle
from edge_seg.cli.main import app
from edge_seg.errors import EdgeSegError, GateMissedError

SHORT = ("--map", "Straight", "--length", "50", "--size", "240x180", "--no-video")


def refusal(*arguments: object) -> str:
    """Return the error of a command that must refuse, before it starts anything."""
    result = CliRunner().invoke(app, ["drive", *map(str, arguments)])
    error = result.exception
    assert isinstance(error, EdgeSegError) and error.exit_code == 2, result.output + repr(error)
    assert "\n" not in str(error) and result.stdout == ""
    return str(error)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["labels", "--map", "Twon"], "Town"),
        (["labels", "--weather", "rian"], "rain"),
        (["labels", "--routes", "4-1"], "write numbers and ranges"),
        (["labels", "--size", "640"], "640x480"),
        (["labels", "--size", "8x8"], "16"),
        (["labels", "--attach"], "name a bundle"),
        (["labels", "--sign", "key.pem"], "--attach"),
        (["labels", "--latency", "pi6"], "pi5"),
        (["labels", "--latency", "-3"], "-3"),
        (["labels", "--routes", "99999"], "from 0 to 9999"),
        (["labels", "--vs", "labels"], "name a bundle"),
        (["labels", "--map", "Town", "--map", "Town"], "'Town' twice"),
        (["labels", "--port", "2000", "--jobs", "2"], "--jobs"),
        (["lane.edgeseg"], "lane.edgeseg"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    assert said in refusal(*arguments, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_server_is_told_before_anything_is_driven(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["drive", "labels", "--port", "9", "--timeout", "1", "-o", str(tmp_path / "out")]
    )
    assert isinstance(result.exception, EdgeSegError) and result.exception.exit_code == 2
    assert "no CARLA server at 127.0.0.1:9" in str(result.exception)


@pytest.mark.slow
def test_a_servers_own_map_is_called_by_its_name_and_another_is_not_mixed_in(
    tmp_path: Path,
) -> None:
    with WorldProcess(map="SCurve") as world:
        drive = ["drive", "labels", *SHORT[2:], "--port", str(world.port), "-o", str(tmp_path)]
        result = CliRunner().invoke(app, drive)
        assert result.exit_code == 0, result.output
        results = read_results(tmp_path)
        assert results.request.maps == [results.runs[0].route.map] == ["SCurve"]
        with Session.connect(world.host, world.port, 60.0) as session:
            session.load("Straight")
        result = CliRunner().invoke(app, [*drive, "--resume"])
        assert "another 'maps' (SCurve, now Straight)" in str(result.exception)


def test_perfect_masks_pass_their_gate_and_print_json(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["drive", "labels", *SHORT, "--json", "--min-score", "100", "-o", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert shown == json.loads((out / "results.json").read_bytes())
    (run,) = shown["runs"]
    assert (run["status"], run["detail"]) == ("Perfect", "")
    assert (out / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_a_bundle_too_late_to_drive_misses_the_gate_and_carries_how_it_drove(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    """Masks three seconds old are none to start by: it stands until its route is over."""
    bundle = Path(shutil.copy(tiny_bundle, tmp_path / "tiny.edgeseg"))
    command = ["drive", str(bundle), *SHORT, "--latency", "3000", "--attach", "--min-score", "50"]
    result = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "out")])
    assert isinstance(result.exception, GateMissedError), result.output
    assert result.exception.exit_code == 3 and "below --min-score 50" in str(result.exception)
    now, late = open_bundle(bundle).manifest.driven
    assert (now.latency, now.maps, now.runs) == ("0 ms", ["Straight"], 1)
    assert (late.latency, late.completion) == ("3000 ms", 0.0)
    assert late.simulator == "built-in world" and not late.estimate
    assert (late.traffic, late.route_m) == (0, 50.0)
    shown = CliRunner().invoke(app, ["inspect", str(bundle)])
    assert shown.exit_code == 0 and "3000 ms" in shown.stdout
