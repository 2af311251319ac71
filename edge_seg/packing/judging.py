"""Everyone's row: lowered, scored, held against the float baseline, timed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from edge_seg import engines, gate
from edge_seg.bench import quantiles
from edge_seg.bundle.manifest import Candidate, Gate
from edge_seg.errors import NoSpaceError
from edge_seg.figures import figure
from edge_seg.metrics import Evaluation
from edge_seg.packing import rescue
from edge_seg.packing.rescue import Rank
from edge_seg.packing.tournament import Arena, Contestant, reason
from edge_seg.target import Inspection

LEVEL = 1.05
"""Medians of one run that are closer than this are equal: neighbours and clocks move them more."""


@dataclass(frozen=True)
class Judged:
    """A contestant's row in the making: measured, or failed with a reason.

    ``tried`` says of each method before its own why that was not enough, ``notes`` what else kept
    it from more: methods that were left out, layers that the budget for a frame left int8.
    """

    engine: str
    precision: str
    contestant: Contestant | None = None
    evaluation: Evaluation | None = None
    peak_rss_bytes: int | None = None
    drop: float | None = None
    class_drop: dict[str, float | None] = field(default_factory=dict)
    missed: str = ""
    failed: str = ""
    inspection: Inspection | None = None
    tried: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """``engine/precision``."""
        return f"{self.engine}/{self.precision}"


def judge(
    arena: Arena,
    name: str,
    precision: str,
    allowed: Gate,
    before: Sequence[Judged],
    rank: Rank,
) -> Judged:
    """Lower one entrant, run it, and hold it against the first baseline that ran.

    Where it misses the gate, the layers that ``rank`` names go back to float, worst first, as far
    as the gate's time for a frame lets them.
    """
    try:
        contestant = arena.fastest_variant(engines.find(name), precision)
        evaluation, memory = arena.evaluate(contestant)
    except NoSpaceError:
        raise
    except Exception as error:  # whatever a toolchain raises, the tournament goes on
        return Judged(name, precision, failed=reason(error))
    floats = (j.evaluation for j in before if j.precision == "float32" and j.evaluation)
    reference = evaluation if precision == "float32" else None
    reference = next(floats, reference)
    if reference is None:
        return Judged(name, precision, failed="no float baseline ran that it could be held against")
    rescued = rescue.Rescued(contestant, evaluation, memory)
    given_up = ""
    if precision != "float32":
        try:
            rescued = rescue.hold_gate(arena, rescued, reference, allowed, rank, arena.median_ms)
            tried = len(rescued.tried)
            given_up = f"; up to {tried} layers were tried back in float" if tried else ""
        except NoSpaceError:
            raise
        except Exception as error:  # as above; what was measured before still counts
            given_up = f"; with layers back in float: {reason(error)}"
    contestant, evaluation, memory = rescued[:3]
    try:
        inspection = arena.inspect(contestant)
    except NoSpaceError:
        raise
    except Exception as error:  # what the device's compiler refuses is not packed
        return Judged(name, precision, failed=reason(error))
    drop, class_drop = gate.drops(reference, evaluation)
    measure = "mean IoU" if evaluation.depth is None else "SSIM"
    missed = gate.why_missed(allowed, drop, class_drop, measure)
    return Judged(
        engine=name,
        precision=precision,
        contestant=contestant,
        evaluation=evaluation,
        peak_rss_bytes=memory,
        drop=drop,
        class_drop=class_drop,
        missed=missed and missed + given_up,
        inspection=inspection,
        notes=(rescued.note,) if rescued.note else (),
    )


def timed(arena: Arena, judged: Sequence[Judged], frames: int) -> list[Candidate]:
    """Time all that ran, side by side on so many frames, and return everyone's row.

    What a stand-in ran is not timed: its latency and memory would say nothing of the device.
    """
    ran = {j.label: j.contestant for j in judged if j.contestant is not None}
    running = {label: c for label, c in ran.items() if not _stand_in(c)}
    timings, failed = arena.time_all(running, frames, arena.track)
    rows = []
    for entry in judged:
        row = Candidate(
            engine=entry.engine,
            precision=entry.precision,
            status="failed",
            reason=entry.failed or failed.get(entry.label, ""),
        )
        measured = entry.label in timings or entry.label in ran.keys() - running.keys()
        if entry.evaluation is not None and entry.contestant is not None and measured:
            here = entry.label in timings
            total = quantiles(timings[entry.label])["total"] if here else None
            row = Candidate(
                engine=entry.engine,
                precision=entry.precision,
                status=_status(entry),
                reason=entry.missed if entry.precision != "float32" else "",
                miou=entry.evaluation.miou,
                depth=entry.evaluation.depth,
                drop=entry.drop,
                iou=entry.evaluation.iou,
                class_drop=entry.class_drop,
                p50_ms=total.p50_ms if total else None,
                p99_ms=total.p99_ms if total else None,
                size_bytes=len(entry.contestant.model),
                peak_rss_bytes=entry.peak_rss_bytes if here else None,
                float_layers=list(entry.contestant.float_layers),
                method=entry.contestant.method,
                tried=[*entry.tried, *entry.notes],
                options=dict(entry.contestant.options),
                run_by=_stand_in(entry.contestant),
            )
        rows.append(row)
    return rows


def _stand_in(contestant: Contestant) -> str:
    runner = contestant.runner
    return "" if runner is contestant.engine else f"{runner.name} {runner.runtime_version()}"


def _status(entry: Judged) -> Literal["baseline", "rejected", "passed"]:
    if entry.precision == "float32":
        return "baseline"
    return "rejected" if entry.missed else "passed"


def choose(candidates: Sequence[Candidate], max_p50_ms: float | None = None) -> Candidate | None:
    """Return the fastest that passed, else the most accurate that was rejected, else None.

    Those that are level with the fastest, and within ``max_p50_ms``, are told apart by the size of
    their file; so are those that a stand-in ran, which have no times. Of the rejected, those within
    ``max_p50_ms`` come first.
    """
    passed = [c for c in candidates if c.status == "passed"]
    if passed:
        fastest = min(c.p50_ms or 0.0 for c in passed)
        allowed = math.inf if max_p50_ms is None else max(max_p50_ms, fastest)
        level = [c for c in passed if (c.p50_ms or 0.0) <= min(LEVEL * fastest, allowed)]
        return min(level, key=lambda c: (c.size_bytes or 0, c.p50_ms or 0.0))
    rejected = [c for c in candidates if c.status == "rejected"]
    in_time = [c for c in rejected if not too_slow(c, max_p50_ms)]
    return min(in_time or rejected, key=lambda c: c.drop or 0.0, default=None)


def too_slow(candidate: Candidate, max_p50_ms: float | None) -> str:
    """Return how much longer it takes than is allowed, "" where it does not."""
    if max_p50_ms is None or candidate.p50_ms is None or candidate.p50_ms <= max_p50_ms:
        return ""
    return f"{candidate.p50_ms:.1f} ms a frame, {max_p50_ms:g} allowed"


def say(entry: Judged) -> str:
    """Return a judged entrant in one line."""
    if entry.failed:
        return f"failed: {entry.failed}"
    assert entry.evaluation is not None and entry.contestant is not None
    kept = len(entry.contestant.float_layers)
    floats = f", {kept} layers in float" if kept else ""
    floats += (
        f", {entry.contestant.method} after {len(entry.tried)} that missed" if entry.tried else ""
    )
    verdict = f", misses the gate: {entry.missed}" if entry.missed else ""
    if entry.inspection is not None:
        verdict += f", {_checked(entry.inspection)}"
    verdict += "".join(f"; {note}" for note in entry.notes)
    return f"{said(entry.evaluation)}, {len(entry.contestant.model) / 1e6:.1f} MB{floats}{verdict}"


def said(scores: Evaluation | Candidate) -> str:
    """Return the score in words: ``mIoU 91.20 %``."""
    measure = "mIoU" if scores.depth is None else "SSIM"
    return f"{measure} {figure(scores.score)} %"


def _checked(inspection: Inspection) -> str:
    if inspection.compiler:
        return f"built by {inspection.compiler}"
    return "not checked by the device's compiler"
