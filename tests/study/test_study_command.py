"""``edge-seg study``: what it refuses, what it lists, and a whole run with real children."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from study_of import write_plan
from typer.testing import CliRunner

from edge_seg.cli import study as command
from edge_seg.cli.main import app
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet


def refusal(*arguments: object) -> str:
    """The error of a command that must refuse: bad input, one line, exit code 2."""
    result = CliRunner().invoke(app, ["study", *map(str, arguments)])
    error = result.exception
    assert isinstance(error, EdgeSegError), result.output + repr(error)
    assert error.exit_code == 2 and "\n" not in str(error)
    return str(error)


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    assert "name a study" in refusal()
    assert "no study 'deeplab_ptq_qad'" in refusal("deeplab_ptq_qad")
    assert "cannot read the study" in refusal(tmp_path / "none.toml")
    assert "leave one out" in refusal("deeplab_ptq_qat", "--jobs", 2, "--ray", "auto")
    assert "no Ray cluster at '127.0.0.1:1'" in refusal(
        "deeplab_ptq_qat", "--ray", "127.0.0.1:1", "-o", tmp_path / "x"
    ) or "not installed" in refusal("deeplab_ptq_qat", "--ray", "127.0.0.1:1")
    assert "is a folder" in refusal("deeplab_ptq_qat", "--json", tmp_path)
    same = tmp_path / "same"
    assert "named for two results" in refusal("deeplab_ptq_qat", "--json", same, "--markdown", same)


def test_a_folder_in_the_way_is_found_before_anything_runs(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet
) -> None:
    (tmp_path / "file").write_text("")
    path = write_plan(tmp_path, road_frames, few_frames, GRID)
    assert "a file is in the way" in refusal(path, "-o", tmp_path / "file")


def test_the_list_has_every_shipped_study() -> None:
    result = CliRunner().invoke(app, ["study", "--list"])
    assert result.exit_code == 0
    assert "deeplab_ptq_qat: PTQ, QAT and delayed QAT on DeepLabV3+" in result.stdout
    assert command.__doc__ is not None


GRID = """
    [grid]
    engines = ["onnxruntime"]
    methods = ["ptq", "equalized"]
    [timing]
    frames = 8
"""


@pytest.mark.slow
def test_a_study_ends_and_goes_on_where_ctrl_c_left_it(
    tmp_path: Path,
    road_frames: FrameSet,
    few_frames: FrameSet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = write_plan(tmp_path, road_frames, few_frames, GRID)
    line = [sys.executable, "-m", "edge_seg.cli", "study", str(path), "-o", str(tmp_path / "out")]
    first = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    for said in first.stderr:
        if "net-onnxruntime-float32-s0" in said:
            first.send_signal(signal.SIGINT)
            break
    assert "the same command goes on from there" in first.stderr.read()
    assert first.wait(30) == 130
    kept = tmp_path / "out" / "records" / "net-onnxruntime-float32-s0.json"
    before = kept.read_bytes()
    assert not (tmp_path / "out" / "results.json").exists()
    second = subprocess.run(
        [
            *line,
            "--jobs",
            "2",
            "--json",
            str(tmp_path / "x.json"),
            "--markdown",
            str(tmp_path / "x.md"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert second.returncode == 0, second.stderr
    assert kept.read_bytes() == before and "3 jobs, 1 of them done before" in second.stderr
    results = json.loads((tmp_path / "x.json").read_text())
    assert [row["status"] for row in results["rows"]] == ["done"] * 3
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {
        "results.json",
        "results.csv",
        "study.html",
    }
    assert "onnxruntime int8 equalized" in second.stdout
    # A line for each row, and one of operators for float and for the first int8 row.
    assert (tmp_path / "x.md").read_text().count("| onnxruntime") == 3 + 2
