"""Side by side: names, ratios, files, and the workers' end."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import psutil
import pytest
from rogue import install

from edge_seg import comparison
from edge_seg.bundle.archive import open_bundle, write_bundle
from edge_seg.bundle.manifest import EngineRef
from edge_seg.comparison import measure
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from edge_seg.pipeline import Timings
from edge_seg.worker import WorkerError


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every entrant take twice as long as the one before: 10, 20, 40 ms."""

    def interleave(workers, frames, count, track):  # type: ignore[no-untyped-def]
        totals = [10.0 * 2**place for place in range(len(workers))]
        rows = [[Timings(1.0, total - 2, 1.0, total)] * count for total in totals]
        return {name: (rows[place], 7) for place, name in enumerate(workers)}

    monkeypatch.setattr(comparison.bench, "interleave", interleave)


@pytest.mark.usefixtures("measured")
def test_ratios_are_over_the_first_and_equal_names_are_told_apart(
    tiny_bundle: Path, few_frames: FrameSet, tmp_path: Path
) -> None:
    copy = Path(shutil.copy(tiny_bundle, tmp_path / tiny_bundle.name))
    found = measure(tiny_bundle, [str(copy), "onnxruntime"], few_frames, 10, threads=1).benchmark
    names = ["tiny.edgeseg", "tiny.edgeseg (1)", "onnxruntime"]
    assert [entry.name for entry in found.entries] == names
    assert found.ratios == pytest.approx(dict(zip(names, (1.0, 2.0, 4.0), strict=True)))
    assert [entry.fps for entry in found.entries] == pytest.approx([100.0, 50.0, 25.0])
    assert found.fps == 100.0
    assert found.stages["total"].p50_ms == 10.0
    size = len(open_bundle(tiny_bundle).read("model.onnx"))
    assert {entry.size_bytes for entry in found.entries} == {size}
    assert {entry.peak_rss_bytes for entry in found.entries} == {7}
    assert found.frame_set == few_frames.name


def test_a_crash_names_the_signal_and_leaves_no_process_and_no_file(
    tiny_bundle: Path, few_frames: FrameSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    opened = open_bundle(tiny_bundle)
    members = {name: opened.read(name) for name in opened.manifest.members}
    members["model.onnx"] = b"killed"
    manifest = msgspec.structs.replace(opened.manifest, engine=EngineRef("rogue", "numpy", "1"))
    broken = write_bundle(tmp_path / "broken.edgeseg", manifest, members).path
    before = set(psutil.Process().children())
    with pytest.raises(WorkerError, match="SIGSEGV"):
        measure(tiny_bundle, [str(broken)], few_frames, 10, threads=1)
    assert set(psutil.Process().children()) <= before
    assert [path.name for path in scratch.iterdir() if path.name != ".ses"] == []


def test_an_engine_that_reads_other_files(tiny_bundle: Path, few_frames: FrameSet) -> None:
    with pytest.raises(EdgeSegError, match=r"'torch' does not read the bundle's model\.onnx"):
        measure(tiny_bundle, ["torch"], few_frames, 10)
