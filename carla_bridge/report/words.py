"""What the figures of a drive say, in words that claim no more than the figures do.

    headline(results)                # "int8: route completion 100.0 %, ..."
    difference_words(difference)     # "no difference shown: the interval holds zero"

Pure functions from a record to text; nothing here is escaped, the template does that.
"""

from __future__ import annotations

from statistics import median

from carla_bridge.evaluation.record import (
    Curve,
    Difference,
    LatencyInfo,
    Results,
    Run,
    SummaryRow,
)
from edge_seg.figures import figure
from edge_seg.report.record import known

ESTIMATE = "an estimate"
MINUS = "\u2212"
METRICS = {
    "completion": "route completion, points",
    "driving_score": "driving score, points",
    "departures_per_km": "departures per km",
    "lane_invasions_per_km": "lane invasions per km",
    "cross_track_mean_m": "cross-track error, mean, m",
    "cross_track_p95_m": "cross-track error, p95, m",
    "heading_error_mean_deg": "heading error, mean, degrees",
    "steering_reversals_per_min": "steering reversals per minute",
}
"""What is compared, and in which unit."""


def headline(results: Results) -> str:
    """Return the one sentence that the page opens with."""
    row = leading_row(results)
    unfinished = "" if results.status == "Finished" else "Unfinished: "
    if row is None:
        done = sum(run.status != "Started" for run in results.runs)
        return f"{unfinished}{done} of {len(results.runs)} runs ended, and none was summed up"
    late = latency_words(latency_of(results, row.latency))
    if row.failed:
        reasons = dict.fromkeys(
            run.reason
            for run in results.runs
            if run.status == "Failed"
            and (run.driver, run.latency.label) == (row.driver, row.latency)
        )
        late += f"; {row.failed} of {row.runs} runs failed: {', '.join(reasons)}"
    return (
        f"{unfinished}{row.driver}: route completion {number(row.completion, 1)} %, "
        f"{number(row.departures_per_km)} departures per km, {late}"
    )


def leading_row(results: Results) -> SummaryRow | None:
    """Return the row that the page opens with: the asked driver, at its device's usual latency."""
    mine = [row for row in results.summary if row.driver == results.request.driver]
    rows = mine or results.summary
    late = [row for row in rows if latency_of(results, row.latency).p50_ms > 0]
    return next(iter(late or rows), None)


def latency_of(results: Results, label: str) -> LatencyInfo:
    """Return what is known of a latency; one that nobody asked for has only its label."""
    asked = {latency.label: latency for latency in results.request.latencies}
    used = {run.latency.label: run.latency for run in results.runs}
    return asked.get(label) or used.get(label) or LatencyInfo(label=label)


def latency_words(latency: LatencyInfo) -> str:
    """Return a latency as part of a sentence; an estimate is called so.

    >>> latency_words(LatencyInfo(label="p50", source="estimate", device="pi5", p50_ms=80))
    'every mask 80 ms late (p50, pi5, an estimate)'
    """
    if not latency.p50_ms:
        return "with no latency" if latency.source == "none" else latency_name(latency)
    if latency.fixed:
        words = f"every mask {latency.p50_ms:.3g} ms late"
    else:
        words = f"masks {latency.p50_ms:.3g} ms late (median; p99 {latency.p99_ms:.3g} ms)"
    label = plain(latency.label)
    parts = [label] if label not in words else []
    parts += [latency.device] if latency.device and latency.device not in label else []
    parts.append(ESTIMATE if latency.source == "estimate" else str(latency.source))
    return f"{words} ({', '.join(parts)})"


def whence(latency: LatencyInfo) -> str:
    """Return where a latency is from, for the line below its label."""
    parts = [] if latency.source in ("none", "estimate") else [str(latency.source)]
    parts += [latency.device] if latency.device not in latency.label else []
    if latency.p50_ms and latency.fixed:
        parts.append(f"always {latency.p50_ms:.3g} ms")
    elif latency.p50_ms:
        parts.append(f"p50 {latency.p50_ms:.3g} ms, p99 {latency.p99_ms:.3g} ms")
    return ", ".join(parts)


def run_name(run: Run) -> str:
    """Return what a run is called: ``int8, latency p50, repeat 1``."""
    return f"{run.driver}, {latency_name(run.latency)}, repeat {run.repeat}"


def latency_name(latency: LatencyInfo) -> str:
    """Return a latency's label as part of a name; an estimate is called so."""
    estimate = f" ({ESTIMATE})" if latency.source == "estimate" else ""
    return f"latency {plain(latency.label)}{estimate}"


def plain(label: str) -> str:
    """Return a latency's label without the word that is said beside it anyway.

    >>> plain("pi5 (estimate) p50")
    'pi5 p50'
    """
    return label.replace(" (estimate)", "")


def metric_name(metric: str) -> str:
    """Return a metric's name with its unit; one that is not known keeps its own."""
    return METRICS.get(metric, metric)


def difference_words(difference: Difference) -> str:
    """Return what an interval allows to say about a driver against the other."""
    low, high = difference.low, difference.high
    if not known(low) or not known(high):
        return f"nothing can be said: {difference.method}"
    if low == high == 0:
        return f"the same in all {difference.pairs} pairs"
    if low <= 0 <= high:
        return "no difference shown: the interval holds zero"
    if difference.worse:
        return f"{difference.driver} is worse: the whole interval is on the bad side of zero"
    return f"{difference.driver} is better: the whole interval is on the good side of zero"


def curve_words(curve: Curve) -> str:
    """Return what the curve says, and of which latencies it says nothing."""
    tried = sorted(point.latency_ms for point in curve.points)
    if not tried:
        return "No latency was tried."
    routes = f"on {len(curve.routes)} route{'' if len(curve.routes) == 1 else 's'}"
    if curve.largest_ms is None:
        least = f"at the smallest latency that was tried, {tried[0]:g} ms"
        return f"{curve.driver} loses the lane {routes} {least}."
    beyond = [late for late in tried if late > curve.largest_ms]
    kept = f"{curve.driver} keeps the lane {routes} up to {curve.largest_ms:g} ms"
    if beyond:
        return f"{kept}, and loses it at {beyond[0]:g} ms, the next that was tried."
    return f"{kept}, the largest that was tried; where it would lose it is not known."


def mask_times(results: Results) -> str:
    """Return what this machine took for a mask, by driver; "" where none was made.

    From the frame to the mask, so through a ROS 2 node it is the way to it and back.
    """
    drivers = dict.fromkeys(run.driver for run in results.runs if run.driver != "labels")
    times = {
        driver: [
            run.times.mask_p50_ms
            for run in results.runs
            if run.driver == driver and run.times.mask_p50_ms is not None
        ]
        for driver in drivers
    }
    return ", ".join(f"{driver} {median(ms):.1f} ms" for driver, ms in times.items() if ms)


def run_end(run: Run) -> str:
    """Return why a run ended as it did, or nothing where all went well."""
    return ": ".join(part for part in (run.reason, run.detail) if part)


def number(value: float | None, digits: int = 2) -> str:
    """Return a figure with a true minus sign; a dash where it was not measured."""
    return figure(value if known(value) else None, digits, "\u2013").replace("-", MINUS)


def signed(value: float | None, digits: int = 2) -> str:
    """Return a difference with its sign.

    >>> signed(0.25), signed(0.0)
    ('+0.25', '0.00')
    """
    text = number(value, digits)
    return f"+{text}" if known(value) and round(value, digits) > 0 else text
