"""The same jobs on a Ray cluster: with the files they need, for real where Ray is installed."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from safetensors.torch import save
from study_of import write_plan

from edge_seg.errors import MissingRuntimeError
from edge_seg.frames import FrameSet
from edge_seg.study.expand import expand
from edge_seg.study.jobs import digest_of
from edge_seg.study.on_ray import do_one, frame_folders, inputs_of, localized, on_ray
from edge_seg.study.plan import read_plan
from edge_seg.study.records import Record
from edge_seg.study.results import read_results

GRID = '[grid]\nengines = ["onnxruntime"]\n[timing]\nframes = 0\n'


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingRuntimeError, match="pip install"):
        on_ray("auto")


def test_a_job_is_done_far_from_its_files(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    _, (run, _) = expand(read_plan(write_plan(tmp_path, road_frames, few_frames, GRID)))
    places = frame_folders(run)
    assert places == sorted([str(road_frames.path), str(few_frames.path)])
    sets = [
        {str(p.relative_to(place)): p.read_bytes() for p in Path(place).rglob("*") if p.is_file()}
        for place in places
    ]
    encoded, files = do_one(msgspec.json.encode(run), inputs_of(run, tmp_path), places, *sets)
    record = msgspec.json.decode(encoded, type=Record)
    assert record.status == "done", record.reason
    assert record.job == run and record.digest == digest_of(run)
    assert set(files) == {f"files/{run.key}.onnx", f"masks/{run.key}.msgpack"}


def test_a_weights_file_travels_with_its_job(tmp_path: Path, road_frames: FrameSet) -> None:
    path = write_plan(tmp_path, road_frames, road_frames, 'weights = "mine.safetensors"\n' + GRID)
    payload = save(importlib.import_module("little_network").make().state_dict())
    (tmp_path / "mine.safetensors").write_bytes(payload)
    _, (run, _) = expand(read_plan(path))
    inputs = inputs_of(run, tmp_path)
    assert inputs == {"weights/mine.safetensors": payload}
    there = tmp_path / "there"
    (there / "weights").mkdir(parents=True)
    (there / "weights" / "mine.safetensors").write_bytes(payload)
    moved = localized(run, {str(road_frames.path): "/elsewhere"}, there)
    assert moved.weights == str(there / "weights" / "mine.safetensors")  # type: ignore[union-attr]
    assert moved.calibration.place == "/elsewhere"  # type: ignore[union-attr]
    assert digest_of(moved) == digest_of(run)


@pytest.mark.slow
def test_a_study_on_a_cluster_of_this_machine(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet
) -> None:
    pytest.importorskip("ray", reason="needs Ray")
    path = write_plan(tmp_path, road_frames, few_frames, GRID)
    environment = {
        **os.environ,
        "RAY_USAGE_STATS_ENABLED": "0",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PYTHONPATH": str(tmp_path),
    }
    line = [sys.executable, "-m", "edge_seg.cli", "study", str(path), "-o", str(tmp_path / "out")]
    ended = subprocess.run(
        [*line, "--ray", "local"], env=environment, capture_output=True, text=True, timeout=400
    )
    assert ended.returncode == 0, ended.stderr
    results = read_results(tmp_path / "out" / "results.json")
    assert [row.status for row in results.rows] == ["done", "done"]
    assert results.rows[0].miou is not None
