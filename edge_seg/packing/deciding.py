"""The quantization decisions of a pack, made once and kept in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from edge_seg.cache import Cache
from edge_seg.files import sha256
from edge_seg.frames import FrameSet
from edge_seg.preprocess import Frame, resize
from edge_seg.progress import Track
from edge_seg.quantize import layer_sensitivity, ranges, recipe
from edge_seg.quantize.graph import layers
from edge_seg.quantize.sensitivity import LayerNoise

if TYPE_CHECKING:
    import onnx

    from edge_seg.models.model import Model
    from edge_seg.packing.request import Request


def network_frames(frames: FrameSet, model: Model) -> list[Frame]:
    """Return a set's frames at the network's size."""
    return [resize(frames.image(index), model.input) for index in range(len(frames))]


def decide(
    request: Request, graph: onnx.ModelProto, frames: Sequence[Frame], cache: Cache, track: Track
) -> recipe.Recipe:
    """Return the recipe: activation ranges on the calibration set, no layer in float."""
    digest = sha256(graph.SerializeToString(deterministic=True))
    key = ("recipe", request.model.digest, digest, request.calibration.digest, request.method)
    known = cache.get(*key)
    if known is not None:
        return recipe.decode(known)
    decided = recipe.Recipe(
        model_digest=request.model.digest,
        calibration_digest=request.calibration.digest,
        method=request.method,
        layers=tuple(layers(graph)),
        ranges=ranges.collect_ranges(graph, frames, track),
    )
    cache.put(recipe.encode(decided), *key)
    return decided


def sensitivity(
    graph: onnx.ModelProto,
    decided: recipe.Recipe,
    frames: Sequence[Frame],
    cache: Cache,
    track: Track,
) -> list[LayerNoise]:
    """Return every layer's noise when it alone is quantized, worst first."""
    digest = sha256(graph.SerializeToString(deterministic=True))
    key = ("sensitivity", digest, sha256(recipe.encode(decided)))
    known = cache.get(*key)
    if known is None:
        rows = layer_sensitivity(graph, decided, frames, track)
        known = cache.put(msgspec.json.encode(rows), *key)
    return msgspec.json.decode(known, type=list[LayerNoise])
