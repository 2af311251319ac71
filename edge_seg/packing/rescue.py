"""When a candidate misses the gate: its worst layers go back to float, one by one.

Layers are ranked by the noise each brings to the logits. The few worst are then tried
alone, and ordered by the score that each wins back on the evaluation set; noise says
where to look, the metric decides. Where a frame has a budget of time, a layer goes back only
as far as that reaches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from edge_seg import gate
from edge_seg.bundle.manifest import Gate
from edge_seg.engines.lowering import Source
from edge_seg.metrics import Evaluation
from edge_seg.packing.tournament import Arena, Contestant
from edge_seg.quantize.sensitivity import LayerNoise

TRIED_ALONE = 5
"""How many of the noisiest layers are tried alone."""
MAX_SHARE = 0.5
"""Of the layers that may go back, rounded up; beyond that it is no quantized model any more."""

SMALLEST_LOSS = 0.1
"""Points of mean IoU: where a class alone missed the gate, the mean may have lost nothing."""

Median = Callable[[Contestant], float]
"""Returns the median of a contestant's frames in milliseconds, quickly measured."""
Rank = Callable[[Source], Sequence[LayerNoise]]
"""Returns a source's layers, the noisiest first; none where none may go back to float."""


def nothing_back(source: Source) -> Sequence[LayerNoise]:
    """Rank no layer: all stay int8."""
    return ()


class Rescued(NamedTuple):
    """The contestant that is kept, how it was measured, and the layers that were tried in float.

    ``note`` says how many layers the budget left int8, and what they would have cost.
    """

    contestant: Contestant
    evaluation: Evaluation
    peak_rss_bytes: int
    tried: tuple[str, ...] = ()
    note: str = ""


def hold_gate(
    arena: Arena,
    given: Rescued,
    reference: Evaluation,
    allowed: Gate,
    rank: Rank,
    median_ms: Median,
) -> Rescued:
    """Return the contestant with as few layers in float as hold the gate.

    Where no number of layers does (up to `MAX_SHARE`), return the most accurate one tried.

    With a budget for a frame (``allowed.max_p50_ms``) a layer goes back only where ``median_ms`` of
    the mix is within it; else it stays int8, and the next is tried. This is greedy: layers come in
    the order of what they win back, and none is given up for two that are cheaper and better.
    """

    def missed(evaluation: Evaluation) -> bool:
        return bool(gate.why_missed(allowed, *gate.drops(reference, evaluation)))

    if not missed(given.evaluation):
        return given
    best, contestant = given, given.contestant
    order = _by_gain(arena, contestant, given.evaluation, reference, rank(arena.source))
    budget = _budget(contestant, allowed)
    kept: tuple[str, ...] = ()
    slow: list[float] = []
    for layer in arena.track(order, f"{contestant.label}: layers back to float", len(order)):
        trial = _with_float(arena, contestant, (*kept, layer))
        if budget is not None and (took := median_ms(trial)) > budget:
            slow.append(took)
            continue
        kept = (*kept, layer)
        rescued = Rescued(trial, *arena.evaluate(trial))
        held = not missed(rescued.evaluation)
        if held or _points(rescued.evaluation) > _points(best.evaluation):
            best = rescued
        if held:
            break
    return best._replace(tried=kept, note=_over(budget, slow))


def _budget(contestant: Contestant, allowed: Gate) -> float | None:
    """Return how many milliseconds a frame may take, None where its time here says nothing."""
    return allowed.max_p50_ms if contestant.runner is contestant.engine else None


def _over(budget: float | None, slow: Sequence[float]) -> str:
    """Say what the layers that the budget left int8 would have cost, the cheapest of them."""
    if budget is None or not slow:
        return ""
    more = "1 layer more" if len(slow) == 1 else f"the cheapest of {len(slow)} layers more"
    return f"{more} in float would cost {min(slow):.2f} ms a frame: over the budget of {budget:g}"


def _by_gain(
    arena: Arena,
    contestant: Contestant,
    before: Evaluation,
    reference: Evaluation,
    noise: Sequence[LayerNoise],
) -> list[str]:
    """Order the layers: the noisiest by what they win back in the metric, then the rest.

    Won back is counted in tenths of the points lost. What is less is chance, and the order of
    noise stands: two layers that share a bad tensor win nothing back until both are in float.
    """
    ranked = [row.layer for row in noise]
    worst = ranked[:TRIED_ALONE]
    lost = max(_points(reference) - _points(before), SMALLEST_LOSS)
    alone = {
        layer: arena.evaluate(_with_float(arena, contestant, (layer,)))[0]
        for layer in arena.track(worst, f"{contestant.label}: worst layers alone", len(worst))
    }
    gains = {layer: (_points(scores) - _points(before)) / lost for layer, scores in alone.items()}
    worst.sort(key=lambda layer: round(10 * gains[layer]), reverse=True)
    order = worst + ranked[TRIED_ALONE:]
    return order[: math.ceil(len(ranked) * MAX_SHARE)]


def _with_float(arena: Arena, contestant: Contestant, layers: tuple[str, ...]) -> Contestant:
    recipe = arena.source.recipe.keeping_float(layers)
    lowering = arena.with_recipe(recipe)
    return lowering.lower(contestant.engine, contestant.precision, contestant.options)


def _points(evaluation: Evaluation) -> float:
    return evaluation.score or 0.0
