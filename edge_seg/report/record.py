"""What a report is made from: one record that the packer fills and `write_report` draws.

    data = ReportData(
        title="lane-unet for x86", model="lane-unet", target="x86", candidates=candidates,
        gate=Gate(max_drop=0.5, max_class_drop=1.0), classes=LANE, command="edge-seg pack",
    )
    Path("report.html").write_text(write_report(data), encoding="utf-8")

Accuracy is in percent, drops are in points, latencies in milliseconds, sizes in bytes.
Everything but the first seven fields may stay empty: its section is then left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

import msgspec

from edge_seg.bundle.manifest import Candidate, Gate, Machine
from edge_seg.classes import ClassMap
from edge_seg.preprocess import Frame, Mask
from edge_seg.target import Inspection


class Sample(msgspec.Struct, frozen=True):
    """One frame (H, W, 3) BGR with its masks; a mask of another size is resized to it."""

    name: str
    frame: Frame
    float_mask: Mask
    int8_mask: Mask
    truth: Mask | None = None


class LayerRow(msgspec.Struct, frozen=True):
    """How much quantizing one layer alone costs, and whether it was left in float.

    ``sqnr_db`` is the signal to quantization noise ratio of its output, in decibels.
    """

    layer: str
    sqnr_db: float
    float: bool = False


class RangeRow(msgspec.Struct, frozen=True):
    """The quantization range of one activation: what calibration has seen, nothing clipped."""

    tensor: str
    low: float
    high: float


class CheckRow(msgspec.Struct, frozen=True):
    """One check of a fine-tuning: its losses, taught since the check before, and held out.

    In nats a pixel, of a depth the mean squared error.
    """

    step: int
    taught: float
    held_out: float


class SetInfo(msgspec.Struct, frozen=True):
    """A frame set that took part."""

    name: str
    digest: str
    frames: int
    licence: str


class ReportData(msgspec.Struct, kw_only=True):
    """All that the report shows.

    ``steps`` are (name, seconds) in order. ``agreement`` is, for each engine, the percent
    of pixels on which its masks equal the reference simulation's. ``command`` is the
    line that makes the same bundle again. ``inspections`` are what the device's compiler said of
    a candidate's file, ``learning`` the checks of the packed file's fine-tuning.
    """

    title: str
    model: str
    target: str
    candidates: list[Candidate]
    gate: Gate
    classes: ClassMap
    command: str
    samples: list[Sample] = []
    sensitivity: list[LayerRow] = []
    ranges: list[RangeRow] = []
    calibration: SetInfo | None = None
    evaluation: SetInfo | None = None
    steps: list[tuple[str, float]] = []
    versions: dict[str, str] = {}
    machine: Machine | None = None
    agreement: dict[str, float] = {}
    notes: list[str] = []
    inspections: dict[str, Inspection] = {}
    learning: list[CheckRow] = []

    @property
    def measure(self) -> str:
        """What a score is called."""
        return "mIoU" if self.classes.depth is None else "SSIM"

    @property
    def winner(self) -> Candidate | None:
        """The candidate that was packed, or None where none held the gate."""
        return next((c for c in self.candidates if c.status == "winner"), None)

    @property
    def reference(self) -> Candidate | None:
        """The baseline that everything is compared with: torch float32 where it ran."""
        baselines = [c for c in self.candidates if c.status == "baseline"]
        torch = [c for c in baselines if c.engine.startswith("torch")]
        return next(iter(torch + baselines), None)

    @property
    def fastest_float(self) -> Candidate | None:
        """The quickest baseline: what the device would run if nothing were quantized."""
        measured = [c for c in self.candidates if c.status == "baseline" and known(c.p50_ms)]
        return min(measured, key=lambda c: c.p50_ms or math.inf, default=None)


def kept_check(rows: Sequence[CheckRow]) -> CheckRow | None:
    """Return the check whose weights were kept: the first of the lowest held out."""
    measured = (row for row in rows if known(row.held_out))
    return min(measured, key=lambda row: row.held_out, default=None)


def label(candidate: Candidate) -> str:
    """Return the name that a candidate goes by in the report."""
    return f"{candidate.engine} {candidate.precision}"


def measure(candidate: Candidate) -> str:
    """Return what a candidate's score is called."""
    return "mIoU" if candidate.depth is None else "SSIM"


def known(value: float | None) -> TypeGuard[float]:
    """Return whether a metric was measured: it is neither None nor NaN."""
    return value is not None and math.isfinite(value)


def ratio(value: float | None, reference: float | None) -> float | None:
    """Return ``value / reference``, or None where either is unknown or zero."""
    if known(value) and known(reference) and value and reference:
        return value / reference
    return None


def describe(candidate: Candidate) -> str:
    """Return a candidate's figures in one line, for hovering."""
    facts = [f"{label(candidate)} ({candidate.status})"]
    if known(candidate.score):
        facts.append(f"{measure(candidate)} {candidate.score:.2f} %")
    if known(candidate.drop):
        facts.append(f"drop {candidate.drop:.2f} points")
    if known(candidate.p50_ms):
        facts.append(f"p50 {candidate.p50_ms:.2f} ms")
    if known(candidate.p99_ms):
        facts.append(f"p99 {candidate.p99_ms:.2f} ms")
    if known(candidate.size_bytes):
        facts.append(f"{candidate.size_bytes / 1e6:.2f} MB")
    return ", ".join(facts)


def _speed(winner: Candidate, rival: Candidate) -> str:
    faster = ratio(rival.p50_ms, winner.p50_ms) or 1.0
    speed = f"{faster:.1f}x faster" if faster >= 1 else f"{1 / faster:.1f}x slower"
    return f"{speed} than {label(rival)}"


def verdict(data: ReportData) -> str:
    """Return the one sentence that the report opens with."""
    winner, reference = data.winner, data.reference
    if winner is None:
        tried = sum(c.status != "baseline" for c in data.candidates)
        return f"Nothing packed: none of {tried} candidates held the gate"
    rivals = [data.reference]
    if data.fastest_float != data.reference:
        rivals.append(data.fastest_float)
    timed = known(winner.p50_ms)
    facts = [_speed(winner, rival) for rival in rivals if timed and rival and known(rival.p50_ms)]
    if known(winner.drop):
        facts.append(f"{measure(winner)} drop {winner.drop:.2f} points")
    smaller = ratio(winner.size_bytes, reference.size_bytes if reference else None)
    if smaller is not None:
        facts.append(f"{smaller:.2f} of the size")
    return f"{label(winner)}: {', '.join(facts)}" if facts else f"{label(winner)} is packed"
