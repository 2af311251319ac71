"""A study's page: one HTML file that works offline, with all that was found inside it.

    write_page(Path("study"), results)     # study/study.html

Style and script are the pack report's; the content security policy lets the page load nothing.
Every name is escaped. The same results and masks give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from edge_seg.draw import legend
from edge_seg.files import write_bytes
from edge_seg.frames import FrameSet
from edge_seg.report.page import Cell, colour, number
from edge_seg.report.pictures import Strip
from edge_seg.report.svg import MEDIUM, NARROW, WIDE
from edge_seg.study import charts
from edge_seg.study.results import Results, Row, names_of
from edge_seg.study.strips import MOST_ROWS, mask_strips, read_masks

HEADS = (
    "drop",
    "worst class drop",
    "agrees with float %",
    "with simulation %",
    "p50 ms",
    "p99 ms",
    "of float's time",
    "file MB",
    "weights MB",
    "peak MB",
    "made in s",
)


def write_page(folder: Path, results: Results, evaluation: FrameSet | None = None) -> None:
    """Write ``study.html``; without the evaluation set there are no pictures."""
    strips: list[Strip] = []
    if evaluation is not None:
        strips = mask_strips(results, evaluation, read_masks(folder, results))
    write_bytes(folder / "study.html", page(results, strips).encode())


def page(results: Results, strips: list[Strip]) -> str:
    """Return the page."""
    report = resources.files("edge_seg.report") / "templates"
    own = resources.files("edge_seg.study") / "templates"

    def read(name: str) -> str | None:
        place = own / name if name.startswith("study.") else report / name
        return place.read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(read),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(number=number, colour=colour)
    script = (report / "report.js").read_text(encoding="utf-8")
    names = names_of(results.rows)
    classes = list(results.classes.names)
    return environment.get_template("study.html.j2").render(
        results=results,
        names=names,
        heads=[f"{'mIoU' if results.classes.depth is None else 'SSIM'} %", *HEADS],
        rows=[(row, names[row.key], _cells(row)) for row in results.rows],
        class_rows=[(row, names[row.key], _by_class(row, classes)) for row in _done(results)],
        compared=[row for row in _done(results) if row.key in results.agreements],
        charts=_charts(results),
        legend=charts.legend(results),
        strips=strips,
        cut=MOST_ROWS if len(_done(results)) > MOST_ROWS else 0,
        palette=legend(results.classes),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _done(results: Results) -> list[Row]:
    return [row for row in results.rows if row.status == "done"]


def _charts(results: Results) -> dict[str, dict[str, Markup | None]]:
    """Draw each chart for a desktop and for a phone; the page shows the one that fits."""
    draw: dict[str, tuple[Callable[[Results, int], Markup | None], int]] = {
        "latency": (lambda found, width: charts.pareto(found, "p50_ms", width), MEDIUM),
        "size": (lambda found, width: charts.pareto(found, "size_bytes", width), MEDIUM),
        "weights": (charts.by_weights, MEDIUM),
        "frames": (charts.distributions, WIDE),
        "profile": (charts.profile, MEDIUM),
        "memory": (charts.memory, MEDIUM),
    }
    return {
        name: {"wide": chart(results, width), "narrow": chart(results, NARROW)}
        for name, (chart, width) in draw.items()
    }


def _cells(row: Row) -> list[Cell]:
    drops = [drop for drop in row.class_drop.values() if drop is not None]
    values: list[tuple[float | None, int]] = [
        (row.score, 2),
        (row.drop, 2),
        (max(drops, default=None), 2),
        (row.agreement_float, 2),
        (row.agreement_simulation, 2),
        (row.p50_ms, 2),
        (row.p99_ms, 2),
        (row.share_of_time, 2),
        (_mega(row.size_bytes), 2),
        (_mega(row.weight_bytes), 2),
        (_mega(row.peak_rss_bytes), 0),
        (row.seconds, 1),
    ]
    return [Cell(number(value, digits), value) for value, digits in values]


def _by_class(row: Row, classes: list[str]) -> list[Cell]:
    """Return IoU, Dice and drop of each class."""
    cells = []
    for name in classes:
        for table in (row.iou, row.dice, row.class_drop):
            cells.append(Cell(number(table.get(name)), table.get(name)))
    return cells


def _mega(count: int | None) -> float | None:
    return None if count is None else count / 1e6
