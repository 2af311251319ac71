"""How a bundle drove, kept and shown: from a result's folder to the README's tables.

    record = kept(Path("result"))         # what `edge-seg drive -o result` wrote, less its runs
    tables(record)["drive"]               # between <!-- drive --> and <!-- end -->
    by_route(record)                      # a row a route, at no latency

`drive` is a row for each driver and latency, `drive-difference` the paired differences with
their intervals, `drive-curve` departures per km by latency. An estimated latency is called so.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.markdown import table
from carla_bridge.evaluation.record import Results, Run, SummaryRow, Times, read_results
from carla_bridge.report import sections, words
from carla_bridge.report.words import number, signed
from edge_seg.errors import EdgeSegError

Record = dict[str, Any]
LABELS = "labels"
SHOWN = 6


def kept(folder: Path) -> Record:
    """Return a finished drive's figures; raises `EdgeSegError` where it is not finished."""
    results = read_results(folder)
    if results.status != "Finished":
        raise EdgeSegError(f"{folder} is not driven to its end: go on with edge-seg drive --resume")
    routes = [route for route, _ in sections.by_route(results.runs)]
    bare = msgspec.structs.replace(results, runs=[], curve_runs=[], times=Times())
    return {
        "ends": dict(sorted(Counter(map(_end, results.runs)).items())),
        "routes_m": {route.name: route.length_m for route in routes},
        "guided_m": {route.name: route.guided_m for route in routes},
        "routes": [_route(run) for run in results.runs if _is_first(results, run)],
        "results": msgspec.to_builtins(bare),
    }


def _is_first(results: Results, run: Run) -> bool:
    first = results.runs[0]
    return (run.driver, run.latency.label) == (first.driver, first.latency.label)


def _route(run: Run) -> Record:
    """Return a run's row; figures are None where it was not driven."""
    metrics = run.metrics
    return {
        "map": run.route.map,
        "length_m": run.route.length_m,
        "guided_m": run.route.guided_m,
        "completion": metrics and metrics.completion,
        "departures": metrics and metrics.departures,
        "p95_m": metrics and metrics.cross_track_p95_m,
        "max_m": metrics and metrics.cross_track_max_m,
    }


def by_route(record: Record) -> str:
    """Return the table of a record's routes."""
    heads = ["map", "route, m", "guided, m", "completion, %", "departures"]
    rows = [
        [
            row["map"],
            number(row["length_m"], 0),
            number(row["guided_m"], 0),
            number(row["completion"], 1),
            number(row["departures"], 0),
            number(row["p95_m"]),
            number(row["max_m"]),
        ]
        for row in record["routes"]
    ]
    request = record["results"]["request"]
    made = table([*heads, "error p95, m", "max, m"], rows)
    return f"{made}\n\n{request['speed_kmh']:g} km/h, {request['weather']}, {request['server']}."


def shown(folder: Path) -> list[str]:
    """Return six of the pictures that a drive's first runs kept, evenly spaced, less suffixes."""
    results = read_results(folder)
    kept = [
        picture.picture.removesuffix(".jpg")
        for run in results.runs
        if _is_first(results, run)
        for moment in run.moments
        for picture in moment.pictures
    ]
    if len(kept) < SHOWN:
        raise EdgeSegError(f"{folder} has {len(kept)} pictures: drive without --no-video")
    return [kept[i] for i in np.linspace(0, len(kept) - 1, SHOWN).round().astype(int)]


def _end(run: Run) -> str:
    return f"{run.status}: {run.reason}" if run.reason else run.status


def tables(record: Record) -> dict[str, str]:
    """Return the tables by the names that they have in the README."""
    results = msgspec.convert(record["results"], Results)
    made = {"drive": _summary(results, record)}
    if results.differences:
        made["drive-difference"] = _differences(results)
    if results.curve is not None:
        made["drive-curve"] = _curve(results)
    return made


def _summary(results: Results, record: Record) -> str:
    heads = ["driver", "latency", "completion, %", "driving score", "departures/km"]
    heads += ["error mean, m", "p95, m", "max, m", "road IoU, %", "marking IoU, %"]
    heads += ["frames dropped, %", "control age p50/p99, ms"]
    rows = [_row(results, row) for row in results.summary]
    request = results.request
    lengths, guided = record["routes_m"].values(), sum(record["guided_m"].values())
    repeats = f", {request.repeat} times each" if request.repeat > 1 else ""
    routes = f"{len(lengths)} route{'' if len(lengths) == 1 else 's'} of {', '.join(request.maps)}"
    ends = ", ".join(f"{count} {end}" for end, count in record["ends"].items())
    return (
        f"{table(heads, rows)}\n\n{routes}, {number(sum(lengths) / 1e3, 1)} km in all, "
        f"{number(guided, 0)} m of it guided through junctions{repeats}; "
        f"{request.speed_kmh:g} km/h, {request.weather}, {request.server}. "
        f"Runs: {ends}. Score: {results.score_form}."
    )


def _row(results: Results, row: SummaryRow) -> list[str]:
    age = "/".join(number(v, 0) for v in (row.control_age_p50_ms, row.control_age_p99_ms))
    return [
        row.driver,
        _latency(results, row.latency),
        number(row.completion, 1),
        number(row.driving_score, 1),
        number(row.departures_per_km),
        number(row.cross_track_mean_m),
        number(row.cross_track_p95_m),
        number(row.cross_track_max_m),
        number(row.mask_iou.get("road"), 1),
        number(row.mask_iou.get("lane_marking"), 1),
        number(row.frames_dropped_percent, 1),
        age,
    ]


def _latency(results: Results, label: str) -> str:
    """Return a latency's name, with what it amounts to and that it is an estimate."""
    latency = words.latency_of(results, label)
    name = words.plain(label)
    if latency.p50_ms and f"{latency.p50_ms:g} ms" not in name:
        name += f", {latency.p50_ms:.3g} ms"
    return f"{name} ({words.ESTIMATE})" if latency.source == "estimate" else name


def _differences(results: Results) -> str:
    first = results.differences[0]
    heads = ["metric", "latency", "pairs", "difference", f"{first.level:g} % interval", ""]
    rows = []
    for row in results.differences:
        known = row.low is not None and row.high is not None
        interval = f"{signed(row.low)} to {signed(row.high)}" if known else "\u2013"
        cells = [words.metric_name(row.metric), _latency(results, row.latency), str(row.pairs)]
        rows.append([*cells, signed(row.mean), interval, words.difference_words(row)])
    return f"{first.driver} minus {first.other}:\n\n{table(heads, rows)}"


def _curve(results: Results) -> str:
    curve = results.curve
    assert curve is not None
    heads = ["latency, ms", "departures/km", "completion, %", "error p95, m", "lane"]
    rows = [
        [
            f"{point.latency_ms:g}",
            number(point.departures_per_km),
            number(point.completion, 1),
            number(point.cross_track_p95_m),
            "kept" if point.keeps_lane else "lost",
        ]
        for point in curve.points
    ]
    return f"{table(heads, rows)}\n\n{words.curve_words(curve)}"
