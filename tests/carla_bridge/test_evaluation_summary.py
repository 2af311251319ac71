"""Differences with intervals, and the curve of latencies, on made-up runs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra carla")

from drive_results_by_hand import write_folder

from carla_bridge.evaluation.record import LatencyInfo, RouteInfo, Run, read_trace
from carla_bridge.evaluation.summary import (
    curve_of,
    difference,
    differences,
    summarize,
)


def compared(values: list[float], metric: str = "cross_track_p95_m") -> tuple:
    found = difference(metric, "int8", "float", "0 ms", values)
    return found.low, found.high, found.method, found.worse


def test_equal_differences_need_no_bootstrap() -> None:
    assert compared([0.0, 0.0, 0.0]) == (0.0, 0.0, "exact", False)
    assert compared([0.5, 0.5, 0.5]) == (0.5, 0.5, "exact", True)


def test_two_pairs_are_too_few() -> None:
    assert compared([1.0, 2.0]) == (None, None, "too few pairs", False)


def test_an_interval_covers_its_mean_and_says_what_is_worse() -> None:
    dice = np.random.default_rng(4)
    low, high, method, worse = compared((0.3 + 0.1 * dice.standard_normal(20)).tolist())
    assert method == "BCa bootstrap" and low < 0.3 < high and worse
    assert high - low == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(20), rel=0.4)
    assert compared([0.1, -0.1, 0.2, -0.2])[3] is False


def test_more_completion_is_better_and_less_error_is() -> None:
    gain = [5.0, 6.0, 7.0, 8.0]
    assert not compared(gain, "completion")[3] and compared(gain)[3]
    loss = [-value for value in gain]
    assert compared(loss, "completion")[3] and not compared(loss)[3]


def test_the_same_differences_give_the_same_interval() -> None:
    values = [0.1, 0.4, -0.2, 0.3, 0.25]
    assert compared(values) == compared(values)


def test_runs_pair_by_route_and_repeat(tmp_path) -> None:
    results = write_folder(tmp_path)
    drivers = list(dict.fromkeys(run.driver for run in results.runs))
    for found in differences(results.runs, drivers[0], drivers[1]):
        assert found.pairs >= 1
    assert differences(results.runs, drivers[0], "nobody") == []


def test_a_summary_pools_the_ticks_of_its_runs(tmp_path) -> None:
    results = write_folder(tmp_path)
    runs = [run for run in results.runs if run.trace and run.metrics]
    rows = summarize(runs, tmp_path)
    assert len(rows) == len({(run.driver, run.latency.label) for run in runs})
    first = [r for r in runs if (r.driver, r.latency.label) == (rows[0].driver, rows[0].latency)]
    ticks = np.abs(np.concatenate([read_trace(tmp_path, run).cross_track_m for run in first]))
    assert rows[0].cross_track_max_m == pytest.approx(ticks.max(), abs=1e-4)
    assert rows[0].km == pytest.approx(sum(run.metrics.distance_m for run in first) / 1e3, abs=1e-4)


def test_a_run_of_which_nothing_is_known_counts_as_nothing_driven(tmp_path) -> None:
    lost = run_at(0.0, None)
    (row,) = summarize([lost], tmp_path)
    assert (row.runs, row.failed, row.completion, row.driving_score, row.km) == (1, 1, 0, 0, 0)
    assert row.departures_per_km is row.cross_track_p95_m is row.heading_error_mean_deg is None


def run_at(latency_ms: float, metrics: object) -> Run:
    return Run(
        key=f"k{latency_ms}",
        driver="int8",
        latency=LatencyInfo(label=f"{latency_ms:g} ms", p50_ms=latency_ms),
        route=RouteInfo(map="Town", map_file="", number=0, spawn=0, seed=0, length_m=100.0),
        repeat=0,
        seed=0,
        status="Completed" if metrics else "Failed",
        metrics=metrics,
    )


def test_the_curve_ends_where_the_lane_is_lost_first(tmp_path) -> None:
    """Kept at 0 and 50, lost at 100, kept at 200 by luck: 50 is the answer."""
    import msgspec

    known = next(run.metrics for run in write_folder(tmp_path).runs if run.metrics)
    kept = msgspec.structs.replace(known, departures=0, distance_m=500.0, completion=100.0)
    lost = msgspec.structs.replace(kept, departures=2)
    curve = curve_of(
        [run_at(200.0, kept), run_at(0.0, kept), run_at(100.0, lost), run_at(50.0, kept)]
    )
    assert curve is not None
    assert [point.latency_ms for point in curve.points] == [0.0, 50.0, 100.0, 200.0]
    assert [point.departures_per_km for point in curve.points] == [0.0, 0.0, 4.0, 0.0]
    assert curve.largest_ms == 50.0
    assert curve_of([]) is None
    none = curve_of([run_at(0.0, lost)])
    assert none is not None and none.largest_ms is None
