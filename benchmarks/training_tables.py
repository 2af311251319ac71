"""The means over a comparison's runs, as rows of text and as the README's table.

for cells in rows(record["runs"]): ...
readme_table(record)    # between <!-- transfer --> (or losses) and <!-- end -->
networks_table(record)  # between <!-- networks --> and <!-- end -->
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.markdown import table
from edge_seg.figures import figure

SIMULATED = "carla_"
"""Sources of this beginning are pictures of a simulator: measured, but in no mean."""
HEADS = ["", "road IoU", "marking IoU", "marking F1", "lane-test road", "lane-test marking"]


def mean(runs: list[dict[str, Any]], measure: str, rendered: bool = False) -> float | None:
    """Return a measure's mean over runs and photographs' sources, or on lane-test alone."""
    values = [
        row[measure]
        for run in runs
        for row in run["scores"]
        if row.get(measure) is not None
        and (row["source"] == "lane-test") == rendered
        and not row["source"].startswith(SIMULATED)
    ]
    return sum(values) / len(values) if values else None


def rows(runs: list[dict[str, Any]]) -> Iterator[list[str]]:
    """Yield a row a training: its name, photographs' measures, and lane-test's marking IoU."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        by_name.setdefault(run["name"], []).append(run)
    for name, group in by_name.items():
        real = (mean(group, m) for m in ("road_iou", "lane_marking_iou", "lane_marking_f1"))
        test = (mean(group, m, rendered=True) for m in ("road_iou", "lane_marking_iou"))
        yield [name, *(figure(value, 1) for value in (*real, *test))]


def readme_table(record: dict[str, Any]) -> str:
    """Return the README's table, in Markdown."""
    text = table([HEADS[0], *(f"{head}, %" for head in HEADS[1:])], rows(record["runs"]))
    training = record["setup"]["training"]
    seeds = len({run["seed"] for run in record["runs"]})
    return (
        f"{text}\n\nMeans over the sources of photographs (they took no part in training), and "
        f"`lane-test`; {training['steps']} steps of {training['batch']} at "
        f"{training['height']}x{training['width']}, {seeds} seed{'s' * (seeds > 1)}."
    )


NETWORK_HEADS = ["", "GMAC", "forward, ms", "road IoU, %", "marking IoU, %", "marking F1, %"]


def network_row(record: dict[str, Any]) -> list[str]:
    """Return a line of the table: size, speed, and the photographs' measures."""
    real = (mean([record], m) for m in ("road_iou", "lane_marking_iou", "lane_marking_f1"))
    speed = (figure(record["gmac"], 2), figure(record["forward_ms"], 1))
    return [record["name"], *speed, *(figure(value, 1) for value in real)]


def networks_table(record: dict[str, Any]) -> str:
    """Return the table of widths and input sizes, in Markdown."""
    training = record["setup"]["training"]
    seeds = len({run["seed"] for run in record["runs"]})
    return (
        f"{table(NETWORK_HEADS, map(network_row, record['runs']))}\n\nMeans over the sources of "
        f"photographs (they took no part in training); {training['steps']} steps of "
        f"{training['batch']}, {seeds} seed{'s' * (seeds > 1)}; "
        "a forward pass is float32 PyTorch's."
    )
