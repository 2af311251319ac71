"""``edge-seg pack`` from end to end, with a target on which ONNX Runtime alone competes."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import edge_seg
from rogue import install
from torch import nn

from edge_seg.bundle.archive import open_bundle
from edge_seg.frames import FrameSet
from edge_seg.models.model import Model


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Target ``small``, and a cache folder of the test's own."""
    install(tmp_path / "site", monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def onnx_file(network: nn.Module, model: Model, path: Path) -> Path:
    example = torch.zeros(1, 3, model.input.height, model.input.width)
    torch.onnx.export(network, (example,), str(path), dynamo=False, opset_version=17)
    return path


def arguments(model: Path, calibration: FrameSet, evaluation: FrameSet, out: Path) -> list[str]:
    sets = ["--calibration", calibration.path, "--eval", evaluation.path]
    options = ["--model", model, "--threads", 1, "-o", out, "--json", out.with_suffix(".json")]
    return [str(item) for item in ["pack", "--target", "small", *sets, *options]]


@pytest.mark.usefixtures("small")
def test_it_packs_and_tells(
    fitted_model: Model, road_frames: FrameSet, few_frames: FrameSet, tmp_path: Path
) -> None:
    assert fitted_model.module is not None
    model = onnx_file(fitted_model.module, fitted_model, tmp_path / "lanes.onnx")
    out = tmp_path / "with [brackets] and a name longer than a line of a terminal.edgeseg"
    shown = edge_seg(
        *arguments(model, road_frames, few_frames, out), "--max-drop", 50, "--max-class-drop", 50
    )
    assert f"onnxruntime/int8 wins: packed as {out}\n" in shown
    for word in ("tournament", "baseline", "winner", "float32"):
        assert word in shown
    record = json.loads(out.with_suffix(".json").read_text())
    manifest = open_bundle(out).manifest
    assert record["winner"] == manifest.winner == "onnxruntime/int8"
    assert record["bundle"] == str(out)
    assert record["digest"] == open_bundle(out).digest
    assert [row["status"] for row in record["candidates"]] == ["baseline", "winner"]
    for row in record["candidates"]:
        for name in ("miou", "drop", "p50_ms", "p99_ms", "size_bytes", "peak_rss_bytes"):
            assert isinstance(row[name], (int, float)), name
        assert row["engine"] == "onnxruntime" and row["reason"] == ""
    assert {step["name"] for step in record["steps"]} >= {"load", "fold", "ranges", "latency"}
    assert record["machine"]["cores"] >= 1


def beyond_help(network: nn.Module) -> nn.Sequential:
    """Make a channel of every inner tensor a thousand times louder: all layers suffer."""
    changed = copy.deepcopy(network)
    assert isinstance(changed, nn.Sequential)
    with torch.no_grad():
        for loud, listening in ((1, 3), (3, 5)):
            changed[loud].weight[0] *= 1e3
            changed[loud].bias[0] *= 1e3
            changed[listening].weight[:, 0] /= 1e3
    return changed


@pytest.mark.usefixtures("small")
def test_a_missed_gate_is_exit_3_with_the_file_kept_aside_and_the_json_written(
    fitted_model: Model, road_frames: FrameSet, few_frames: FrameSet, tmp_path: Path
) -> None:
    assert fitted_model.module is not None
    model = onnx_file(beyond_help(fitted_model.module), fitted_model, tmp_path / "lanes.onnx")
    out = tmp_path / "lane.edgeseg"
    command = arguments(model, road_frames, few_frames, out)
    done = subprocess.run(
        [sys.executable, "-m", "edge_seg.cli", *command], capture_output=True, text=True
    )
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: no candidate held the gate; the best, onnxruntime/int8")
    assert not out.exists()
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["winner"] is None
    assert record["gate"]["held"] is False
    assert record["bundle"] == f"{out}.rejected"
    (rejected,) = [row for row in record["candidates"] if row["status"] == "rejected"]
    assert "layers were tried back in float" in rejected["reason"]
    assert b"layers were tried back in float" in open_bundle(f"{out}.rejected").read("report.html")
