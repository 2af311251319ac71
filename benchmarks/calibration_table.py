"""The calibration study as a table and a picture.

readme_table(record)  # between <!-- calibration --> and <!-- end -->
plot(record, Path("docs/images/calibration.png"))
"""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

from benchmarks.markdown import table
from edge_seg.figures import figure
from edge_seg.files import write_bytes
from edge_seg.training.curve import COLOURS

Row = dict[str, Any]

OFTEN = "onnxruntime"
"""The engine that every number and draw is measured on."""


def worst(rows: list[Row], test: str) -> float:
    """Return the largest drop of the mean IoU among draws."""
    return max(row["drops"][test]["miou"] for row in rows)


def readme_table(record: dict[str, Any]) -> str:
    """Return both tables for each model, in Markdown."""
    runs: list[Row] = record["runs"]
    parts = []
    for model in _seen(runs, "model"):
        mine = [row for row in runs if row["model"] == model]
        parts += [f"`{model}`, {OFTEN}, by the number of frames:", _by_count(mine)]
        parts += [f"`{model}`, every engine:", _by_engine(mine)]
    return "\n\n".join(parts)


def _by_count(runs: list[Row]) -> str:
    runs = [row for row in runs if row["engine"] == OFTEN]
    kinds, tests = _seen(runs, "kind"), list(runs[0]["drops"])
    rows = []
    for count in _seen(runs, "frames"):
        cells = [str(count)]
        for kind in kinds:
            some = [row for row in runs if (row["kind"], row["frames"]) == (kind, count)]
            cells += [figure(worst(some, test), 2) for test in tests]
        rows.append(cells)
    return table(["frames", *(f"{kind} set: {test}" for kind in kinds for test in tests)], rows)


def _by_engine(runs: list[Row]) -> str:
    """Return the worst drop on any test set, where all engines were measured."""
    runs = [row for row in runs if row["draw"] == 0]
    kinds = _seen(runs, "kind")
    counts = _seen([row for row in runs if row["engine"] != OFTEN], "frames")
    rows = []
    for engine in _seen(runs, "engine"):
        cells = [engine]
        for key in itertools.product(kinds, counts):
            some = [r for r in runs if (r["engine"], r["kind"], r["frames"]) == (engine, *key)]
            cells.append(figure(max(worst(some, test) for test in some[0]["drops"]), 2))
        rows.append(cells)
    return table(["engine", *(f"{kind} set, {n}" for kind in kinds for n in counts)], rows)


def _seen(runs: list[Row], name: str) -> list[Any]:
    """Return the values of that name, in the order in which they come first."""
    return list(dict.fromkeys(row[name] for row in runs))


def plot(record: dict[str, Any], path: Path) -> None:
    """Write a PNG: the drop over the number of frames, every draw a dot, a line for the worst."""
    from matplotlib.figure import Figure

    runs: list[Row] = [row for row in record["runs"] if row["engine"] == OFTEN]
    models, kinds, counts = (_seen(runs, name) for name in ("model", "kind", "frames"))
    tests = list(runs[0]["drops"])
    drawing = Figure(figsize=(12, 3.5 * len(models)), dpi=90, layout="constrained")
    panels = drawing.subplots(len(models), len(tests), squeeze=False, sharex=True, sharey="row")
    for line, model in zip(panels, models, strict=True):
        for axes, test in zip(line, tests, strict=True):
            for kind, colour in zip(kinds, COLOURS, strict=False):
                some = [r for r in runs if (r["model"], r["kind"]) == (model, kind)]
                dots = [(row["frames"], row["drops"][test]["miou"]) for row in some]
                axes.plot(*zip(*dots, strict=True), "o", ms=4, color=colour)
                high = [worst([r for r in some if r["frames"] == n], test) for n in counts]
                axes.plot(counts, high, color=colour, label=f"calibrated on {kind} frames")
            axes.axhline(0.5, color="#bbbbbb", linestyle="--")
            axes.set(xscale="log", title=f"{model}: {test}", xlabel="calibration frames")
            axes.set_xticks(counts, [str(count) for count in counts])
            axes.grid(alpha=0.3)
        line[0].set_ylabel("drop of mean IoU, points")
    panels[0][0].legend()
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())
