"""A study of a pruned network, on folded layers and on layers that keep their batch norm."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import onnx
import pytest
from study_of import in_this_process, write_plan

from edge_seg.frames import FrameSet
from edge_seg.study.conduct import conduct
from edge_seg.study.plan import read_plan

GRID = """
    weights = "train"
    train = {steps = 2, batch = 2, crop = "32x64"}
    prune = [0, 0.5, 0.5, 0.5, 0.5]
    [[variants]]
    name = "whole"
    model = "lane-unet"
    size = "32x64"
    [grid]
    engines = ["onnxruntime"]
    fold = [true, false]
    [timing]
    frames = 0
"""


def test_pruned_and_unfolded_rows(
    tmp_path: Path, road_frames: FrameSet, few_frames: FrameSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = write_plan(tmp_path, road_frames, few_frames, GRID)
    text = path.read_text().replace("little_network:make", "lane-unet")
    path.write_text(text.replace("[data]", f'[data]\ntrain = "{road_frames.path}"'))
    results = conduct(read_plan(path), tmp_path / "out", in_this_process)
    by_key = {row.key: row for row in results.rows}
    # Of 16, 32, 64, 128, 256 channels halves are gone, the full size's none.
    counts = {"net": weights_of(16, 16, 32, 64, 128), "whole": weights_of(16, 32, 64, 128, 256)}
    for name, count in counts.items():
        folded, kept = (by_key[f"{name}-onnxruntime-int8-ptq{end}-s0"] for end in ("", "-unfolded"))
        assert by_key[f"{name}-onnxruntime-float32-s0"].weight_bytes == 4 * count
        for row, norms in ((folded, 0), (kept, 18)):
            assert row.status == "done" and row.weight_bytes == count and row.miou is not None
            assert row.agreement_simulation is not None and row.agreement_simulation > 99
            graph = onnx.load(tmp_path / "out" / "files" / f"{row.key}.onnx").graph
            assert [n.op_type for n in graph.node].count("BatchNormalization") == norms
        assert folded.fold and not kept.fold
        assert results.agreements[folded.key][kept.key] > 90  # two grids of one network


def weights_of(*widths: int) -> int:
    """Two 3x3 convolutions at each size, down and up; 2x2 ones that go up; and the last."""
    down = sum(9 * (n + m) * m for n, m in pairwise((3, *widths)))
    up = sum(4 * n * m + 9 * (2 * m + m) * m for m, n in pairwise(widths))
    return down + up + 3 * widths[0]
