"""What each of `pack --method` is worth: drops, and agreement with the simulation, by engine.

    rows = list(compare("lane-unet", Cache()))
    methods_table(rows)    # between <!-- methods --> and <!-- end -->

The evaluation set is lane-test. A grid per tensor is for engines that take the recipe's; the others
calibrate their weights by channel themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import monotonic
from typing import Any

import numpy as np

from benchmarks.markdown import table
from edge_seg import engines, gate
from edge_seg.cache import Cache
from edge_seg.engines.lowering import Source
from edge_seg.figures import figure
from edge_seg.frames import FrameSet
from edge_seg.models.registry import load
from edge_seg.packing.deciding import network_frames
from edge_seg.packing.methods import METHODS, improve
from edge_seg.packing.tournament import Arena, Contestant
from edge_seg.preprocess import resize, resize_mask
from edge_seg.progress import Track, silent
from edge_seg.quantize import float_graph, quantize_graph
from edge_seg.quantize.graph import layers
from edge_seg.quantize.ranges import collect_ranges
from edge_seg.quantize.recipe import Recipe, Weights
from edge_seg.quantize.sensitivity import simulate

FLOAT = "onnxruntime"
ENTRANTS = ((True, "onnxruntime"), (True, "fbgemm"), (True, "litert"), (False, "onnxruntime"))
"""A grid per channel or not, and the engine."""
SHOWN = 8
"""Frames on which masks are compared, pixel by pixel."""


def compare(name: str, cache: Cache, track: Track = silent) -> Iterator[dict[str, Any]]:
    """Yield a row for each method, grid and engine."""
    model = load(name)
    graph = float_graph(model)
    calibration, evaluation = FrameSet.open("lane-mini"), FrameSet.open("lane-test")
    frames = network_frames(calibration, model)
    ranges = collect_ranges(graph, frames, track)
    for per_channel in (True, False):
        decided = Recipe(
            model_digest=model.digest,
            calibration_digest=calibration.digest,
            weights=Weights(per_channel=per_channel),
            layers=tuple(layers(graph)),
            ranges=ranges,
        )
        given = Source(model, graph, decided, frames)
        for method in METHODS:
            start = monotonic()
            source = given if method == "ptq" else improve(method, given, cache, track)
            seconds = monotonic() - start
            for engine in (engine for grid, engine in ENTRANTS if grid == per_channel):
                row = {"model": name, "method": method, "per_channel": per_channel}
                row |= {"engine": engine, "seconds": seconds}
                yield row | _scores(Arena(given, evaluation, cache, track=track), source, engine)


def _scores(given: Arena, source: Source, name: str) -> dict[str, Any]:
    engine, peer = engines.find(name), engines.find(FLOAT)
    arena = replace(given, source=source)
    reference, _ = given.evaluate(given.lower(peer, "float32", peer.variants["float32"][0]))
    contestant = arena.lower(engine, "int8", engine.variants["int8"][0])
    evaluation, _ = arena.evaluate(contestant)
    drop, by_class = gate.drops(reference, evaluation)
    return {"drop": drop, "class_drop": by_class, "agreement": _agreement(arena, contestant)}


def _agreement(arena: Arena, contestant: Contestant) -> float:
    """Return the percent of pixels on which the engine's masks equal the simulation's."""
    shown = tuple(range(0, len(arena.evaluation), len(arena.evaluation) // SHOWN))[:SHOWN]
    source = arena.source
    images = [resize(arena.evaluation.image(index), source.model.input) for index in shown]
    logits = simulate(quantize_graph(source.graph, source.recipe), images)
    equal = [
        np.mean(resize_mask(ids.astype(np.uint8), *mask.shape) == mask)
        for ids, mask in zip(logits.argmax(1), arena.masks(contestant, shown), strict=True)
    ]
    return float(100 * np.mean(equal))


def methods_table(rows: list[dict[str, Any]]) -> str:
    """Return the table, in Markdown: a row for each model, grid and engine."""
    heads = ["model", "weights", "engine"]
    for method in METHODS:
        heads += [f"{method}: drop", "agrees, %"]
    by_place: dict[tuple[str, bool, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        place = (row["model"], row["per_channel"], row["engine"])
        by_place.setdefault(place, {})[row["method"]] = row
    cells = []
    for (model, per_channel, engine), found in by_place.items():
        line = [model, "per channel" if per_channel else "per tensor", engine]
        for method in METHODS:
            row = found[method]
            line += [figure(row["drop"], 2), figure(row["agreement"], 2)]
        cells.append(line)
    return table(heads, cells)
