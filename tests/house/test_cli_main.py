"""The command line: every command is there, and an error is one line with an exit code."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_seg.cli import main as cli
from edge_seg.errors import EdgeSegError, GateMissedError

runner = CliRunner()


def edge_seg(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_seg.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def fail(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the exit code when a command raises ``error``."""

    def command() -> None:
        raise error

    monkeypatch.setattr(cli, "app", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_says_what_it_does(name: str) -> None:
    result = runner.invoke(cli.app, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage" in result.output


def test_a_missing_bundle_is_one_line_and_two(tmp_path: Path) -> None:
    done = edge_seg("inspect", tmp_path / "none.edgeseg")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_package_is_the_command(tmp_path: Path) -> None:
    goal = tmp_path / "none.edgeseg"
    command = [sys.executable, "-m", "edge_seg", "inspect", str(goal)]
    done = subprocess.run(command, capture_output=True, text=True)
    expected = edge_seg("inspect", goal)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected.stderr)


def test_an_unknown_command_is_two() -> None:
    done = edge_seg("pakc")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EdgeSegError("no such set 'x'"), 2),
        (GateMissedError("no candidate held the gate"), 3),
        (OSError(errno.ENOSPC, "No space left on device"), 2),
        (ValueError("a fault of ours"), 1),
    ],
)
def test_exit_codes_by_kind(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fail(error, monkeypatch) == code


WAITING = """
import sys, time
from edge_seg.cli.main import app, main

@app.command()
def wait():
    print("ready", flush=True)
    for _ in range(600):  # a signal just before a sleep begins is noticed when it ends
        time.sleep(0.1)

sys.argv = ["edge-seg", "wait"]
main()
"""


def test_ctrl_c_is_130_without_a_traceback() -> None:
    command = [sys.executable, "-c", WAITING]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as waiting:  # type: ignore[call-overload]
        assert waiting.stdout.readline() == "ready\n"
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert "Traceback" not in said


def test_a_fault_of_ours_says_how_to_see_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EDGE_SEG_DEBUG", raising=False)
    fail(ValueError("odd"), monkeypatch)
    line = capsys.readouterr().err
    assert "ValueError: odd" in line
    assert "EDGE_SEG_DEBUG=1" in line
    assert len(line.splitlines()) == 1


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_SEG_DEBUG", "1")
    monkeypatch.setattr(cli, "app", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_targets_as_json() -> None:
    rows = json.loads(runner.invoke(cli.app, ["targets", "--json"]).stdout)
    (x86,) = [row for row in rows if row["name"] == "x86"]
    assert x86["architecture"] == "x86_64"
    assert {"openvino", "onnxruntime", "fbgemm"} <= set(x86["engines"])
    prove = {row["name"]: row["prove"] for row in rows}
    assert (prove["x86"], prove["raspberry-pi"]) == (False, True)


def test_targets_as_a_table() -> None:
    assert "x86" in runner.invoke(cli.app, ["targets"]).stdout


GREET = """
def command() -> None:
    print("hello")
"""


def test_another_package_brings_a_command(tmp_path: Path) -> None:
    info = tmp_path / "greet-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greet\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{cli.GROUP}]\nbroken = no_such_module_anywhere\ngreet = greet\n"
    )
    (tmp_path / "greet.py").write_text(GREET)
    done = subprocess.run(
        [sys.executable, "-m", "edge_seg.cli", "greet"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert [line for line in done.stderr.splitlines() if "'broken'" in line] == [
        "warning: no command 'broken': No module named 'no_such_module_anywhere'"
    ]
