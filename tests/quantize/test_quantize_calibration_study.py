"""The calibration study: blocks together have the ranges of all their frames."""

from __future__ import annotations

import numpy as np
from small_graphs import conv_net, model_of

from benchmarks.calibration import COUNTS, DRAWS, ENGINES, widest
from benchmarks.calibration import plan as planned
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
