"""When a candidate misses the gate: its worst layers go back to float, one by one.

Layers are ranked by the noise each brings to the logits. The few worst are then tried
alone, and ordered by the mean IoU that each wins back on the evaluation set; noise says
where to look, the metric decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_seg import gate
from edge_seg.bundle.manifest import Gate
from edge_seg.metrics import Evaluation
from edge_seg.quantize.sensitivity import LayerNoise
from edge_seg.tournament import Arena, Contestant

TRIED_ALONE = 5
"""How many of the noisiest layers are tried alone."""
MAX_SHARE = 0.5
"""Of the layers that may go back; beyond that it is no quantized model any more."""

Measured = tuple[Evaluation, int]


def hold_gate(
    arena: Arena,
    contestant: Contestant,
    measured: Measured,
    reference: Evaluation,
    allowed: Gate,
    noise: Sequence[LayerNoise],
) -> tuple[Contestant, Evaluation, int]:
    """Return the contestant with as few layers in float as hold the gate.

    Where no number of layers does (up to `MAX_SHARE`), return the most accurate one tried.
    """

    def missed(evaluation: Evaluation) -> bool:
        return bool(gate.why_missed(allowed, *gate.drops(reference, evaluation)))

    best = (contestant, *measured)
    if not missed(measured[0]):
        return best
    order = _by_gain(arena, contestant, noise)
    kept: tuple[str, ...] = ()
    for layer in arena.track(order, f"{contestant.label}: layers back to float", len(order)):
        kept = (*kept, layer)
        trial = _with_float(arena, contestant, kept)
        evaluation, memory = arena.evaluate(trial)
        if _points(evaluation) > _points(best[1]):
            best = (trial, evaluation, memory)
        if not missed(evaluation):
            return trial, evaluation, memory
    return best


def _by_gain(arena: Arena, contestant: Contestant, noise: Sequence[LayerNoise]) -> list[str]:
    """Order the layers: the noisiest by what they win back in the metric, then the rest."""
    ranked = [row.layer for row in noise]
    worst = ranked[:TRIED_ALONE]
    gains = {
        layer: _points(arena.evaluate(_with_float(arena, contestant, (layer,)))[0])
        for layer in arena.track(worst, f"{contestant.label}: worst layers alone", len(worst))
    }
    order = sorted(worst, key=lambda layer: gains[layer], reverse=True) + ranked[TRIED_ALONE:]
    return order[: max(1, int(len(ranked) * MAX_SHARE))]


def _with_float(arena: Arena, contestant: Contestant, layers: tuple[str, ...]) -> Contestant:
    recipe = arena.source.recipe.keeping_float(layers)
    lowering = arena.with_recipe(recipe)
    return lowering.lower(contestant.engine, contestant.precision, contestant.options)


def _points(evaluation: Evaluation) -> float:
    return evaluation.miou or 0.0
