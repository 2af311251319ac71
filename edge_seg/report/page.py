"""The report: one HTML page that says what was packed, why, and how to repeat it.

    html = write_report(data)  # data: edge_seg.report.record.ReportData

The page is one file that works offline: style, script, charts and pictures are inside, and
its content security policy lets it load nothing else. Every name is escaped. The same record
gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

import jinja2
import msgspec
from markupsafe import Markup

from edge_seg.bundle.manifest import Candidate
from edge_seg.draw import legend
from edge_seg.figures import figure
from edge_seg.report import plots
from edge_seg.report.learning import learning, shown_checks
from edge_seg.report.pictures import sample_strips
from edge_seg.report.record import ReportData, kept_check, known, label, ratio, verdict
from edge_seg.report.scatter import scatter
from edge_seg.report.svg import MEDIUM, NARROW, WIDE

ABSENT = "\u2013"
"""What a cell shows where nothing was measured."""


def write_report(data: ReportData) -> str:
    """Return the report as one self-contained HTML page."""
    templates = resources.files("edge_seg.report") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (templates / name).read_text(encoding="utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(number=number, label=label, colour=colour, loss=loss)
    script = (templates / "report.js").read_text(encoding="utf-8")
    checks = shown_checks(data.learning)
    return environment.get_template("report.html.j2").render(
        data=data,
        verdict=verdict(data),
        tiles=_tiles(data),
        rows=[_row(candidate, data.reference) for candidate in data.candidates],
        charts=_charts(data),
        strips=sample_strips(data.samples, data.classes),
        classes=_class_rows(data),
        checks=checks,
        kept=kept_check(checks),
        palette=legend(data.classes),
        total_seconds=sum(seconds for _, seconds in data.steps),
        longest=max((seconds for _, seconds in data.steps), default=0.0),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def number(value: float | None, digits: int = 2) -> str:
    """Return a metric as text with a true minus sign; a dash where it was not measured."""
    if not known(value):
        return ABSENT
    return figure(value, digits).replace("-", "\u2212")


def loss(value: float) -> str:
    """Return a loss as text: three significant digits, as it may be of any size."""
    return f"{value:.3g}" if known(value) else ABSENT


def colour(rgb: tuple[int, int, int]) -> str:
    """Return a palette entry as a CSS colour."""
    return f"#{rgb[0]:02x}{rgb[1]:02x}{rgb[2]:02x}"


def _charts(data: ReportData) -> dict[str, dict[str, Markup | None]]:
    """Draw each chart for a desktop and for a phone; the page shows the one that fits."""
    draw = {
        "scatter": (scatter, WIDE),
        "sizes": (plots.sizes, NARROW),
        "classes": (plots.class_bars, MEDIUM),
        "sensitivity": (plots.sensitivity, MEDIUM),
        "ranges": (plots.ranges, MEDIUM),
        "learning": (learning, WIDE),
    }
    charts: dict[str, dict[str, Markup | None]] = {}
    for name, (chart, width) in draw.items():
        charts[name] = {"wide": chart(data, width), "narrow": None}
        if width != NARROW:
            charts[name]["narrow"] = chart(data, NARROW)
    return charts


class Cell(msgspec.Struct, frozen=True):
    """A number in the table: its text, and the value that it sorts by."""

    text: str
    value: float | None


class Row(msgspec.Struct, frozen=True):
    """A candidate and its numbers, in the order of the table's columns."""

    candidate: Candidate
    cells: list[Cell]


def _row(candidate: Candidate, reference: Candidate | None) -> Row:
    drops = [d for d in candidate.class_drop.values() if known(d)]
    speed = ratio(reference.p50_ms if reference else None, candidate.p50_ms)
    share = ratio(candidate.size_bytes, reference.size_bytes if reference else None)
    values = [
        (candidate.score, 2, ""),
        (candidate.drop, 2, ""),
        (max(drops, default=None), 2, ""),
        (candidate.p50_ms, 2, ""),
        (candidate.p99_ms, 2, ""),
        (speed, 1, "x"),
        (_mega(candidate.size_bytes), 2, ""),
        (share, 2, ""),
        (_mega(candidate.peak_rss_bytes), 0, ""),
    ]
    cells = []
    for value, digits, unit in values:
        measured = known(value)
        text = number(value, digits) + (unit if measured else "")
        cells.append(Cell(text, value if measured else None))
    return Row(candidate, cells)


def _mega(count: int | None) -> float | None:
    return None if count is None else count / 1e6


def _tiles(data: ReportData) -> list[tuple[str, str, str]]:
    """Return the winner's figures: a name, a value, and what to compare it with."""
    winner, reference = data.winner, data.reference
    if winner is None:
        return []
    base = label(reference) if reference else ""
    was_ms = f"{base}: {number(reference.p50_ms, 1)} ms" if reference else ""
    was_mb = f"{base}: {number(_mega(reference.size_bytes))} MB" if reference else ""
    was = f"{base}: {number(reference.score)} %" if reference else ""
    worst = max((d for d in winner.class_drop.values() if known(d)), default=None)
    gate = f"gate {data.gate.max_drop:g}"
    if worst is not None:
        gate += f"; worst class {number(worst)}, gate {data.gate.max_class_drop:g}"
    return [
        ("p50 latency", *_latency(winner, was_ms)),
        ("SSIM" if data.classes.depth else "mean IoU", f"{number(winner.score)} %", was),
        (
            f"{data.measure} drop",
            f"{number(winner.drop)} points",
            gate,
        ),
        ("size", f"{number(_mega(winner.size_bytes))} MB", was_mb),
    ]


def _latency(winner: Candidate, reference: str) -> tuple[str, str]:
    if winner.run_by:
        return ABSENT, f"{winner.engine} was not run: {winner.run_by} stood in"
    return f"{number(winner.p50_ms)} ms", reference


def _class_rows(data: ReportData) -> list[tuple[str, float | None, float | None, float | None]]:
    """Return (class, float IoU, winner's IoU, drop) for each class."""
    winner, reference = data.winner, data.reference
    if winner is None or not winner.iou:
        return []
    before = reference.iou if reference else {}
    return [
        (name, before.get(name), winner.iou.get(name), winner.class_drop.get(name))
        for name in data.classes.names
    ]
