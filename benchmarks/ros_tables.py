"""The README's tables of the ROS 2 node, from the records of `benchmarks.ros`; no ROS is needed.

print(stages_table(record["models"]))
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.markdown import table
from ros_nodes.segmentation.counts import STAGES

Record = dict[str, Any]


def stages_table(models: Record) -> str:
    """Return the README's table of each stage at 30 Hz, milliseconds."""
    heads = ["stage, ms"]
    heads += [f"{name} {quantile}" for name in models for quantile in ("p50", "p99")]
    runs = [model["normal"] for model in models.values()]
    lines = [[stage, *_cells(run["stages_ms"][stage] for run in runs)] for stage in STAGES]
    lines.append(
        ["**arrival to publish, less inference**", *_cells(run["added_ms"] for run in runs)]
    )
    return table(heads, lines)


def load_table(models: Record) -> str:
    """Return the README's table of what becomes of the frames, at 30 Hz and under overload."""
    runs = {
        f"{name}, {run['rate_hz']:.0f} Hz": run
        for name, model in models.items()
        for run in (model["normal"], model["overload"])
    }
    rows = {
        "frames sent": lambda run: f"{run['sent']}",
        "masks": lambda run: f"{run['masks']}",
        "dropped for a newer frame": lambda run: f"{run['dropped']}",
        "never arrived (best effort)": lambda run: f"{run['lost_before_the_node']}",
        "otherwise lost": lambda run: f"{run['unaccounted']}",
        "inference p50, ms": lambda run: f"{run['stages_ms']['inference']['p50']:.1f}",
        "stamp to mask published p50, ms": lambda run: f"{run['stages_ms']['total']['p50']:.1f}",
        "a 50 ms timer late by at most, ms": lambda run: f"{run['timer_late_ms']:.0f}",
    }
    lines = [[name, *(show(run) for run in runs.values())] for name, show in rows.items()]
    return table(["", *runs], lines)


def soak_words(record: Record) -> str:
    """Return the README's sentence on the long run."""
    minutes = record["minutes"]
    first, last = minutes[min(2, len(minutes) - 1)], minutes[-1]
    sent = sum(row["sent"] for row in minutes)
    lost = sum(row["lost"] for row in minutes)
    memory = [f"{row['rss_bytes'] / 1e6:.1f}" for row in (first, last)]
    shared = [f"{row['shm_bytes'] / 1e6:.1f}" for row in (first, last)]
    left = record["shm_left_bytes"] / 1e6
    return (
        f"{record['seconds'] / 60:.0f} minutes at 30 Hz ({record['bundle']}): {sent} frames, "
        f"{lost} lost outside the counted drops. The node's memory was {memory[0]} MB in minute 3 "
        f"and {memory[1]} MB in the last, shared memory {shared[0]} and {shared[1]} MB; "
        f"{left:.1f} MB of it were left when both processes had ended."
    )


def _cells(quantiles: Iterable[dict[str, float]]) -> list[str]:
    return [f"{row[name]:.2f}" for row in quantiles for name in ("p50", "p99")]
