"""``edge-seg pack`` from end to end, with a target on which ONNX Runtime alone competes."""

from __future__ import annotations

import copy
import html
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import edge_seg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
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


@pytest.fixture
def lanes(fitted_model: Model, tmp_path: Path) -> Path:
    """The fitted network as an ONNX file."""
    assert fitted_model.module is not None
    return onnx_file(fitted_model.module, fitted_model, tmp_path / "lanes.onnx")


def arguments(model: Path, calibration: FrameSet, evaluation: FrameSet, out: Path) -> list[str]:
    sets = ["--calibration", calibration.path, "--eval", evaluation.path]
    options = ["--model", model, "--threads", 1, "-o", out, "--json", out.with_suffix(".json")]
    return [str(item) for item in ["pack", "--target", "small", *sets, *options]]


@pytest.mark.usefixtures("small")
def test_it_packs_and_tells(
    lanes: Path, road_frames: FrameSet, few_frames: FrameSet, tmp_path: Path
) -> None:
    out = tmp_path / "with [brackets] and a name longer than a line of a terminal.edgeseg"
    shown = edge_seg(
        *arguments(lanes, road_frames, few_frames, out), "--max-drop", 50, "--max-class-drop", 50
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


@pytest.mark.usefixtures("small")
def test_each_step_is_a_line_on_stderr_and_the_report_has_the_command(
    lanes: Path, road_frames: FrameSet, few_frames: FrameSet, tmp_path: Path
) -> None:
    out = tmp_path / "my lane.edgeseg"
    gate = ["--max-drop", "50", "--max-class-drop", "50"]
    command = [*arguments(lanes, road_frames, few_frames, out), *gate]
    done = subprocess.run(
        [sys.executable, "-m", "edge_seg.cli", *command], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    line = re.compile(r"^ +(\d+\.\d) s  (.{22}) ", re.M)
    shown = [(name.rstrip(), seconds) for seconds, name in line.findall(done.stderr)]
    assert [name for name, _ in shown] == [
        "load", "calibration set", "fold", "ranges", "method", "onnxruntime float32",
        "onnxruntime int8", "latency", "sensitivity", "golden frames", "bundle",
    ]  # fmt: skip
    assert not line.search(done.stdout)
    record = json.loads(out.with_suffix(".json").read_text())
    assert shown == [(step["name"], f"{step['seconds']:.1f}") for step in record["steps"]]
    report = open_bundle(out).read("report.html").decode()
    assert f"<code>{shlex.join(['edge-seg', *command])}</code>" in html.unescape(report)


@pytest.mark.usefixtures("small")
def test_a_named_engine_is_the_only_one_that_may_win_and_every_baseline_stays(
    lanes: Path, road_frames: FrameSet, few_frames: FrameSet, tmp_path: Path
) -> None:
    pytest.importorskip("openvino", reason="the engine that is left out")
    out = tmp_path / "lane.edgeseg"
    command = arguments(lanes, road_frames, few_frames, out)
    gate = ["--max-drop", 50, "--max-class-drop", 50]
    edge_seg(*command, "--target", "x86", "--engine", "onnxruntime", *gate)
    record = json.loads(out.with_suffix(".json").read_text())
    rows = {(row["engine"], row["precision"]): row["status"] for row in record["candidates"]}
    assert rows == {
        ("torch", "float32"): "failed",  # the model came as ONNX
        ("onnxruntime", "float32"): "baseline",
        ("openvino", "float32"): "baseline",
        ("onnxruntime", "int8"): "winner",
    }


@pytest.mark.usefixtures("small")
def test_what_pack_signs_with_a_key_verify_calls_valid_with_its_public_half(
    lanes: Path, road_frames: FrameSet, few_frames: FrameSet, tmp_path: Path
) -> None:
    key = Ed25519PrivateKey.generate()
    secret, public = tmp_path / "key.pem", tmp_path / "pub.pem"
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    form = PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, form))
    out = tmp_path / "lane.edgeseg"
    gate = ["--max-drop", 50, "--max-class-drop", 50]
    edge_seg(*arguments(lanes, road_frames, few_frames, out), *gate, "--sign", secret)
    verdict = json.loads(edge_seg("verify", out, "--key", public, "--json"))
    assert verdict["signature"]["state"] == "valid"
    assert verdict["ok"] is True and verdict["faults"] == []
    assert verdict["golden"]["identical"] == verdict["golden"]["frames"] == 4
