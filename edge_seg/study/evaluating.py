"""One run of a study: model, graph, ranges, method, lowering, and what its own runtime gives.

    measured = evaluate(job, Path("study"))     # job: edge_seg.study.jobs.Run

What is heavy is in the packer's cache by content: ranges, what a method made, the lowered file,
scores and masks. Two runs that share a step do it once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np
import numpy.typing as npt
import onnx

from edge_seg import engines, metrics
from edge_seg.cache import Cache
from edge_seg.classes import ClassMap, require_same
from edge_seg.depth_metrics import DepthErrors, mean_errors
from edge_seg.engines.lowering import Source
from edge_seg.files import sha256, write_bytes
from edge_seg.frames import FrameSet
from edge_seg.frames.images import decode_mask, encode_mask
from edge_seg.masks import agreeing, to_masks
from edge_seg.models import registry
from edge_seg.models.model import Model
from edge_seg.packing.deciding import for_integers, network_frames, network_masks
from edge_seg.packing.methods import improve
from edge_seg.packing.tournament import Arena, Contestant
from edge_seg.preprocess import Frame, Mask, resize, resize_mask
from edge_seg.progress import Track, silent
from edge_seg.quantize import float_graph, quantize_graph
from edge_seg.quantize.float_graph import unfolded_graph
from edge_seg.quantize.graph import constant, layers
from edge_seg.quantize.ranges import Ranges, collect_ranges
from edge_seg.quantize.recipe import Recipe, Weights, encode
from edge_seg.quantize.sensitivity import simulate
from edge_seg.study.jobs import FLOAT_ENGINE, Frames, Run
from edge_seg.study.records import Measured, Percent

SIMULATED = 8
"""Frames on which masks are compared with the simulation's: it runs a graph as it is written."""
STORED_BITS = {
    "float32": 32,
    "bfloat16": 32,
    "float16": 16,
    "w8a16": 8,
    "dynamic": 8,
    "w8": 8,
    "w4": 4,
}
"""Of a weight, by precision; int8 says its own."""


def evaluate(job: Run, folder: Path, track: Track = silent) -> Measured:
    """Do a run; writes the lowered file and the masks. Raises what any of its steps raises."""
    cache = Cache()
    evaluation = job.evaluation.open()
    given = _given(job, folder, cache, track)
    _require_same_classes(given.model, evaluation)
    begin = perf_counter()
    source = _improved(job, given, cache, track)
    seconds = perf_counter() - begin
    arena = Arena(source, evaluation, cache, job.threads, track)
    contestant = _lowered(arena, job.engine, job.precision)
    every = tuple(range(len(evaluation)))
    masks = arena.masks(contestant, every)
    as_given = replace(arena, source=given)
    floats = as_given.masks(_lowered(as_given, FLOAT_ENGINE, "float32"), every)
    scores = score(evaluation, masks)
    alike = agreements(masks, floats, evaluation.classes)
    count = weights_of(given.graph)
    file, kept = f"files/{job.key}.{contestant.engine.suffix}", f"masks/{job.key}.msgpack"
    write_bytes(folder / file, contestant.run_file)
    kept_masks = msgspec.msgpack.encode([encode_mask(mask) for mask in masks])
    write_bytes(folder / kept, kept_masks)
    stands_in = contestant.runner is not contestant.engine
    return Measured(
        miou=scores.miou,
        iou=scores.iou,
        dice=scores.dice,
        boundary_f1=scores.boundary_f1,
        images=[entry.id for entry in evaluation.entries],
        image_miou=scores.image_miou,
        image_iou=scores.image_iou,
        image_dice=scores.image_dice,
        depth=scores.depth,
        image_ssim=scores.image_ssim,
        image_agreement=alike,
        agreement_float=float(np.mean(alike)),
        agreement_simulation=_with_simulation(arena, masks) if job.precision == "int8" else None,
        size_bytes=len(contestant.model),
        weights=count,
        weight_bytes=stored_bytes(count, job.precision, job.bits),
        method_seconds=round(seconds, 3),
        file=file,
        digest=sha256(contestant.run_file),
        masks=kept,
        masks_digest=sha256(kept_masks),
        input=source.model.input,
        options=dict(contestant.options),
        run_by=contestant.runner.name if stands_in else "",
        notes=list(source.recipe.notes) if job.precision == "int8" else [],
    )


