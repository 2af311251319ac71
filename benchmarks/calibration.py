"""How much calibration is enough: each engine's drop by the number and kind of frames.

    runs = study("lane-unet", Path("scratch"), Cache())

Ranges are collected on the first frames of a day-only set and of a mixed one, and every
engine's file is held against its float model on frames of the day, of the night and of rain.
What was measured once comes from the cache, so that a stopped study goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.calibration_table import OFTEN
from carla_bridge.world.frame_sets import write_frame_set
from carla_bridge.world.randomization import parse_terms
from edge_seg import engines, gate
from edge_seg.cache import Cache
from edge_seg.engines.lowering import Source
from edge_seg.engines.session import Options
from edge_seg.files import sha256
from edge_seg.frames import FrameSet
from edge_seg.models.registry import load
from edge_seg.packing.deciding import network_frames
from edge_seg.packing.tournament import Arena
from edge_seg.preprocess import Frame
from edge_seg.progress import Track, silent
from edge_seg.quantize import float_graph, recipe
from edge_seg.quantize.graph import layers
from edge_seg.quantize.ranges import Ranges, collect_ranges

DAY = ("night=0", "rain=0", "fog=0", "puddles=0")
KINDS = {"day": (1101, DAY), "mixed": (1102, ())}
"""Calibration sets: seed and terms of the scene."""
TESTS = {
    "day": (2101, DAY),
    "night": (2102, ("night", "rain=0", "fog=0")),
    "rain": (2103, ("rain", "night=0")),
}
COUNTS = (8, 16, 32, 64, 128, 256, 512)
BLOCK = 8
"""Frames whose ranges are collected at once: any number of blocks has the widest of theirs."""
DRAWS = 3
"""Different sets of few frames: which eight one happens to take matters more than eight itself."""
ENGINES = ("onnxruntime", "openvino", "fbgemm", "litert", "tensorrt")
"""qnnpack has fbgemm's grid and takes three times as long."""
FEW, ENOUGH = 8, 64
"""The numbers that all engines are measured on."""
TEST_FRAMES = 16


def study(name: str, folder: Path, cache: Cache, track: Track = silent) -> Iterator[dict[str, Any]]:
    """Yield a row for each kind, number, draw and engine: the drops in points, by test set."""
    model = load(name)
    graph = float_graph(model)
    tests = {
        kind: _rendered(folder / f"test-{kind}", TEST_FRAMES, *what) for kind, what in TESTS.items()
    }
    for kind, what in KINDS.items():
        calibration = _rendered(folder / kind, max(COUNTS), *what)
        frames = network_frames(calibration, model)
        blocks = _blocks(graph, frames, cache, track, calibration)
        for count, draw, names in plan():
            own = slice(draw * count, (draw + 1) * count)
            decided = recipe.Recipe(
                model_digest=model.digest,
                calibration_digest=calibration.digest,
                layers=tuple(layers(graph)),
                ranges=widest(blocks[own.start // BLOCK : own.stop // BLOCK]),
            )
            source = Source(model, graph, decided, frames[own])
            for engine in names:
                drops = _drops(source, engine, tests, cache)
                yield {
                    "model": name,
                    "kind": kind,
                    "frames": count,
                    "draw": draw,
                    "engine": engine,
                    "drops": drops,
                }


def plan() -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield how many frames, which draw of them, and the engines that are measured."""
    for count in COUNTS:
        for draw in range(min(DRAWS, max(COUNTS) // count)):
            every = count in (FEW, ENOUGH) and draw == 0
            yield count, draw, ENGINES if every else (OFTEN,)


def widest(blocks: Iterable[Ranges]) -> Ranges:
    """Return the ranges over all blocks together, as one run over their frames would give them."""
    found: Ranges = {}
    for ranges in blocks:
        for tensor, (low, high) in ranges.items():
            lowest, highest = found.get(tensor, (low, high))
            found[tensor] = (min(low, lowest), max(high, highest))
    return found


def _blocks(
    graph: Any, frames: list[Frame], cache: Cache, track: Track, calibration: FrameSet
) -> list[Ranges]:
    digest = sha256(graph.SerializeToString(deterministic=True))
    found = []
    for start in range(0, len(frames), BLOCK):
        key = ("study-ranges", digest, calibration.digest, str(start), str(BLOCK))
        known = cache.get(*key)
        if known is None:
            ranges = collect_ranges(graph, frames[start : start + BLOCK], track)
            known = cache.put(msgspec.json.encode(ranges), *key)
        found.append(msgspec.json.decode(known, type=Ranges))
    return found


def _drops(
    source: Source, name: str, tests: dict[str, FrameSet], cache: Cache
) -> dict[str, dict[str, float | None]]:
    """Return for each test set the drop of the mean IoU and of each class."""
    engine, peer = engines.find(name), engines.find(OFTEN)
    way: Options = {} if engine.stand_in else engine.variants["int8"][0]
    found = {}
    for kind, frames in tests.items():
        arena = Arena(source, frames, cache)
        reference, _ = arena.evaluate(arena.lower(peer, "float32", peer.variants["float32"][0]))
        evaluation, _ = arena.evaluate(arena.lower(engine, "int8", way))
        drop, by_class = gate.drops(reference, evaluation)
        found[kind] = {"miou": drop, **by_class}
    return found


def _rendered(path: Path, count: int, seed: int, terms: tuple[str, ...]) -> FrameSet:
    """Return the set in this folder, rendered where it is not there yet."""
    if not path.exists():
        write_frame_set(path, count, seed, terms=parse_terms(list(terms)))
    return FrameSet.open(path)
