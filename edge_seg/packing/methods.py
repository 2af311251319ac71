"""The methods of `edge-seg pack --method`: what is done to weights and ranges for the integer grid.

    better = improve("equalized+qat", source, cache, track)   # another model, graph and recipe

A method is a set of steps, and "+" joins the sets; steps always run in the order of `STEPS`:

    ptq        none: ranges alone, which the others begin with too (so ptq+qat is qat)
    equalized  equalize, correct    channels of neighbouring layers alike, then the biases' shift
    observers  observe, correct     the range observer with the least noise
    rounding   round                each weight up or down as suits its layer's output
    qat        correct, tune        the quantized network learns the float one's answers

All of it changes the folded float graph and its recipe; the PyTorch module follows
(`quantize.way_back`), so that every engine starts from the same weights. What a step made is kept
in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from edge_seg.cache import Cache
from edge_seg.errors import EdgeSegError, closest
from edge_seg.files import sha256
from edge_seg.progress import Track
from edge_seg.quantize import ranges, recipe

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from edge_seg.engines.lowering import Source
    from edge_seg.preprocess import Frame, Mask
    from edge_seg.quantize.learn.lesson import Settings

STEPS = ("equalize", "observe", "round", "correct", "tune")
METHODS: dict[str, tuple[str, ...]] = {
    "ptq": (),
    "equalized": ("equalize", "correct"),
    "observers": ("observe", "correct"),
    "rounding": ("round",),
    "qat": ("correct", "tune"),
}
AUTO = "auto"
"""Of a pack: the cheapest chain of methods that holds the gate (`packing.ladder`)."""


@dataclass(frozen=True)
class _Teaching:
    """How ``qat`` learns, and from which masks beside the float network."""

    lesson: Settings | None
    labels: Sequence[Mask] | None

    @property
    def key(self) -> str:
        """What tells two apart."""
        masks = b"".join(mask.tobytes() for mask in self.labels or ())
        return sha256(msgspec.json.encode(self.lesson) + masks)


@dataclass(frozen=True)
class Draft:
    """A model on its way: ``graph`` is packed, ``teacher`` is what it would give in float."""

    teacher: onnx.ModelProto
    graph: onnx.ModelProto
    recipe: recipe.Recipe
    frames: Sequence[Frame]


def parse_method(text: str) -> tuple[str, ...]:
    """Return the steps of ``equalized+qat``; raises `EdgeSegError` with the closest name.

    Rounding makes up for what biases would take up: with both, lane-unet at four bits loses 0.7 dB.
    """
    wanted: set[str] = set()
    chain = text.split("+")
    for name in chain:
        if name == AUTO:
            raise EdgeSegError("method 'auto' stands alone: it tries the others by itself")
        if name not in METHODS:
            known = [*METHODS, AUTO]
            raise EdgeSegError(f"unknown method '{name}': {closest(name, known)}")
        if chain.count(name) > 1:
            raise EdgeSegError(f"method '{text}' names {name} {chain.count(name)} times: once does")
        if name == "ptq" and chain[0] != "ptq":
            raise EdgeSegError(
                f"method '{text}': every method begins with the ranges of ptq; name it first, or "
                "leave it out"
            )
        wanted.update(METHODS[name])
    if "round" in wanted:
        wanted.discard("correct")
    return tuple(step for step in STEPS if step in wanted)


def improve(
    method: str,
    source: Source,
    cache: Cache,
    track: Track,
    lesson: Settings | None = None,
    labels: Sequence[Mask] | None = None,
) -> Source:
    """Return the source with the weights, biases and ranges that a method makes of it.

    ``source`` is what no method has changed. ``lesson`` says how ``qat`` learns, ``labels`` are
    masks of the frames at the network's size (without them the float network teaches alone).
    Raises `EdgeSegError` where there is no such method, or the model is none for it.
    """
    from edge_seg.quantize.coarse import with_coarse_weights
    from edge_seg.quantize.way_back import NoWayBackError, with_weights_of

    teaching = _Teaching(lesson, labels)
    steps = parse_method(method)
    decided = msgspec.structs.replace(source.recipe, method=method)
    draft = Draft(source.graph, source.graph, decided, source.frames)
    for step in steps:
        draft = _step(step, draft, cache, track, teaching)
    graph = with_coarse_weights(draft.graph, draft.recipe)
    if graph is source.graph:
        return replace(source, recipe=draft.recipe)
    made = replace(source, graph=graph, recipe=draft.recipe)
    if source.no_module:  # there is nobody to bring it to
        return made
    try:
        return replace(made, model=with_weights_of(source.model, graph))
    except NoWayBackError as error:  # the graph's engines go on without PyTorch's
        return replace(made, no_module=str(error))


def _step(step: str, draft: Draft, cache: Cache, track: Track, teaching: _Teaching) -> Draft:
    """Take one step, or what it made before."""
    import onnx

    asked = msgspec.structs.replace(draft.recipe, method="")  # chains share their first steps
    key = ["step", step, sha256(recipe.encode(asked)), draft_digest(draft)]
    key += [teaching.key] if step == "tune" else []
    known = cache.get(*key)
    if known is None:
        if step == "tune":
            made = _tune(draft, _checkpoint(cache, key), track, teaching)
        else:
            made = _WITHOUT_TEACHING[step](draft, track)
        graph, decided = made
        pair = graph.SerializeToString(deterministic=True), recipe.encode(decided)
        known = cache.put(msgspec.msgpack.encode(pair), *key)
    payload, text = msgspec.msgpack.decode(known, type=tuple[bytes, bytes])
    graph = onnx.load_from_string(payload)
    decided = msgspec.structs.replace(recipe.decode(text), method=draft.recipe.method)
    # Equalizing leaves the function as it is: layers are then compared channel by channel with it.
    teacher = graph if step == "equalize" else draft.teacher
    return replace(draft, teacher=teacher, graph=graph, recipe=decided)


def draft_digest(draft: Draft) -> str:
    """Return the hex SHA-256 of both graphs and the frames."""
    graphs = (draft.teacher, draft.graph)
    payload = b"".join(graph.SerializeToString(deterministic=True) for graph in graphs)
    return sha256(payload + b"".join(frame.tobytes() for frame in draft.frames))


def _equalize(draft: Draft, track: Track) -> tuple[onnx.ModelProto, recipe.Recipe]:
    from edge_seg.quantize.equalization import equalize

    graph = equalize(draft.graph, draft.frames)
    observed = ranges.collect_ranges(graph, draft.frames, track, draft.recipe.range_rule)
    return graph, msgspec.structs.replace(draft.recipe, ranges=observed)


def _observe(draft: Draft, track: Track) -> tuple[onnx.ModelProto, recipe.Recipe]:
    from edge_seg.quantize.observer_search import search_ranges

    rule, observed = search_ranges(draft.graph, draft.recipe, draft.frames, track)
    return draft.graph, msgspec.structs.replace(draft.recipe, range_rule=rule, ranges=observed)


def _round(draft: Draft, track: Track) -> tuple[onnx.ModelProto, recipe.Recipe]:
    from edge_seg.quantize.rounding import round_adaptively

    return round_adaptively(draft.graph, draft.recipe, draft.frames, track), draft.recipe


def _correct(draft: Draft, track: Track) -> tuple[onnx.ModelProto, recipe.Recipe]:
    from edge_seg.quantize.bias_correction import correct_biases

    return correct_biases(draft.graph, draft.recipe, draft.frames, draft.teacher), draft.recipe


_WITHOUT_TEACHING: dict[str, Callable[[Draft, Track], tuple[onnx.ModelProto, recipe.Recipe]]] = {
    "equalize": _equalize,
    "observe": _observe,
    "round": _round,
    "correct": _correct,
}


def _checkpoint(cache: Cache, key: Sequence[str]) -> Path:
    """Return where a fine-tuning keeps how far it is; lessons of one draft may run side by side."""
    return cache.folder / f"fine-tuning-{sha256('/'.join(key).encode())}.safetensors"


def _tune(
    draft: Draft, checkpoint: Path, track: Track, teaching: _Teaching
) -> tuple[onnx.ModelProto, recipe.Recipe]:
    from edge_seg.quantize.learn.fine_tune import fine_tune

    # What a killed pack had learnt is gone on with; the file knows what it belongs to.
    learnt = fine_tune(
        draft.graph,
        draft.recipe,
        draft.frames,
        draft.teacher,
        teaching.lesson,
        teaching.labels,
        track=track,
        checkpoint=checkpoint,
    )
    checkpoint.unlink(missing_ok=True)
    return learnt.graph, learnt.recipe.noting(learnt.summary).learnt_by(learnt.curve)
