"""What the lighter lane-unet costs and saves: both packed for x86, then timed in turns.

record = compare(pack)      # pack(name, *options) returns a bundle
light_table(record)         # between <!-- light --> and <!-- end -->
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.markdown import table
from edge_seg.figures import figure
from edge_seg.models.catalogue import entry

NAMES = ("lane-unet", "lane-unet-light")
ROUNDS = 5


def compare(pack: Callable[..., Path]) -> dict[str, Any]:
    """Return each network's winner and float32 row, and the benches of one beside the other."""
    bundles, packs = [], {}
    for name in NAMES:
        record = Path(f"{name}.json")
        bundles.append(pack(name, "--engine", "openvino", "--json", str(record)))
        packs[name] = _rows(json.loads((bundles[-1].parent / record).read_text()))
    command = [sys.executable, "-m", "edge_seg.cli", "bench", str(bundles[0]), "--vs"]
    command += [str(bundles[1]), "--json"]
    benches = []
    for _ in range(ROUNDS):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        benches.append([row["stages"] for row in json.loads(done.stdout)["entries"]])
    return {"packs": packs, "benches": benches}


def _rows(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    rows = {f"{row['engine']} {row['precision']}": row for row in record["candidates"]}
    return {name: rows[f"openvino {name}"] for name in ("float32", "int8")}


def light_table(record: dict[str, Any]) -> str:
    """Return the table, in Markdown: a row for each network."""
    heads = ["network", "parameters", "GMAC", "float32: mIoU, %", "int8: mIoU, %"]
    heads += ["road", "lane marking", "MB", "frame to mask, p50 ms", "times as fast"]
    medians = [
        sorted(bench[place]["total"]["p50_ms"] for bench in record["benches"])[ROUNDS // 2]
        for place in range(len(NAMES))
    ]
    rows = []
    for name, median in zip(NAMES, medians, strict=True):
        network, packed = entry(name), record["packs"][name]
        int8 = packed["int8"]
        rows.append(
            [
                f"`{name}`",
                f"{network.parameters / 1e6:.2f} M",
                figure(network.gmac),
                figure(packed["float32"]["miou"]),
                figure(int8["miou"]),
                *(figure(int8["iou"][label]) for label in ("road", "lane_marking")),
                figure(int8["size_bytes"] / 1e6),
                figure(median, 1),
                figure(medians[0] / median),
            ]
        )
    return table(heads, rows)
