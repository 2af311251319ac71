"""Which rule for ranges suits a model: the one whose quantized logits have the least noise.

    rule, ranges = search_ranges(graph, recipe, frames)
    recipe = msgspec.structs.replace(recipe, range_rule=rule, ranges=ranges)

Some frames are held out: ranges from the others are tried on them. The ranges that are returned are
those of all frames. Every frame is run twice, for extremes and for histograms, whatever the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import onnx

from edge_seg.preprocess import Frame
from edge_seg.progress import Track, silent
from edge_seg.quantize.histograms import count_values, extremes, spans
from edge_seg.quantize.observers import RULES, Histogram, Seen
from edge_seg.quantize.qdq import quantize_graph
from edge_seg.quantize.ranges import Ranges, kept_tensors, ranges_by
from edge_seg.quantize.recipe import Recipe
from edge_seg.quantize.sensitivity import simulate, sqnr_db

HELD_OUT = 4
"""One frame in so many judges."""
MOST_HELD_OUT = 8
"""Each is run once a rule, and has a hundred thousand pixels."""


def search_ranges(
    graph: onnx.ModelProto, recipe: Recipe, frames: Sequence[Frame], track: Track = silent
) -> tuple[str, Ranges]:
    """Return the rule of the highest SQNR of the logits on held-out frames, and its ranges.

    ``frames`` are uint8 BGR (h, w, 3) at the network's size; a single one is seen and judges.
    Of equal rules the first in `RULES` wins, min-max before all. Of ``recipe`` the weights' grid
    and the layers in float count. Raises `EdgeSegError` for a tensor that is not finite.
    """
    if not frames:
        raise ValueError("ranges need at least one frame")
    held = held_out(len(frames))
    others = [index for index in range(len(frames)) if index not in held] or held
    seen = extremes(graph, frames, track)
    kept = kept_tensors(graph)
    where = {name: span for name, span in spans(seen).items() if name not in kept}
    counted = count_values(graph, [frames[index] for index in others], where, track)
    learnt = {name: tensor.of(others) for name, tensor in seen.items()}
    scores = scores_by_rule(
        graph, recipe, _with(learnt, counted), [frames[index] for index in held], track
    )
    rule = max(scores, key=scores.__getitem__)  # the first of equal ones
    if others != held:
        rest = count_values(graph, [frames[index] for index in held], where, track)
        counted = {name: counted[name] + rest[name] for name in counted}
    return rule, ranges_by(rule, _with(seen, counted), kept)


def scores_by_rule(
    graph: onnx.ModelProto,
    recipe: Recipe,
    seen: Mapping[str, Seen],
    held: Sequence[Frame],
    track: Track = silent,
) -> dict[str, float]:
    """Return the SQNR of the logits on ``held`` frames by rule, in dB, in the order of `RULES`."""
    kept = kept_tensors(graph)
    reference = simulate(graph, held)
    scores = {}
    for rule in track(RULES, "trying range rules", len(RULES)):
        tried = msgspec.structs.replace(recipe, ranges=ranges_by(rule, seen, kept))
        scores[rule] = sqnr_db(reference, simulate(quantize_graph(graph, tried), held))
    return scores


def held_out(count: int) -> list[int]:
    """Return which of so many frames judge, evenly spread."""
    from edge_seg.quantize.learn.program import spread  # it imports torch

    return spread(range(count), min(MOST_HELD_OUT, max(1, count // HELD_OUT)))


def _with(seen: Mapping[str, Seen], counted: Mapping[str, Histogram]) -> dict[str, Seen]:
    return {name: replace(seen[name], histogram=counted.get(name)) for name in seen}
