"""Who judges an entrant: as the model was given, by one method, or up the ladder of methods.

judge_it = for_int8(request, arena, steps)
judge_it("openvino", "int8", judged)      # its row
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from edge_seg.engines.lowering import Source
from edge_seg.packing.deciding import network_masks, sensitivity
from edge_seg.packing.judging import Judged, judge
from edge_seg.packing.ladder import Ladder, climb
from edge_seg.packing.methods import AUTO, improve
from edge_seg.packing.request import Request
from edge_seg.packing.rescue import nothing_back
from edge_seg.packing.tournament import Arena
from edge_seg.quantize.sensitivity import LayerNoise
from edge_seg.steps import Steps

Judge = Callable[[str, str, Sequence[Judged]], Judged]
"""Returns the row of an engine and a precision, held against the rows before."""


def as_given(request: Request, arena: Arena) -> Judge:
    """Return what judges the entrants whose weights no method touches."""

    def judged(engine: str, precision: str, before: Sequence[Judged]) -> Judged:
        return judge(arena, engine, precision, request.gate, before, nothing_back)

    return judged


def for_int8(request: Request, arena: Arena, steps: Steps) -> Judge:
    """Return what judges int8 entrants: by the method that was asked for, or up the ladder."""
    given, cache = arena.source, arena.cache

    def rank(source: Source) -> Sequence[LayerNoise]:
        return sensitivity(source, cache, steps.track)

    if request.method == AUTO:
        ladder = Ladder(given, cache, steps.track, request.lesson)

        def climbed(engine: str, precision: str, before: Sequence[Judged]) -> Judged:
            return climb(arena, ladder, engine, precision, request.gate, before, rank)

        return climbed
    with steps("method") as step:
        labels = network_masks(request.calibration, request.model) if request.labels else None
        source = improve(request.method, given, cache, steps.track, request.lesson, labels)
        step.detail = "; ".join([request.method, *source.recipe.notes])
    improved = replace(arena, source=source)

    def judged(engine: str, precision: str, before: Sequence[Judged]) -> Judged:
        return judge(improved, engine, precision, request.gate, before, rank)

    return judged
