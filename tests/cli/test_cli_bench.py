"""``edge-seg bench``: documented JSON, comparisons, and its refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import edge_seg, refusal

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
