"""The quantization decisions of a pack, made once and kept in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from edge_seg.cache import Cache
from edge_seg.classes import require_same
from edge_seg.errors import EdgeSegError
from edge_seg.files import sha256
from edge_seg.frames import FrameSet
from edge_seg.preprocess import Frame, Mask, resize, resize_mask
from edge_seg.progress import Track
from edge_seg.quantize import layer_sensitivity, ranges, recipe
from edge_seg.quantize.graph import layers
from edge_seg.quantize.sensitivity import LayerNoise

if TYPE_CHECKING:
    import onnx

    from edge_seg.engines.lowering import Source
    from edge_seg.models.model import Model
    from edge_seg.packing.request import Request

SENSITIVITY_FRAMES = 2
"""Enough for a ranking: every frame gives each layer thousands of positions."""


FOLDS_ITSELF = (
    "its toolchain starts from the PyTorch module and folds batch norm by itself: leave --no-fold "
    "out, or take another engine"
)


def network_frames(frames: FrameSet, model: Model) -> list[Frame]:
    """Return a set's frames at the network's size."""
    return [resize(frames.image(index), model.input) for index in range(len(frames))]


def network_masks(frames: FrameSet, model: Model) -> list[Mask]:
    """Return a set's masks at the network's size, for fine-tuning; raises `EdgeSegError`."""
    if not frames.has_masks:
        raise EdgeSegError(
            f"calibration set '{frames.name}' has frames without masks: leave --labels out"
        )
    require_same(
        frames.classes,
        model.classes,
        (f"calibration set '{frames.name}'", "the model"),
        "leave --labels out, or name a set that is labelled as the model was taught",
    )
    size = model.input.height, model.input.width
    masks = (frames.mask(index) for index in range(len(frames)))
    return [resize_mask(mask, *size) for mask in masks if mask is not None]


def decide(
    request: Request, graph: onnx.ModelProto, frames: Sequence[Frame], cache: Cache, track: Track
) -> recipe.Recipe:
    """Return the recipe: activation ranges on the calibration set, no layer in float."""
    digest = sha256(graph.SerializeToString(deterministic=True))
    grid = msgspec.json.encode((request.weights, request.observer)).decode()
    key = ("recipe", request.model.digest, digest, request.calibration.digest, grid)
    known = cache.get(*key)
    if known is not None:
        return recipe.decode(known)
    decided = recipe.Recipe(
        model_digest=request.model.digest,
        calibration_digest=request.calibration.digest,
        range_rule=request.observer,
        weights=request.weights,
        fold_batch_norm=request.fold_batch_norm,
        layers=tuple(layers(graph)),
        ranges=ranges.collect_ranges(graph, frames, track, request.observer),
    )
    cache.put(recipe.encode(decided), *key)
    return decided


def for_integers(source: Source) -> Source:
    """Return what int8 entrants start from: the source as it is where batch norm is folded.

    Where it is not, engines that start from the module cannot take it: their toolchains fold.
    """
    return source if source.recipe.fold_batch_norm else replace(source, no_module=FOLDS_ITSELF)


def sensitivity(source: Source, cache: Cache, track: Track) -> list[LayerNoise]:
    """Return every layer's noise when it alone is quantized, worst first."""
    digest = sha256(source.graph.SerializeToString(deterministic=True))
    decided = source.recipe.keeping_float(())
    key = ("sensitivity", digest, sha256(recipe.encode(decided)))
    known = cache.get(*key)
    if known is None:
        frames = source.frames[:SENSITIVITY_FRAMES]
        rows = layer_sensitivity(source.graph, decided, frames, track)
        known = cache.put(msgspec.json.encode(rows), *key)
    return msgspec.json.decode(known, type=list[LayerNoise])
