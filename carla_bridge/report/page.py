"""The page of a drive: one HTML file that works offline.

    html = page(read_results(folder), folder)

Style, script, charts and pictures are inside, and its content security policy lets it load
nothing else; the video beside it is linked. Every name is escaped. The same folder gives the same
bytes.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path

import jinja2
import msgspec
from markupsafe import Markup

from carla_bridge.evaluation.record import Results, SummaryRow
from carla_bridge.report import words
from carla_bridge.report.colours import error_names
from carla_bridge.report.curve_chart import curve_chart
from carla_bridge.report.film import NAME as VIDEO
from carla_bridge.report.sections import MOST_DRAWN, route_sections
from carla_bridge.report.words import number
from edge_seg.report.record import known
from edge_seg.report.svg import NARROW, WIDE


def page(results: Results, folder: Path) -> str:
    """Return the page of the drive whose files are in ``folder``."""
    own = resources.files("carla_bridge.report") / "templates"
    shared = resources.files("edge_seg.report") / "templates"

    def source(name: str) -> str:
        place = own if (own / name).is_file() else shared
        return (place / name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(number=number, signed=words.signed)
    script = source("report.js")
    curve = results.curve
    charts = [curve_chart(curve, width) for width in (WIDE, NARROW)] if curve else [None, None]
    return environment.get_template("drive.html.j2").render(
        results=results,
        request=results.request,
        words=words,
        headline=words.headline(results),
        tiles=tiles(results),
        columns=COLUMNS,
        rows=[summary_row(results, row) for row in results.summary],
        routes=route_sections(results, folder),
        most_drawn=MOST_DRAWN,
        curve=curve,
        curve_wide=charts[0],
        curve_narrow=charts[1],
        error_names=error_names(),
        video=VIDEO if (folder / VIDEO).is_file() else "",
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


class Cell(msgspec.Struct, frozen=True):
    """A figure of a table: its text, the value that it sorts by, and what stands below it."""

    text: str
    value: float | None
    below: str = ""


class Row(msgspec.Struct, frozen=True):
    """A driver at a latency, and its figures in the order of the table's columns."""

    summary: SummaryRow
    whence: str
    cells: list[Cell]


COLUMNS = (
    "runs",
    "completed %",
    "driving score",
    "departures per km",
    "outside s",
    "error mean m",
    "error p95 m",
    "error max m",
    "mask IoU %",
    "dropped %",
    "control age ms",
)


def summary_row(results: Results, row: SummaryRow) -> Row:
    """Return the figures of a driver at a latency as the summary's table shows them."""
    classes = {name: value for name, value in row.mask_iou.items() if known(value)}
    iou = sum(classes.values()) / len(classes) if classes else None
    by_class = [f"{name.replace('_', ' ')} {number(v, 1)}" for name, v in classes.items()]
    age = row.control_age_p50_ms
    cells = [
        Cell(f"{row.runs}", row.runs, f"{row.failed} failed" if row.failed else ""),
        _cell(row.completion, 1),
        _cell(row.driving_score, 1, f"\u00b1 {number(row.driving_score_std, 1)}"),
        _cell(row.departures_per_km, 2, f"in {number(row.km, 1)} km"),
        _cell(row.outside_s, 1),
        _cell(row.cross_track_mean_m),
        _cell(row.cross_track_p95_m),
        _cell(row.cross_track_max_m),
        _cell(iou, 1, "\n".join(by_class)),
        _cell(row.frames_dropped_percent, 1),
        _cell(age, 0, f"p99 {number(row.control_age_p99_ms, 0)}" if known(age) else ""),
    ]
    return Row(row, words.whence(words.latency_of(results, row.latency)), cells)


def _cell(value: float | None, digits: int = 2, below: str = "") -> Cell:
    return Cell(number(value, digits), value if known(value) else None, below)


def tiles(results: Results) -> list[tuple[str, str, str]]:
    """Return the leading row's figures: a name, a value, and a note."""
    row = words.leading_row(results)
    if row is None:
        return []
    curve = results.curve
    note = words.ESTIMATE if row.estimate else ""
    late = f"latency {words.plain(row.latency)}" + (f", {note}" if note else "")
    shown = [
        ("route completion", f"{number(row.completion, 1)} %", f"{row.driver}, {late}"),
        (
            "departures per km",
            number(row.departures_per_km),
            f"{number(row.km, 1)} km; {number(row.outside_s, 1)} s outside the lane",
        ),
        (
            "cross-track error, p95",
            f"{number(row.cross_track_p95_m)} m",
            f"mean {number(row.cross_track_mean_m)} m, max {number(row.cross_track_max_m)} m",
        ),
    ]
    if curve is not None and curve.largest_ms is not None:
        kept = f"{curve.largest_ms:g} ms"
        shown.append(("keeps the lane up to", kept, f"{curve.driver}, of the latencies tried"))
    else:
        runs = f"{row.runs} run{'' if row.runs == 1 else 's'}"
        spread = f"\u00b1 {number(row.driving_score_std, 1)} over {runs}" if row.runs > 1 else runs
        shown.append(("driving score", number(row.driving_score, 1), spread))
    return shown
