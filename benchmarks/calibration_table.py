"""The calibration study as a table and a picture.

readme_table(record)  # between <!-- calibration --> and <!-- end -->
plot(record, Path("docs/images/calibration.png"))
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from benchmarks.calibration import COUNTS, ENGINES, ENOUGH, FEW, KINDS, MANY, OFTEN, TESTS
from edge_seg.figures import figure
from edge_seg.files import write_bytes
from edge_seg.training.curve import COLOURS

Row = dict[str, Any]


def worst(rows: list[Row], test: str) -> float | None:
    """Return the largest drop of the mean IoU among the draws; None where there is none."""
    values = [row["drops"][test]["miou"] for row in rows]
    return max(values) if values else None


def readme_table(record: dict[str, Any]) -> str:
    """Return both tables for each model, in Markdown."""
    runs: list[Row] = record["runs"]
    parts = []
    for model in dict.fromkeys(row["model"] for row in runs):
        mine = [row for row in runs if row["model"] == model]
        parts += [f"`{model}`, {OFTEN}, by the number of frames:", _by_count(mine)]
        parts += [f"`{model}`, every engine:", _by_engine(mine)]
    return "\n\n".join(parts)


def _by_count(runs: list[Row]) -> str:
    heads = ["frames", *(f"{kind} set: {test}" for kind in KINDS for test in TESTS)]
    lines = [heads, ["---"] * len(heads)]
    for count in COUNTS:
        cells = [str(count)]
        for kind in KINDS:
            some = [row for row in runs if (row["kind"], row["frames"]) == (kind, count)]
            some = [row for row in some if row["engine"] == OFTEN]
            cells += [figure(worst(some, test), 2) for test in TESTS]
        lines.append(cells)
    return _markdown(lines)


def _by_engine(runs: list[Row]) -> str:
    counts = (FEW, ENOUGH, MANY)
    heads = ["engine", *(f"{kind} set, {count}" for kind in KINDS for count in counts)]
    lines = [heads, ["---"] * len(heads)]
    for engine in ENGINES:
        cells = [engine]
        for kind in KINDS:
            for count in counts:
                key = (engine, kind, count, 0)
                some = [r for r in runs if (r["engine"], r["kind"], r["frames"], r["draw"]) == key]
                drops = [worst(some, test) for test in TESTS]
                cells.append(figure(max((d for d in drops if d is not None), default=None), 2))
        lines.append(cells)
    return _markdown(lines)


def _markdown(lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def plot(record: dict[str, Any], path: Path) -> None:
    """Write a PNG: the drop over the number of frames, every draw a dot, a line for the worst."""
    from matplotlib.figure import Figure

    runs: list[Row] = [row for row in record["runs"] if row["engine"] == OFTEN]
    models = list(dict.fromkeys(row["model"] for row in runs))
    drawing = Figure(figsize=(12, 3.5 * len(models)), dpi=90, layout="constrained")
    panels = drawing.subplots(len(models), len(TESTS), squeeze=False, sharex=True, sharey="row")
    for line, model in zip(panels, models, strict=True):
        for axes, test in zip(line, TESTS, strict=True):
            for kind, colour in zip(KINDS, COLOURS, strict=False):
                some = [r for r in runs if (r["model"], r["kind"]) == (model, kind)]
                counts = [row["frames"] for row in some]
                axes.plot(counts, [r["drops"][test]["miou"] for r in some], "o", ms=4, color=colour)
                high = [worst([r for r in some if r["frames"] == n], test) for n in COUNTS]
                axes.plot(COUNTS, high, color=colour, label=f"calibrated on {kind} frames")
            axes.axhline(0.5, color="#bbbbbb", linestyle="--")
            axes.set(xscale="log", title=f"{model}: {test}", xlabel="calibration frames")
            axes.set_xticks(COUNTS, [str(count) for count in COUNTS])
            axes.grid(alpha=0.3)
        line[0].set_ylabel("drop of mean IoU, points")
    panels[0][0].legend()
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())
