"""Tables that ``edge-seg drive`` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from carla_bridge.evaluation.record import Curve, Difference, Results
from edge_seg.figures import figure


def summary_table(results: Results) -> Table:
    """Return a row for each driver and latency."""
    table = Table(title=f"driven in {results.request.server}", title_justify="left")
    table.add_column("driver")
    table.add_column("latency", overflow="fold")
    for title in (
        "runs",
        "failed",
        "km",
        "done %",
        "score",
        "out/km",
        "lines/km",
        "hits",
        "off m",
        "p95 m",
        "IoU %",
        "lost %",
        "age ms",
    ):
        table.add_column(title, justify="right")
    for row in results.summary:
        table.add_row(
            Text(row.driver),
            Text(row.latency, style="yellow" if row.estimate else ""),
            str(row.runs),
            str(row.failed),
            figure(row.km),
            figure(row.completion, 1),
            figure(row.driving_score, 1),
            figure(row.departures_per_km),
            figure(row.lane_invasions_per_km),
            str(row.collisions),
            figure(row.cross_track_mean_m),
            figure(row.cross_track_p95_m),
            figure(row.mask_iou.get("lane_marking"), 1),
            figure(row.frames_dropped_percent, 1),
            figure(row.control_age_p50_ms, 0),
        )
    table.caption = Text(
        f"score: {results.score_form}; out: departures, lines: lane invasions, off: mean and p95 "
        "from the lane's middle, IoU: of lane markings, lost: frames dropped, age: of the mask at "
        "a control, median"
    )
    table.caption_justify = "left"
    return table


def difference_table(differences: Sequence[Difference]) -> Table:
    """Return a row for each metric and latency."""
    first = differences[0]
    table = Table(title=f"{first.driver} minus {first.other}", title_justify="left")
    for title in ("metric", "latency"):
        table.add_column(title)
    for title in ("pairs", "mean", f"{first.level:g} % interval"):
        table.add_column(title, justify="right")
    table.add_column("by")
    for row in differences:
        interval = "-" if row.low is None else f"{figure(row.low, 3)} to {figure(row.high, 3)}"
        table.add_row(
            row.metric,
            Text(row.latency),
            str(row.pairs),
            figure(row.mean, 3),
            interval,
            row.method,
            style="red" if row.worse else None,
        )
    return table


def curve_line(curve: Curve) -> str:
    """Return the curve in one line."""
    points = ", ".join(
        f"{point.latency_ms:g} ms {figure(point.departures_per_km)}" for point in curve.points
    )
    kept = "none" if curve.largest_ms is None else f"{curve.largest_ms:g} ms"
    return f"departures per km by latency: {points}; the largest that keeps the lane: {kept}"
