"""`--method auto`: the cheapest chain of methods that holds the gate.

    ladder = Ladder(source, cache, track)
    row = climb(arena, ladder, "openvino", "int8", gate, judged, rank)

Rungs are in the order of what they cost: ranges alone, equalization, a search among observers,
rounding, fine-tuning, each on top of those before it that lowered the noise of the logits. The row
names those that did not, or that the model is none for. An engine stops at the first that holds
the gate on its own file; where none does, layers go back to float on the best. What one engine
climbed, the next has ready.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from edge_seg.bundle.manifest import Gate
from edge_seg.cache import Cache
from edge_seg.engines.lowering import Source
from edge_seg.errors import EdgeSegError, NoSpaceError
from edge_seg.packing.judging import Judged, judge
from edge_seg.packing.methods import improve
from edge_seg.packing.rescue import Rank, nothing_back
from edge_seg.packing.tournament import Arena
from edge_seg.progress import Track
from edge_seg.quantize import quantize_graph
from edge_seg.quantize.learn.lesson import Settings, held_out
from edge_seg.quantize.sensitivity import simulate, sqnr_db

START = "ptq"
RUNGS = ("equalized", "observers", "rounding", "qat")


@dataclass(frozen=True)
class Rung:
    """A chain of methods, what it made, and the signal-to-noise ratio of its logits in dB.

    ``left_out`` tells of the methods that were left out on the way to it.
    """

    method: str
    source: Source
    sqnr_db: float
    left_out: tuple[str, ...] = ()


class Ladder:
    """The rungs, each made when it is first asked for; ``said`` tells of those left out."""

    def __init__(
        self, given: Source, cache: Cache, track: Track, lesson: Settings | None = None
    ) -> None:
        self._given, self._cache, self._track, self._lesson = given, cache, track, lesson
        # Fine-tuning does not see these, so that it is judged as fairly as the rest.
        self._frames = [given.frames[index] for index in held_out(len(given.frames))]
        self._logits = simulate(given.graph, self._frames)
        start = improve(START, given, cache, track)  # of few bits, the module gets them too
        self._rungs = [Rung(START, start, self._signal(start))]
        self._left = list(RUNGS)
        self.said: list[str] = []

    def __iter__(self) -> Iterator[Rung]:
        for index in count():
            while index >= len(self._rungs) and self._left:
                self._add(self._left.pop(0))
            if index >= len(self._rungs):
                return
            yield self._rungs[index]

    def _add(self, name: str) -> None:
        """Put one method on top of the best chain, if that lowers the noise."""
        best = self._rungs[-1]
        method = name if best.method == START else f"{best.method}+{name}"
        try:
            source = improve(method, self._given, self._cache, self._track, self._lesson)
        except NoSpaceError:
            raise
        except EdgeSegError as error:  # the model is none for it: others may do
            self.said.append(f"{name} is left out: {error}")
            return
        signal = self._signal(source)
        if signal > best.sqnr_db:
            self._rungs.append(Rung(method, source, signal, tuple(self.said)))
        else:
            self.said.append(
                f"{name} is left out: {signal:.1f} dB of signal to noise, without it "
                f"{best.sqnr_db:.1f}"
            )

    def _signal(self, source: Source) -> float:
        quantized = quantize_graph(source.graph, source.recipe)
        return sqnr_db(self._logits, simulate(quantized, self._frames))


def climb(
    arena: Arena,
    ladder: Ladder,
    engine: str,
    precision: str,
    allowed: Gate,
    before: Sequence[Judged],
    rank: Rank,
) -> Judged:
    """Return an entrant's row at the first rung that holds the gate.

    Where none does, at the most accurate one, with layers back in float. ``tried`` says of the
    rungs below why they missed, ``notes`` which methods are no rung.
    """
    rows: list[tuple[Judged, Arena]] = []
    tried: list[str] = []
    for rung in ladder:
        where = replace(arena, source=rung.source)
        row = judge(where, engine, precision, allowed, before, nothing_back)
        if row.failed and not rows:  # the engine cannot take the model at all
            return row
        if not row.missed and not row.failed:
            return replace(row, tried=tuple(tried), notes=rung.left_out)
        tried.append(f"{rung.method}: {row.failed or row.missed}")
        if not row.failed:
            rows.append((row, where))
    _, where = min(rows, key=lambda pair: pair[0].drop or 0.0)
    row = judge(where, engine, precision, allowed, before, rank)
    return replace(row, tried=tuple(tried), notes=(*ladder.said, *row.notes))
