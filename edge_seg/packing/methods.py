"""The methods of `edge-seg pack --method`: what is done to weights before an engine gets them.

    better = improve("equalized", source, cache, track)     # another model, graph and recipe

    ptq        ranges alone: there is nothing to improve
    equalized  channels of neighbouring layers equalized, then biases corrected
    qat        biases corrected, then the quantized network is fine-tuned on the float one's answers

A method changes the folded float graph; the PyTorch module follows (`quantize.way_back`), so that
every engine starts from the same weights. What it made is kept in the cache.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from edge_seg.cache import Cache
from edge_seg.files import sha256
from edge_seg.progress import Track
from edge_seg.quantize import ranges, recipe

if TYPE_CHECKING:
    import onnx

    from edge_seg.engines.lowering import Source

METHODS = ("ptq", "equalized", "qat")


def improve(method: str, source: Source, cache: Cache, track: Track) -> Source:
    """Return the source with the weights, biases and ranges that a method makes of it.

    ``method`` is one of `METHODS` but ptq. Raises `EdgeSegError` where the model is none for it.
    """
    import onnx

    from edge_seg.quantize.way_back import with_weights_of

    graph = source.graph.SerializeToString(deterministic=True)
    key = ("method", method, sha256(graph), sha256(recipe.encode(source.recipe)))
    known = cache.get(*key)
    if known is None:
        made = _equalized(source, track) if method == "equalized" else _tuned(source, cache, track)
        better, decided = made
        pair = better.SerializeToString(deterministic=True), recipe.encode(decided)
        known = cache.put(msgspec.msgpack.encode(pair), *key)
    payload, text = msgspec.msgpack.decode(known, type=tuple[bytes, bytes])
    better, decided = onnx.load_from_string(payload), recipe.decode(text)
    model = with_weights_of(source.model, better)
    return replace(source, model=model, graph=better, recipe=decided)


def _equalized(source: Source, track: Track) -> tuple[onnx.ModelProto, recipe.Recipe]:
    from edge_seg.quantize.bias_correction import correct_biases
    from edge_seg.quantize.equalization import equalize

    graph = equalize(source.graph, source.frames)
    observed = ranges.collect_ranges(graph, source.frames, track)
    decided = msgspec.structs.replace(source.recipe, ranges=observed)
    return correct_biases(graph, decided, source.frames), decided


def _tuned(source: Source, cache: Cache, track: Track) -> tuple[onnx.ModelProto, recipe.Recipe]:
    from edge_seg.quantize.bias_correction import correct_biases
    from edge_seg.quantize.learn.fine_tune import fine_tune

    corrected = correct_biases(source.graph, source.recipe, source.frames)
    # What a killed pack had learnt is gone on with; the file knows what it belongs to.
    checkpoint = cache.folder / f"fine-tuning-{source.model.digest[:16]}.safetensors"
    learnt = fine_tune(
        corrected,
        source.recipe,
        source.frames,
        source.graph,
        track=track,
        checkpoint=checkpoint,
    )
    checkpoint.unlink(missing_ok=True)
    return learnt.graph, learnt.recipe
