"""``edge-seg bench``: documented JSON, comparisons, and its refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import edge_seg, refusal
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edge_seg import device
from edge_seg.bundle.archive import open_bundle
from edge_seg.bundle.manifest import DeviceState
from edge_seg.frames import FrameSet

QUICK = ("--frames", 10, "--threads", 1)


def test_json_has_the_documented_fields(
    tiny_bundle: Path, few_frames: FrameSet, tmp_path: Path
) -> None:
    other = Path(shutil.copy(tiny_bundle, tmp_path / "other.edgeseg"))
    shown = json.loads(
        edge_seg("bench", tiny_bundle, "--vs", other, "--set", few_frames.path, *QUICK, "--json")
    )
    assert shown["schema"] == "edge-seg/bench-1"
    assert shown["frame_set"] == "few-roads"
    first, second = shown["entries"]
    assert (first["name"], second["name"]) == ("tiny.edgeseg", "other.edgeseg")
    for entry in (first, second):
        assert (entry["engine"], entry["precision"]) == ("onnxruntime", "int8")
        assert entry["frames"] == 10
        assert set(entry["stages"]) == {"preprocess", "inference", "postprocess", "total"}
        total = entry["stages"]["total"]
        assert 0 < total["p50_ms"] <= total["p90_ms"] <= total["p99_ms"]
        assert entry["fps"] == pytest.approx(1000 / total["p50_ms"])
        assert entry["peak_rss_bytes"] > 2**20
    assert shown["stages"] == first["stages"] and shown["fps"] == first["fps"]
    ratio = second["stages"]["total"]["p50_ms"] / first["stages"]["total"]["p50_ms"]
    assert shown["ratios"] == pytest.approx({"tiny.edgeseg": 1.0, "other.edgeseg": ratio})
    assert set(shown["device"]) == {"model", "memory_bytes", "governor", "max_clock_mhz"}
    for moment in ("before", "after"):
        assert set(shown[moment]) == {"clock_mhz", "temperature_c", "throttled"}
    assert shown["attached"] is None and isinstance(shown["warnings"], list)


def test_an_engine_that_reads_the_same_file(tiny_bundle: Path, few_frames: FrameSet) -> None:
    pytest.importorskip("openvino", reason="needs the extra x86")
    shown = edge_seg("bench", tiny_bundle, "--vs", "openvino", "--set", few_frames.path, *QUICK)
    for word in ("tiny.edgeseg", "openvino", "fps", "ratio"):
        assert word in shown


def test_what_it_cannot_compare_with(tiny_bundle: Path, few_frames: FrameSet) -> None:
    bench = ("bench", tiny_bundle, "--set", few_frames.path, *QUICK)
    assert "did you mean 'openvino'?" in refusal(*bench, "--vs", "openvinoo")
    assert "does not read the bundle's model.onnx" in refusal(*bench, "--vs", "fbgemm")
    assert "none.edgeseg: no such file" in refusal(*bench, "--vs", "none.edgeseg")
    assert "no such file" in refusal("bench", "none.edgeseg", "--set", few_frames.path)
    assert "did you mean 'lane-mini'?" in refusal("bench", tiny_bundle, "--set", "lane-mimi")


def test_an_engine_that_cannot_load_the_file_says_so(
    tiny_bundle: Path, few_frames: FrameSet, tmp_path: Path
) -> None:
    from edge_seg.bundle.archive import open_bundle, write_bundle

    opened = open_bundle(tiny_bundle)
    members = {name: opened.read(name) for name in opened.manifest.members}
    members["model.onnx"] = b"no model"
    broken = write_bundle(tmp_path / "broken.edgeseg", opened.manifest, members).path
    said = refusal("bench", broken, "--set", few_frames.path, *QUICK)
    assert "ONNX Runtime refuses the model" in said


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny_bundle, tmp_path / "copy.edgeseg"))


def test_attach_adds_the_latency_of_the_first_bundle(
    tiny_bundle: Path, copy: Path, few_frames: FrameSet
) -> None:
    bench = ("bench", copy, "--vs", tiny_bundle, "--set", few_frames.path, *QUICK, "--attach")
    before = tiny_bundle.read_bytes()
    shown = json.loads(edge_seg(*bench, "--json"))
    assert shown["attached"] == str(copy)
    (latency,) = open_bundle(copy).manifest.latencies
    total = shown["entries"][0]["stages"]["total"]
    assert latency.stages["total"]["p50"] == pytest.approx(total["p50_ms"], abs=0.001)
    assert (latency.frames, latency.threads, latency.runtime) == (10, 1, "onnxruntime")
    assert f"attached to {copy}" in edge_seg(*bench).replace("\n", "")
    assert len(open_bundle(copy).manifest.latencies) == 1  # it took the earlier one's place
    assert tiny_bundle.read_bytes() == before


def test_attaching_to_a_signed_bundle_takes_a_key(
    copy: Path, few_frames: FrameSet, tmp_path: Path
) -> None:
    bench = ("bench", copy, "--set", few_frames.path, *QUICK)
    key = tmp_path / "key.pem"
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key.write_bytes(Ed25519PrivateKey.generate().private_bytes(*form))
    assert "--sign signs what --attach writes" in refusal(*bench, "--sign", key)
    edge_seg(*bench, "--attach", "--sign", key)
    assert open_bundle(copy).signature
    signed = copy.read_bytes()
    assert "sign it anew with --sign KEY" in refusal(*bench, "--attach")
    assert "no.pem" in refusal(*bench, "--attach", "--sign", tmp_path / "no.pem")
    assert copy.read_bytes() == signed


def test_a_device_that_slows_down_is_warned_of(
    copy: Path, few_frames: FrameSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = iter([600.0, *[1500.0] * 4, *[1000.0] * 5] * 2)

    def read_state() -> DeviceState:
        return DeviceState(clock_mhz=next(clocks), throttled=device.decode_throttled(0x4))

    monkeypatch.setattr(device, "read_state", read_state)
    monkeypatch.setattr("edge_seg.comparison.read_state", read_state)
    bench = ("bench", copy, "--set", few_frames.path, *QUICK, "--attach")
    shown = json.loads(edge_seg(*bench, "--json"))
    throttling, clock = shown["warnings"]
    assert throttling.startswith("throttling reported while frames were timed (throttled)")
    assert clock.startswith("the clock fell from 1500 to 1000 MHz")
    assert open_bundle(copy).manifest.latencies[0].warnings == shown["warnings"]
    assert (shown["before"]["clock_mhz"], shown["after"]["clock_mhz"]) == (600.0, 1000.0)
    table = edge_seg(*bench)
    assert "warning: throttling reported" in table and "warning: the clock fell" in table
