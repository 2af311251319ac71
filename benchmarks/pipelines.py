"""A packed bundle against each engine's usual pipeline, all in turns in one run.

result = compare("lane-unet", bundle, frames=100)
show("lane-unet", result)
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.entrant import Entrant
from benchmarks.peers import PEERS
from edge_seg.figures import figure

ROUNDS = 10
console = Console()


def compare(model: str, bundle: Path, frames: int) -> dict[str, Any]:
    """Return a row for the bundle and each peer, timed in turns, and how far apart they are."""
    with ExitStack() as stack:
        arguments = {"edge-seg bundle": ("bundle", str(bundle))}
        arguments |= {name: ("peer", name) for name in PEERS}
        entrants = {}
        for name, (kind, what) in arguments.items():
            console.print(f"{model}: preparing {name}")
            entrant = Entrant(kind, what, model, "lane-mini", "lane-test")
            entrants[name] = stack.enter_context(entrant)
        rows: dict[str, list[list[float]]] = {name: [] for name in entrants}
        for _ in range(ROUNDS):
            for name, entrant in entrants.items():
                rows[name] += entrant.time(-(-frames // ROUNDS))
        scores = {name: entrant.evaluate() for name, entrant in entrants.items()}
        memory = {name: entrant.memory() for name, entrant in entrants.items()}
    totals = {name: np.array(values)[:, 0] for name, values in rows.items()}
    medians = {name: float(np.median(values)) for name, values in totals.items()}
    ours = medians.pop("edge-seg bundle")
    engine_share = np.array(rows["edge-seg bundle"])
    fastest = min(medians, key=medians.__getitem__)
    result = {
        "entrants": {
            name: {
                "p50_ms": float(np.percentile(values, 50)),
                "p90_ms": float(np.percentile(values, 90)),
                "p99_ms": float(np.percentile(values, 99)),
                "times_slower_than_bundle": float(np.median(values) / ours),
                "miou": scores[name]["miou"],
                "iou": scores[name]["iou"],
                "peak_rss_bytes": memory[name],
            }
            for name, values in totals.items()
        },
        "fastest_peer": fastest,
        "speedup_over_fastest_peer": medians[fastest] / ours,
        "speedup_over_torch_float32": medians["torch float32"] / ours,
        "share_outside_engine_percent": float(
            100 * np.median(1 - engine_share[:, 1] / engine_share[:, 0])
        ),
    }
    return result


def show(model: str, result: dict[str, Any]) -> None:
    """Print the rows of `compare`."""
    table = Table(title=model)
    for column in ("entrant", "p50 ms", "p99 ms", "x bundle", "mIoU %", "peak MB"):
        table.add_column(column, justify="left" if column == "entrant" else "right")
    for name, row in result["entrants"].items():
        values = (row["p50_ms"], row["p99_ms"], row["times_slower_than_bundle"], row["miou"])
        table.add_row(name, *(figure(v) for v in values), figure(row["peak_rss_bytes"] / 1e6))
    console.print(table)
    for key in ("speedup_over_fastest_peer", "share_outside_engine_percent"):
        console.print(f"{key}: {result[key]:.2f}")