def agreements(masks: Sequence[Mask], others: Sequence[Mask], classes: ClassMap) -> list[float]:
    """Return for each two masks the percent of pixels on which they agree."""
    return [agreeing(a, b, classes) for a, b in zip(masks, others, strict=True)]


def weights_of(graph: onnx.ModelProto) -> int:
    """Return how many weights the layers have, biases left out."""
    names = {name for nodes in layers(graph).values() for node in nodes for name in node.input[1:2]}
    values = (constant(graph, name) for name in sorted(names))
    return sum(value.size for value in values if value is not None)


def stored_bytes(weights: int, precision: str, bits: int) -> int:
    """Return the bytes that so many weights take, packed; seven bits are stored as eight.

    >>> stored_bytes(9, "int8", 4), stored_bytes(9, "int8", 7), stored_bytes(9, "float32", 0)
    (5, 9, 36)
    """
    wide = (8 if bits == 7 else bits) if precision == "int8" else STORED_BITS.get(precision, 8)
    return -(-weights * wide // 8)


def _given(job: Run, folder: Path, cache: Cache, track: Track) -> Source:
    weights = {"shipped": None, registry.RANDOM: registry.RANDOM}.get(
        job.weights, str(folder / job.weights) if job.training else job.weights
    )
    model, graph, frames = _opened(
        job.model, weights, job.identity, job.size, job.calibration, job.fold
    )
    decided = Recipe(
        model_digest=model.digest,
        calibration_digest=job.calibration.digest,
        range_rule=job.ranges,
        weights=Weights(job.bits or 7, job.per_channel),
        fold_batch_norm=job.fold,
        layers=tuple(layers(graph)),
        ranges=_ranges(graph, frames, job, cache, track),
    )
    return Source(model, graph, decided, frames)


@functools.lru_cache(maxsize=1)
def _opened(
    name: str,
    weights: str | None,
    identity: str,
    size: tuple[int, int] | None,
    calibration: Frames,
    fold: bool,
) -> tuple[Model, onnx.ModelProto, list[Frame]]:
    """Load and fold a model; one child does many runs of one."""
    model = registry.load(name, weights, size)
    graph = float_graph(model) if fold else unfolded_graph(model)
    return model, graph, network_frames(calibration.open(), model)


def _ranges(
    graph: onnx.ModelProto, frames: Sequence[Frame], job: Run, cache: Cache, track: Track
) -> Ranges:
    digest = sha256(graph.SerializeToString(deterministic=True))
    key = ("study-ranges", digest, job.calibration.digest, job.ranges)
    known = cache.get(*key)
    if known is None:
        found = collect_ranges(graph, frames, track, job.ranges)
        known = cache.put(msgspec.json.encode(found), *key)
    return msgspec.json.decode(known, type=Ranges)


def _improved(job: Run, given: Source, cache: Cache, track: Track) -> Source:
    """Do what the method does; coarse weights are put on their grid for ptq, too."""
    if job.precision != "int8":
        return given
    if not job.learns or (job.lesson is None and job.seed == 0):
        return improve(job.base, for_integers(given), cache, track, labels=_labels(job, given))
    from edge_seg.quantize.learn.lesson import Settings

    asked = {} if job.lesson is None else msgspec.structs.asdict(job.lesson)
    lesson = Settings(seed=job.seed, **{k: v for k, v in asked.items() if v is not None})
    return improve(job.base, for_integers(given), cache, track, lesson, _labels(job, given))


def _labels(job: Run, given: Source) -> list[Mask] | None:
    return network_masks(job.calibration.open(), given.model) if job.labels else None


def _lowered(arena: Arena, name: str, precision: str) -> Contestant:
    """Lower in the engine's first way: which way is fastest is the packer's question."""
    engine = engines.find(name)
    return arena.lower(engine, precision, engine.variants[precision][0])


def _require_same_classes(model: Model, evaluation: FrameSet) -> None:
    require_same(
        evaluation.classes,
        model.classes,
        (f"the evaluation set {evaluation.name}", "the model"),
        "name another in data.evaluation, or another model",
    )


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """The whole set's scores and each frame's; shares in percent, None for nothing to score."""

    miou: Percent
    iou: dict[str, Percent]
    dice: dict[str, Percent]
    boundary_f1: dict[str, Percent]
    image_miou: list[Percent]
    image_iou: dict[str, list[Percent]]
    image_dice: dict[str, list[Percent]]
    depth: DepthErrors | None = None
    image_ssim: list[Percent] = []


def score(evaluation: FrameSet, masks: Sequence[Mask]) -> Scores:
    """Score masks (H, W) frame by frame by `metrics`, and pool their counts.

    Law: the pooled scores are those of `metrics.evaluate` on the whole set.
    """
    images = [
        metrics.evaluate(lambda frame, mask=mask: mask, evaluation.take([index]))  # type: ignore[misc]
        for index, mask in enumerate(masks)
    ]
    if evaluation.classes.depth is not None:
        return _depth_scores([image.depth for image in images if image.depth is not None])
    names, rows = images[0].confusion_classes, list(images[0].iou)
    total = metrics.Confusion(len(names))
    for image in images:
        total.matrix += np.asarray(image.confusion, np.int64)
    iou, dice = (dict(zip(names, each, strict=True)) for each in (total.iou(), total.dice()))
    return Scores(
        miou=_percent(np.asarray([iou[name] for name in rows])),
        iou={name: _percent(iou[name]) for name in rows},
        dice={name: _percent(dice[name]) for name in rows},
        boundary_f1={n: _mean(i.boundary_f1[n] for i in images) for n in images[0].boundary_f1},
        image_miou=[image.miou for image in images],
        image_iou={name: [image.iou[name] for image in images] for name in rows},
        image_dice={name: [image.dice[name] for image in images] for name in rows},
    )


def _depth_scores(frames: Sequence[DepthErrors]) -> Scores:
    """Return the scores of depths: each frame's SSIM, and the mean of all errors."""
    return Scores(
        miou=None,
        iou={},
        dice={},
        boundary_f1={},
        image_miou=[],
        image_iou={},
        image_dice={},
        depth=mean_errors(frames),
        image_ssim=[frame.ssim for frame in frames],
    )


def _percent(shares: npt.ArrayLike) -> Percent:
    """Return the mean of the shares that are numbers, in percent."""
    values = np.atleast_1d(np.asarray(shares, np.float64))
    known = values[~np.isnan(values)]
    return 100 * float(known.mean()) if len(known) else None


def _mean(values: Iterable[Percent]) -> Percent:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _with_simulation(arena: Arena, masks: Sequence[Mask]) -> float:
    """Return the percent of pixels on which masks equal the simulation's, on a few frames."""
    source, frames = arena.source, arena.evaluation
    shown = range(0, len(frames), max(1, len(frames) // SIMULATED))[:SIMULATED]
    graph = quantize_graph(source.graph, source.recipe)
    key = (
        "study-simulated",
        sha256(source.graph.SerializeToString(deterministic=True)),
        sha256(encode(source.recipe)),
        frames.digest,
    )
    known = arena.cache.get(*key)
    if known is None:
        images = [resize(frames.image(index), source.model.input) for index in shown]
        ids = to_masks(simulate(graph, images), frames.classes)
        known = arena.cache.put(msgspec.msgpack.encode([encode_mask(one) for one in ids]), *key)
    simulated = [
        decode_mask(file, "simulation") for file in msgspec.msgpack.decode(known, type=list[bytes])
    ]
    own = [masks[index] for index in shown]
    sized = [resize_mask(ids, *mask.shape) for ids, mask in zip(simulated, own, strict=True)]
    return float(np.mean(agreements(own, sized, frames.classes)))
