"""The calibration study: blocks together have the ranges of all their frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from small_graphs import conv_net, model_of

from benchmarks.calibration import COUNTS, DRAWS, ENGINES, widest
from benchmarks.calibration import plan as planned
from benchmarks.calibration_table import plot, readme_table
from edge_seg.preprocess import InputSpec
from edge_seg.quantize import collect_ranges, float_graph


def test_blocks_together_have_the_ranges_of_all_frames() -> None:
    graph = float_graph(model_of(conv_net(padding=0), InputSpec(8, 12)))
    frames = list(np.random.default_rng(0).integers(0, 256, (6, 8, 12, 3), dtype=np.uint8))
    blocks = [collect_ranges(graph, frames[start : start + 2]) for start in (0, 2, 4)]
    assert widest(blocks) == collect_ranges(graph, frames)
    assert widest(blocks[:1]) == blocks[0] != widest(blocks)


def test_no_draw_takes_more_frames_than_there_are_and_none_takes_anothers() -> None:
    for count, draw, names in planned():
        assert (draw + 1) * count <= max(COUNTS)
        assert draw < DRAWS
        assert set(names) <= set(ENGINES)
    assert {count for count, _, _ in planned()} == set(COUNTS)


def row(kind: str, frames: int, draw: int, engine: str, *drops: float) -> dict[str, Any]:
    found = {test: {"miou": drop} for test, drop in zip(("day", "night"), drops, strict=True)}
    names = ("model", "kind", "frames", "draw", "engine", "drops")
    return dict(zip(names, ("net", kind, frames, draw, engine, found), strict=True))


ROWS = [
    row("day", 8, 0, "onnxruntime", 0.1, 0.5),
    row("day", 8, 0, "litert", -0.2, 0.3),
    row("day", 8, 1, "onnxruntime", 0.2, 0.4),
    row("day", 16, 0, "onnxruntime", 0.0, 0.1),
]


def test_the_tables_hold_the_worst_draw_and_the_worst_test() -> None:
    text = readme_table({"runs": ROWS})
    assert "| 8 | 0.20 | 0.50 |" in text
    assert "| 16 | 0.00 | 0.10 |" in text
    assert "| engine | day set, 8 |" in text
    assert "| onnxruntime | 0.50 |" in text
    assert "| litert | 0.30 |" in text


def test_the_picture_is_written(tmp_path: Path) -> None:
    plot({"runs": ROWS}, tmp_path / "drops.png")
    picture = cv2.imread(str(tmp_path / "drops.png"))
    assert picture is not None
    assert picture.std() > 5
