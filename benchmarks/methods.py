"""What each of `pack --method` is worth: drops, and agreement with the simulation, by engine.

    rows = list(compare("lane-unet", Cache()))
    methods_table(rows)    # between <!-- methods --> and <!-- end -->

The evaluation set is lane-test, the calibration set lane-mini.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import monotonic
from typing import Any, NamedTuple

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
from edge_seg.packing.tournament import Arena
from edge_seg.preprocess import Mask, resize, resize_mask
from edge_seg.progress import Track, silent
from edge_seg.quantize import float_graph, quantize_graph
from edge_seg.quantize.graph import layers
from edge_seg.quantize.ranges import collect_ranges
from edge_seg.quantize.recipe import Recipe, Weights
from edge_seg.quantize.sensitivity import simulate, sqnr_db

FLOAT = "onnxruntime"
ENGINES = ("onnxruntime", "openvino", "fbgemm", "qnnpack", "litert")
CHAINS = tuple(METHODS)
GRIDS = {
    "7 bits per channel": (Weights(), CHAINS, ENGINES),
    "7 bits per tensor": (Weights(per_channel=False), CHAINS[:4], ENGINES[:1]),
    "4 bits per channel": (Weights(bits=4), CHAINS[:4], ENGINES[:1]),
}
"""By grid of the weights: the chains that are tried on it, and the engines that run them."""
SHOWN = 8
"""Frames on which masks are compared, pixel by pixel, and logits."""


def compare(name: str, cache: Cache, track: Track = silent) -> Iterator[dict[str, Any]]:
    """Yield a row for each grid, chain of methods and engine."""
    model = load(name)
    graph = float_graph(model)
    calibration, evaluation = FrameSet.open("lane-mini"), FrameSet.open("lane-test")
    frames = network_frames(calibration, model)
    ranges = collect_ranges(graph, frames, track)
    for grid, (weights, chains, names) in GRIDS.items():
        decided = Recipe(
            model_digest=model.digest,
            calibration_digest=calibration.digest,
            weights=weights,
            layers=tuple(layers(graph)),
            ranges=ranges,
        )
        given = Source(model, graph, decided, frames)
        arena = Arena(given, evaluation, cache, track=track)
        for method in chains:
            start = monotonic()
            source = improve(method, given, cache, track)
            made = {"model": name, "grid": grid, "method": method, "seconds": monotonic() - start}
            simulated = _simulated(arena, source)
            made |= {"sqnr_db": simulated.sqnr_db}
            for engine in names:
                yield made | {"engine": engine} | _scores(arena, source, engine, simulated.masks)


class Simulated(NamedTuple):
    """The simulation's masks of the shown frames, and its logits against the float network's."""

    masks: list[Mask]
    sqnr_db: float


def _shown(arena: Arena) -> tuple[int, ...]:
    return tuple(range(0, len(arena.evaluation), len(arena.evaluation) // SHOWN))[:SHOWN]


def _simulated(given: Arena, source: Source) -> Simulated:
    spec = source.model.input
    images = [resize(given.evaluation.image(index), spec) for index in _shown(given)]
    logits = simulate(quantize_graph(source.graph, source.recipe), images)
    reference = simulate(given.source.graph, images)
    masks = list(logits.argmax(1).astype(np.uint8))
    return Simulated(masks, sqnr_db(reference, logits))


def _scores(given: Arena, source: Source, name: str, simulated: list[Mask]) -> dict[str, Any]:
    engine, peer = engines.find(name), engines.find(FLOAT)
    arena = replace(given, source=source)
    reference, _ = given.evaluate(given.lower(peer, "float32", peer.variants["float32"][0]))
    contestant = arena.lower(engine, "int8", engine.variants["int8"][0])
    evaluation, _ = arena.evaluate(contestant)
    drop, by_class = gate.drops(reference, evaluation)
    equal = [
        np.mean(resize_mask(ids, *mask.shape) == mask)
        for ids, mask in zip(simulated, arena.masks(contestant, _shown(arena)), strict=True)
    ]
    return {"drop": drop, "class_drop": by_class, "agreement": float(100 * np.mean(equal))}


def methods_table(rows: list[dict[str, Any]]) -> str:
    """Return the table, in Markdown: a row for each model, grid and chain of methods.

    By engine, the drop in points, and in brackets the agreement with the simulation in percent.
    """
    heads = ["model", "weights", "method", "s", "SQNR, dB", *ENGINES]
    found: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["model"], row["grid"], row["method"]), {})[row["engine"]] = row
    cells = []
    for place, by_engine in found.items():
        first = next(iter(by_engine.values()))
        line = [*place, figure(first["seconds"], 0), figure(first["sqnr_db"], 1)]
        for engine in ENGINES:
            row = by_engine.get(engine)
            known = row and f"{figure(row['drop'], 2)} ({figure(row['agreement'], 2)})"
            line.append(known or "")
        cells.append(line)
    return table(heads, cells)
