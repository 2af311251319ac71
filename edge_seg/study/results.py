"""What a study found: a row for each run, as JSON for machines and CSV for tables.

    results = gather(plan, runs, records, timed, folder)
    write_results(folder, results)
    read_results(folder / "results.json") == results

Accuracy is in percent, drops in points, latencies in milliseconds, sizes in bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from edge_seg.bundle.manifest import Machine
from edge_seg.classes import ClassMap
from edge_seg.depth_metrics import DepthErrors
from edge_seg.errors import EdgeSegError
from edge_seg.files import write_bytes
from edge_seg.frames.images import decode_mask
from edge_seg.machine import this_machine
from edge_seg.masks import agreeing
from edge_seg.study.jobs import Run
from edge_seg.study.plan import About, Plan
from edge_seg.study.records import Latency, Measured, Percent, Record, Timed

SCHEMA = "edge-seg/study-result-1"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One run: what was asked, and what came of it. None stands where nothing was measured.

    Drops are against the float row of the same variant and seed; ``share_of_time`` is the p50
    over that row's in the same session. ``image_*`` are by frame, in the order of
    `Results.images`.
    """

    key: str
    variant: str
    seed: int
    engine: str
    precision: str
    method: str
    bits: int
    per_channel: bool
    learns: bool
    fold: bool = True
    reference: str
    status: Literal["done", "failed"]
    reason: str
    seconds: float
    miou: Percent = None
    drop: Percent = None
    iou: dict[str, Percent] = {}
    dice: dict[str, Percent] = {}
    boundary_f1: dict[str, Percent] = {}
    class_drop: dict[str, Percent] = {}
    agreement_float: Percent = None
    agreement_simulation: Percent = None
    size_bytes: int | None = None
    weight_bytes: int | None = None
    peak_rss_bytes: int | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    share_of_time: float | None = None
    session: int | None = None
    not_timed: str = ""
    method_seconds: float | None = None
    run_by: str = ""
    masks: str = ""
    notes: list[str] = []
    machine: str = ""
    image_miou: list[Percent] = []
    image_iou: dict[str, list[Percent]] = {}
    image_dice: dict[str, list[Percent]] = {}
    image_agreement: list[float] = []
    depth: DepthErrors | None = None
    image_ssim: list[Percent] = []
    total_ms: list[float] = []
    reference_ms: list[float] = []

    @property
    def is_reference(self) -> bool:
        """Say whether others are held against this one."""
        return self.key == self.reference

    @property
    def score(self) -> Percent:
        """What rows are compared by: mean IoU, of a depth SSIM."""
        return self.miou if self.depth is None else self.depth.ssim

    @property
    def image_scores(self) -> list[Percent]:
        """The same of each frame."""
        return self.image_miou if self.depth is None else self.image_ssim


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """All rows of a study; ``agreements`` is the percent of pixels on which two rows are of one
    class, by the rows' keys, within a variant. ``profiles`` are milliseconds a frame by operator.
    """

    schema: str = SCHEMA
    study: About
    quick: bool
    calibration: str
    evaluation: str
    evaluation_place: str
    classes: ClassMap
    images: list[str]
    rows: list[Row]
    agreements: dict[str, dict[str, float]] = {}
    profiles: dict[str, dict[str, float]] = {}
    timed_frames: int = 0
    conclusion: list[str] = []
    machine: Machine
    versions: dict[str, str] = {}
    seconds: float = 0.0

    @property
    def measure(self) -> str:
        """What a score is called."""
        return "mean IoU" if self.classes.depth is None else "SSIM"

    def row(self, key: str) -> Row | None:
        """Return the row of that key."""
        return next((row for row in self.rows if row.key == key), None)


def gather(
    plan: Plan,
    runs: Sequence[Run],
    records: Mapping[str, Record],
    timed: Record | None,
    folder: Path,
) -> Results:
    """Put the records together; reads the masks to compare rows pixel by pixel."""
    from edge_seg.study.conclusion import conclude

    times = timed.result if timed is not None and isinstance(timed.result, Timed) else None
    why = "" if timed is None or timed.status == "done" else timed.reason
    measured = {
        run.key: result for run in runs if isinstance(result := records[run.key].result, Measured)
    }
    rows = [_row(run, records[run.key], measured, times, why) for run in runs]
    evaluation = runs[0].evaluation.open()
    done = [record for record in records.values() if record.versions]
    results = Results(
        study=plan.study,
        quick=plan.is_quick,
        calibration=runs[0].calibration.open().name,
        evaluation=evaluation.name,
        evaluation_place=runs[0].evaluation.place,
        classes=evaluation.classes,
        images=[entry.id for entry in evaluation.entries],
        rows=rows,
        agreements=_agreements(runs, measured, folder, evaluation.classes),
        profiles=times.profiles if times else {},
        timed_frames=plan.timing.frames if times else 0,
        machine=this_machine(),
        versions=done[-1].versions if done else {},
        seconds=round(sum(record.seconds for record in records.values()), 1),
    )
    return msgspec.structs.replace(results, conclusion=conclude(results))


