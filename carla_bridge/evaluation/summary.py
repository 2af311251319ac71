"""Many runs in few figures: a row for each driver and latency, the curve, and differences.

    rows = summarize(runs, folder)
    differences(runs, "int8", "float")       # paired on route, repeat and seed
    curve_of(curve_runs)                     # departures per km by latency

Differences carry a confidence interval of the mean by the bootstrap, bias-corrected and
accelerated (B. Efron, "Better bootstrap confidence intervals", JASA 82, 1987; scipy).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from carla_bridge.evaluation.record import (
    Curve,
    CurvePoint,
    Difference,
    Run,
    RunMetrics,
    SummaryRow,
    read_trace,
)

LEVEL = 0.95
FEWEST_PAIRS = 3
"""Two pairs have four resamples: no interval comes of that."""
RESAMPLES = 9999
LOWER_IS_BETTER = {
    "completion": False,
    "driving_score": False,
    "departures_per_km": True,
    "lane_invasions_per_km": True,
    "cross_track_mean_m": True,
    "cross_track_p95_m": True,
    "heading_error_mean_deg": True,
    "steering_reversals_per_min": True,
}
"""Metrics that are compared, and which way is better."""


def summarize(runs: Sequence[Run], folder: Path) -> list[SummaryRow]:
    """Return a row for each driver and latency, in order of their first run."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.driver, run.latency.label), []).append(run)
    return [_row(group, folder) for group in groups.values()]


def _row(runs: list[Run], folder: Path) -> SummaryRow:
    measured = [run.metrics for run in runs if run.metrics is not None]
    scores = [run.metrics.driving_score if run.metrics else 0.0 for run in runs]
    traces = [read_trace(folder, run) for run in runs if run.metrics is not None]
    cross = np.abs(np.concatenate([[], *(trace.cross_track_m for trace in traces)]))
    heading = np.abs(np.concatenate([[], *(trace.heading_error_deg for trace in traces)]))
    ages = [age for trace in traces for age in trace.mask_age_ms if age is not None]
    km = sum(m.distance_m for m in measured) / 1e3
    frames = sum(m.frames_seen + m.frames_dropped for m in measured)
    minutes = sum(m.duration_s for m in measured) / 60.0
    reversals = sum(m.steering_reversals_per_min * m.duration_s / 60.0 for m in measured)

    def total(name: str) -> float:
        return float(sum(getattr(m, name) for m in measured))

    def mean(name: str) -> float:
        return total(name) / len(runs)  # a run of which nothing is known drove nothing

    return SummaryRow(
        driver=runs[0].driver,
        latency=runs[0].latency.label,
        estimate=runs[0].latency.source == "estimate",
        runs=len(runs),
        failed=sum(run.status == "Failed" for run in runs),
        perfect=sum(run.status == "Perfect" for run in runs),
        km=round(km, 4),
        completion=round(mean("completion"), 3),
        driving_score=round(float(np.mean(scores)), 3),
        driving_score_std=round(float(np.std(scores)), 3),
        driving_score_2_1=round(mean("driving_score_2_1"), 3),
        departures_per_km=_rate(total("departures"), km) if km else None,
        lane_invasions_per_km=_rate(total("lane_invasions"), km) if km else None,
        collisions=int(total("collisions")),
        outside_s=round(total("outside_s"), 3),
        cross_track_mean_m=round(float(cross.mean()), 4) if len(cross) else None,
        cross_track_p95_m=round(float(np.percentile(cross, 95.0)), 4) if len(cross) else None,
        cross_track_max_m=round(float(cross.max()), 4) if len(cross) else None,
        heading_error_mean_deg=round(float(heading.mean()), 4) if len(heading) else None,
        steering_reversals_per_min=_rate(reversals, minutes),
        comfortable_percent=round(100.0 * float(np.mean([m.comfort.share for m in measured])), 2)
        if measured
        else 0.0,
        mask_iou=_mean_iou(measured),
        frames_dropped_percent=_rate(100.0 * total("frames_dropped"), frames),
        control_age_p50_ms=round(float(np.percentile(ages, 50.0)), 3) if ages else None,
        control_age_p99_ms=round(float(np.percentile(ages, 99.0)), 3) if ages else None,
    )


def _rate(count: float, whole: float) -> float:
    return round(count / whole, 4) if whole else 0.0


