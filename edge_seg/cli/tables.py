"""Tables that several commands print."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from edge_seg.bench import Benchmark
from edge_seg.bundle.manifest import Candidate, Driven
from edge_seg.depth_metrics import DepthErrors
from edge_seg.figures import figure
from edge_seg.metrics import Evaluation

_COLOURS = {"winner": "bold green", "rejected": "yellow", "failed": "red", "baseline": "dim"}


def tournament_table(candidates: Sequence[Candidate]) -> Table:
    """Return the tournament: a row a candidate."""
    table = Table(title="tournament", title_justify="left")
    for name in ("engine", "precision", "status"):
        table.add_column(name)
    score = "SSIM %" if any(row.depth for row in candidates) else "mIoU %"
    for name in (score, "drop", "p50 ms", "p99 ms", "MB", "peak MB"):
        table.add_column(name, justify="right")
    table.add_column("reason, or how it ran", overflow="fold")
    for row in candidates:
        table.add_row(
            row.engine,
            row.precision,
            row.status,
            figure(row.score),
            figure(row.drop),
            figure(row.p50_ms, 1),
            figure(row.p99_ms, 1),
            figure(row.size_bytes and row.size_bytes / 1e6),
            figure(row.peak_rss_bytes and row.peak_rss_bytes / 1e6, 0),
            Text(row.reason or _how(row)),
            style=_COLOURS.get(row.status),
        )
    return table


def evaluation_table(evaluation: Evaluation) -> Table:
    """Return the scores: a row a class, of a depth one a measure."""
    table = Table(title=f"{evaluation.frame_set}: {evaluation.frames} frames", title_justify="left")
    if evaluation.depth is not None:
        return _depth_rows(table, evaluation.depth)
    table.add_column("class")
    for name in ("IoU %", "Dice %", f"boundary F1 % at {evaluation.boundary_tolerance_px:g} px"):
        table.add_column(name, justify="right")
    for name, iou in evaluation.iou.items():
        f1 = evaluation.boundary_f1.get(name)
        table.add_row(Text(name), figure(iou), figure(evaluation.dice.get(name)), figure(f1))
    table.add_row("mean", figure(evaluation.miou), "", "", style="bold")
    return table


def _depth_rows(table: Table, errors: DepthErrors) -> Table:
    table.add_column("depth")
    table.add_column("mean over frames", justify="right")
    table.add_row("SSIM %", figure(errors.ssim), style="bold")
    table.add_row("MSE, of shares of the scale", figure(errors.mse, 5))
    table.add_row("RMSE, m", figure(errors.rmse_m))
    table.add_row("absolute relative error, %", figure(errors.abs_rel))
    table.add_row("within 1.25 of the truth, %", figure(errors.within_125))
    return table


def benchmark_table(benchmark: Benchmark) -> Table:
    """Return the latencies: a row an entrant."""
    device = benchmark.device.model or benchmark.machine.cpu
    table = Table(title=f"latency on {device}", title_justify="left", caption_justify="left")
    table.add_column("entrant")
    for name in ("pre", "inference", "post", "total p50", "p90", "p99", "fps", "peak MB", "ratio"):
        table.add_column(name, justify="right")
    for row in benchmark.entries:
        total = row.stages["total"]
        table.add_row(
            Text(row.name),
            *(
                figure(row.stages[stage].p50_ms)
                for stage in ("preprocess", "inference", "postprocess")
            ),
            figure(total.p50_ms),
            figure(total.p90_ms),
            figure(total.p99_ms),
            figure(row.fps, 1),
            figure(row.peak_rss_bytes / 1e6, 0),
            figure(benchmark.ratios[row.name]),
        )
    notes = [Text(f"warning: {line}", style="yellow") for line in benchmark.warnings]
    if benchmark.attached:
        notes.append(Text(f"attached to {benchmark.attached}", style="green"))
    table.caption = Text("\n").join(notes) if notes else None
    return table


def driven_table(driven: Sequence[Driven]) -> Table:
    """Return how a bundle drove: a row for each latency and place."""
    table = Table(title="Driven", box=box.SIMPLE)
    table.add_column("latency", overflow="fold")
    titles = ("runs", "km", "done %", "score", "departures/km", "lane p95 m", "mIoU %")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    for row in driven:
        known = [iou for iou in row.mask_iou.values() if iou is not None]
        numbers = (row.km, row.completion, row.driving_score, row.departures_per_km)
        cars = f", {row.traffic} other cars" if row.traffic else ""
        table.add_row(
            Text(f"{row.latency}, an estimate" if _unsaid(row) else row.latency),
            str(row.runs),
            *(figure(number) for number in numbers),
            figure(row.cross_track_p95_m),
            figure(sum(known) / len(known) if known else None),
            Text(f"{', '.join(row.maps)} at {row.speed_kmh:g} km/h, {row.weather}{cars} "
                 f"({row.simulator})"),
        )  # fmt: skip
    return table


def _unsaid(row: Driven) -> bool:
    return row.estimate and "estimate" not in row.latency


def _how(row: Candidate) -> str:
    kept = [f"in float: {', '.join(row.float_layers)}"] if row.float_layers else []
    by = f"run by {row.run_by} in its place" if row.run_by else ""
    method = row.method if row.method != "ptq" else ""
    return "; ".join([*kept, *filter(None, [method, row.way, by])])