def _row(
    run: Run,
    record: Record,
    measured: Mapping[str, Measured],
    times: Timed | None,
    not_timed: str,
) -> Row:
    row = Row(
        key=run.key,
        variant=run.variant,
        seed=run.seed,
        engine=run.engine,
        precision=run.precision,
        method=run.method,
        bits=run.bits,
        per_channel=run.per_channel,
        learns=run.learns,
        fold=run.fold,
        reference=run.reference,
        status=record.status,
        reason=record.reason,
        seconds=record.seconds,
        machine=record.machine.cpu if record.machine else "",
    )
    found, reference = measured.get(run.key), measured.get(run.reference)
    if found is None:
        return row
    latency = times.rows.get(run.key) if times else None
    beside = _beside(times, latency, run.reference) if times and latency else None
    return msgspec.structs.replace(
        row,
        miou=found.miou,
        depth=found.depth,
        drop=_less(reference.score, found.score) if reference else None,
        iou=found.iou,
        dice=found.dice,
        boundary_f1=found.boundary_f1,
        class_drop={n: _less(reference.iou.get(n), v) for n, v in found.iou.items()}
        if reference
        else {},
        agreement_float=found.agreement_float,
        agreement_simulation=found.agreement_simulation,
        size_bytes=found.size_bytes,
        weight_bytes=found.weight_bytes,
        peak_rss_bytes=latency.peak_rss_bytes if latency else None,
        p50_ms=latency.p50_ms if latency else None,
        p99_ms=latency.p99_ms if latency else None,
        share_of_time=latency.p50_ms / beside.p50_ms if latency and beside else None,
        session=latency.session if latency else None,
        not_timed="" if latency or not times else times.failed.get(run.key, not_timed),
        method_seconds=found.method_seconds,
        run_by=found.run_by,
        masks=found.masks,
        notes=found.notes,
        image_miou=found.image_miou,
        image_iou=found.image_iou,
        image_dice=found.image_dice,
        image_agreement=found.image_agreement,
        image_ssim=found.image_ssim,
        total_ms=latency.total_ms if latency else [],
        reference_ms=beside.total_ms if beside else [],
    )


def _beside(times: Timed, latency: Latency, reference: str) -> Latency | None:
    """Return the float row's latency in the session of another row."""
    again = times.references[latency.session].get(reference)
    if again is not None:
        return again
    first = times.rows.get(reference)
    return first if first is not None and first.session == latency.session else None


def _less(before: Percent, after: Percent) -> Percent:
    return None if before is None or after is None else before - after


def _agreements(
    runs: Sequence[Run], measured: Mapping[str, Measured], folder: Path, classes: ClassMap
) -> dict[str, dict[str, float]]:
    """Compare the masks of every two rows of a variant, pixel by pixel; one frame at a time."""
    table: dict[str, dict[str, float]] = {key: {key: 100.0} for key in measured}
    for variant in dict.fromkeys(run.variant for run in runs):
        keys = [run.key for run in runs if run.variant == variant and run.key in measured]
        files = {key: mask_files(folder, measured[key].masks) for key in keys}
        shares: dict[tuple[str, str], list[float]] = {pair: [] for pair in combinations(keys, 2)}
        for index in range(len(files[keys[0]]) if keys else 0):
            masks = {key: decode_mask(files[key][index], key) for key in keys}
            for (one, other), found in shares.items():
                found.append(agreeing(masks[one], masks[other], classes))
        for (one, other), found in shares.items():
            table[one][other] = table[other][one] = float(np.mean(found))
    return table


def mask_files(folder: Path, name: str) -> list[bytes]:
    """Return a run's masks as PNG files, in the order of the frames."""
    return msgspec.msgpack.decode((folder / name).read_bytes(), type=list[bytes])


def names_of(rows: Sequence[Row]) -> dict[str, str]:
    """Return what each row is called: its words, without those that all have alike."""
    variants = {row.variant for row in rows}
    seeds = {row.seed for row in rows}
    found = {}
    for row in rows:
        coarse = f"{row.bits} bit" if row.bits not in (0, 7) else ""
        parts = [
            row.variant if len(variants) > 1 else "",
            row.engine,
            "float" if row.precision == "float32" else row.precision,
            row.method,
            coarse,
            "" if row.per_channel else "per tensor",
            "" if row.fold else "not folded",
            f"seed {row.seed}" if len(seeds) > 1 else "",
        ]
        found[row.key] = " ".join(filter(None, parts))
    return found


def write_results(folder: Path, results: Results) -> None:
    """Write ``results.json`` and ``results.csv``, each whole or not at all."""
    payload = msgspec.json.format(msgspec.json.encode(results), indent=1)
    write_bytes(folder / "results.json", payload + b"\n")
    write_bytes(folder / "results.csv", to_csv(results).encode())


def read_results(path: Path) -> Results:
    """Read ``results.json``; raises `EdgeSegError` where it is none."""
    try:
        results = msgspec.json.decode(path.read_bytes(), type=Results)
    except (OSError, msgspec.MsgspecError) as error:
        raise EdgeSegError(f"{path} is no study's result: {error}") from error
    if results.schema != SCHEMA:
        raise EdgeSegError(f"{path} is of schema {results.schema!r}, this version reads {SCHEMA!r}")
    return results


_BY_CLASS = ("iou", "dice", "boundary_f1", "class_drop")
_LISTS = (
    "image_miou",
    "image_iou",
    "image_dice",
    "image_agreement",
    "image_ssim",
    "total_ms",
    "reference_ms",
    "notes",
)


def to_csv(results: Results) -> str:
    """Return the rows as CSV: numbers in full, an empty cell where nothing was measured.

    What is by class has a column for each: ``iou.road``. What is by frame is in the JSON.
    """
    classes = list(dict.fromkeys(name for row in results.rows for name in row.iou))
    plain = [n for n in Row.__struct_fields__ if n not in (*_BY_CLASS, *_LISTS)]
    heads = [*plain, *(f"{kind}.{name}" for kind in _BY_CLASS for name in classes)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(heads)
    for row in results.rows:
        cells = [getattr(row, name) for name in plain]
        cells += [getattr(row, kind).get(name) for kind in _BY_CLASS for name in classes]
        writer.writerow(["" if cell is None else cell for cell in cells])
    return stream.getvalue()