def _mean_iou(measured: list[RunMetrics]) -> dict[str, float | None]:
    """Return each class's mean over the runs in which it occurs."""
    names = dict.fromkeys(name for m in measured for name in m.mask_iou)
    means: dict[str, float | None] = {}
    for name in names:
        known = [v for m in measured if (v := m.mask_iou.get(name)) is not None]
        means[name] = round(float(np.mean(known)), 3) if known else None
    return means


def differences(runs: Sequence[Run], driver: str, other: str) -> list[Difference]:
    """Return driver minus other for each latency and metric, over runs of one route and seed."""
    latencies = dict.fromkeys(run.latency.label for run in runs)
    found = []
    for latency in latencies:
        pairs = _pairs(runs, driver, other, latency)
        for metric in LOWER_IS_BETTER if pairs else ():
            values = [getattr(a, metric) - getattr(b, metric) for a, b in pairs]
            found.append(difference(metric, driver, other, latency, values))
    return found


def _pairs(
    runs: Sequence[Run], driver: str, other: str, latency: str
) -> list[tuple[RunMetrics, RunMetrics]]:
    def of(name: str) -> dict[tuple[str, int, int], RunMetrics]:
        return {
            (run.route.map, run.route.number, run.repeat): run.metrics
            for run in runs
            if run.driver == name and run.latency.label == latency and run.metrics is not None
        }

    mine, others = of(driver), of(other)
    return [(mine[key], others[key]) for key in mine if key in others]


def difference(
    metric: str, driver: str, other: str, latency: str, values: Sequence[float]
) -> Difference:
    """Return the mean of paired differences with its interval, where there can be one."""
    mean = float(np.mean(values))
    low, high, method = _interval(np.asarray(values, float))
    lower = LOWER_IS_BETTER[metric]
    worse = low is not None and high is not None and (low > 0.0 if lower else high < 0.0)
    return Difference(
        metric=metric,
        driver=driver,
        other=other,
        latency=latency,
        pairs=len(values),
        mean=round(mean, 5),
        low=low,
        high=high,
        level=100.0 * LEVEL,
        method=method,
        worse=worse,
    )


def _interval(values: np.ndarray) -> tuple[float | None, float | None, str]:
    """Return (low, high, method); BCa is not defined where resamples do not differ enough."""
    if len(values) < FEWEST_PAIRS:
        return None, None, "too few pairs"
    if np.ptp(values) < 1e-12:
        only = round(float(values[0]), 5)
        return only, only, "exact"
    from scipy.stats import bootstrap

    for name, method in (("BCa bootstrap", "BCa"), ("percentile bootstrap", "percentile")):
        with np.errstate(all="ignore"):
            result = bootstrap(
                (values,),
                np.mean,
                confidence_level=LEVEL,
                n_resamples=RESAMPLES,
                method=method,
                random_state=np.random.default_rng(0),
            )
        low, high = (float(bound) for bound in result.confidence_interval)
        if np.isfinite(low) and np.isfinite(high):
            return round(low, 5), round(high, 5), name
    return None, None, "too few pairs"


def curve_of(runs: Sequence[Run]) -> Curve | None:
    """Return departures per km by latency; every latency was driven on the same routes."""
    if not runs:
        return None
    groups: dict[float, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.latency.p50_ms):
        groups.setdefault(run.latency.p50_ms, []).append(run)
    points = [_point(latency_ms, group) for latency_ms, group in groups.items()]
    largest = None
    for point in points:
        if not point.keeps_lane:
            break
        largest = point.latency_ms
    routes = dict.fromkeys(run.route.name for run in runs)
    return Curve(driver=runs[0].driver, routes=list(routes), points=points, largest_ms=largest)


def _point(latency_ms: float, runs: list[Run]) -> CurvePoint:
    measured = [run.metrics for run in runs if run.metrics is not None]
    km = sum(m.distance_m for m in measured) / 1e3
    departures = sum(m.departures for m in measured)
    return CurvePoint(
        latency_ms=latency_ms,
        departures_per_km=_rate(departures, km),
        completion=round(sum(m.completion for m in measured) / len(runs), 3),
        cross_track_p95_m=round(max((m.cross_track_p95_m for m in measured), default=0.0), 4),
        keeps_lane=not departures and all(run.status != "Failed" for run in runs),
    )
