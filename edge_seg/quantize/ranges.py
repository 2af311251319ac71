"""Activation ranges: the lowest and highest value of every tensor's grid, from calibration frames.

    ranges = collect_ranges(graph, frames)                  # min-max
    ranges = collect_ranges(graph, frames, rule="mse")      # or another of `observers.RULES`

Min-max is the default: no outlier is cut, and the order of the frames does not matter. ONNX Runtime
does the running. `observer_search.search_ranges` finds the rule that suits a model best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx

from edge_seg.errors import EdgeSegError, closest
from edge_seg.preprocess import Frame
from edge_seg.progress import Track, silent
from edge_seg.quantize.float_graph import LOGITS
from edge_seg.quantize.graph import producer
from edge_seg.quantize.histograms import count_values, extremes, spans
from edge_seg.quantize.observers import FROM_HISTOGRAMS, RULES, Range, Seen, minmax, range_of
from edge_seg.quantize.qdq import producer_of_cast

Ranges = dict[str, Range]


def collect_ranges(
    graph: onnx.ModelProto,
    frames: Sequence[Frame],
    track: Track = silent,
    rule: str = "minmax",
) -> Ranges:
    """Run the float graph over frames at the network's size; return each tensor's range.

    ``frames`` are uint8 BGR (h, w, 3). Ranges are in the units of the tensors. ``rule`` is one of
    `observers.RULES`; three of them run the graph over the frames twice. Raises `EdgeSegError` for
    an unknown rule, and for a tensor that is not finite.
    """
    if rule not in RULES:
        raise EdgeSegError(f"no range rule '{rule}': {closest(rule, RULES)}")
    if not frames:
        raise ValueError("ranges need at least one frame")
    seen = extremes(graph, frames, track)
    kept = kept_tensors(graph)
    if rule in FROM_HISTOGRAMS:
        where = {name: span for name, span in spans(seen).items() if name not in kept}
        counted = count_values(graph, frames, where, track)
        seen = {name: replace(seen[name], histogram=counted.get(name)) for name in seen}
    return ranges_by(rule, seen, kept)


def ranges_by(rule: str, seen: Mapping[str, Seen], kept: frozenset[str]) -> Ranges:
    """Return every tensor's range by a rule, and that of the ``kept`` ones by min-max."""
    return {
        name: minmax(tensor) if name in kept else range_of(rule, tensor)
        for name, tensor in seen.items()
    }


def kept_tensors(graph: onnx.ModelProto) -> frozenset[str]:
    """Name the tensors whose range is min-max whatever the rule: pixels and logits.

    Pixels have a grid of their own, which no rule may cut. Logits are float but in LiteRT, which
    decides on the class there: where two clipped ones are equal, nothing is left to decide on.
    """
    kept = {LOGITS}
    cast = producer_of_cast(graph)
    if cast is not None:
        kept.add(cast.output[0])
    last = producer(graph, LOGITS)
    while last is not None and last.op_type == "Resize":
        kept.add(last.input[0])
        last = producer(graph, last.input[0])
    return frozenset(kept)
