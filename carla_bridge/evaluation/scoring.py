"""From what was driven to what is recorded: a run's metrics, events and worst moments.

    run = scored(job, drive, album)       # Run with status, metrics, events and moments
    run.metrics.departures_per_km

The figures' definitions stand in `metrics`, where the sources are.
"""

from __future__ import annotations

import msgspec
import numpy as np

from carla_bridge.evaluation import metrics
from carla_bridge.evaluation.jobs import Job
from carla_bridge.evaluation.loop import Drive
from carla_bridge.evaluation.pictures import Album
from carla_bridge.evaluation.record import Event, Moment, Run, RunMetrics, Status, Trace

MOMENTS = 3
APART_S = 4.0
"""Between two moments of a run: else all would show the same bend."""
SHORTEST_M = 1.0
"""Rates per kilometre of less are of this much: one departure at the start is not infinite."""


def scored(job: Job, drive: Drive, album: Album | None) -> Run:
    """Return the run's record; writes the pictures of its moments, and the film's."""
    run = job.started()
    trace = drive.trace
    arrays = {name: np.asarray(getattr(trace, name), float) for name in _NUMBERS}
    widths, junction = np.array(drive.lane_width_m), np.array(drive.junction, bool)
    cross = arrays["cross_track_m"]
    outside = metrics.outside_lane(cross, widths, junction, drive.car_width_m)
    trace.outside = outside.tolist()
    if album is not None:
        trace.film_every = album.every
        run.filmed = job.film and album.write_film()
    run.route = msgspec.structs.replace(
        run.route,
        spawn=drive.spawn,
        length_m=round(drive.route.length_m, 3),
        guided_m=round(drive.route.guided_m, 3),
    )
    run.reason, run.detail = drive.reason, drive.detail
    run.trace = f"traces/{run.key}.json"
    if trace.tick:
        departures = _departures(trace, outside)
        run.events = sorted([*drive.events, *departures, _end(run, trace)], key=_time)
        run.metrics = measured(drive, arrays, outside, widths, run.events)
        run.moments = _moments(trace, run.events, album)
    run.status = _status(run)
    return run


_NUMBERS = (
    "time_s",
    "x_m",
    "y_m",
    "speed_mps",
    "steer",
    "progress_m",
    "cross_track_m",
    "heading_error_deg",
    "acceleration_long_mps2",
    "acceleration_lat_mps2",
    "yaw_rate_rps",
)


def measured(
    drive: Drive,
    arrays: dict[str, np.ndarray],
    outside: metrics.Bools,
    lane_width_m: metrics.Floats,
    events: list[Event],
) -> RunMetrics:
    """Return the metrics of a run that has one tick at least."""
    trace, dt_s = drive.trace, drive.trace.dt_s
    cross, heading = np.abs(arrays["cross_track_m"]), np.abs(arrays["heading_error_deg"])
    steps = np.hypot(np.diff(arrays["x_m"]), np.diff(arrays["y_m"]))
    driven_m = float(steps.sum())
    progress_m = float(arrays["progress_m"][-1])
    completed = drive.reason == ""
    completion = 100.0 if completed else 100.0 * progress_m / drive.route.length_m
    beyond = metrics.outside_route(cross, lane_width_m)
    outside_percent = 100.0 * float(steps[beyond[1:]].sum()) / driven_m if driven_m else 0.0
    collisions = [event.key for event in events if event.kind == "collision"]
    score = metrics.driving_score(completion, collisions, outside_percent)
    km = max(progress_m, SHORTEST_M) / 1e3
    counts = {kind: sum(e.kind == kind for e in events) for kind in ("departure", "lane invasion")}
    ages = [age for age in trace.mask_age_ms if age is not None]
    return RunMetrics(
        completion=_rounded(completion),
        distance_m=_rounded(progress_m),
        duration_s=_rounded(len(trace.tick) * dt_s),
        driving_score=_rounded(score.product),
        driving_score_2_1=_rounded(score.sum_form),
        departures=counts["departure"],
        departures_per_km=_rounded(counts["departure"] / km),
        outside_s=_rounded(float(outside.sum()) * dt_s),
        outside_percent=_rounded(outside_percent),
        lane_invasions=counts["lane invasion"],
        lane_invasions_per_km=_rounded(counts["lane invasion"] / km),
        collisions=len(collisions),
        cross_track_mean_m=_rounded(float(cross.mean())),
        cross_track_p95_m=_rounded(float(np.percentile(cross, 95.0))),
        cross_track_max_m=_rounded(float(cross.max())),
        heading_error_mean_deg=_rounded(float(heading.mean())),
        heading_error_p95_deg=_rounded(float(np.percentile(heading, 95.0))),
        steering_reversals_per_min=_rounded(
            metrics.reversals_per_min(metrics.STEERING_WHEEL_DEG * arrays["steer"], dt_s)
        ),
        comfort=metrics.comfort(
            arrays["acceleration_long_mps2"],
            arrays["acceleration_lat_mps2"],
            arrays["yaw_rate_rps"],
            dt_s,
        ),
        guided_m=_rounded(float(steps[np.asarray(trace.guided, bool)[1:]].sum())),
        mask_iou=drive.sight.iou(),
        frames_seen=drive.sight.frames,
        frames_dropped=drive.dropped,
        control_age_p50_ms=metrics.percentile(ages, 50.0),
        control_age_p99_ms=metrics.percentile(ages, 99.0),
        speed_mean_kmh=_rounded(3.6 * float(arrays["speed_mps"].mean())),
    )


def _departures(trace: Trace, outside: metrics.Bools) -> list[Event]:
    found = []
    for first, last in metrics.spells(outside, trace.dt_s):
        worst = first + int(np.abs(trace.cross_track_m[first : last + 1]).argmax())
        error = trace.cross_track_m[worst]
        side = "right" if error > 0 else "left"
        length_s = (last - first + 1) * trace.dt_s
        found.append(
            Event(
                kind="departure",
                time_s=trace.time_s[first],
                distance_m=_rounded(trace.progress_m[first]),
                x_m=_rounded(trace.x_m[first]),
                y_m=_rounded(trace.y_m[first]),
                what=f"{length_s:.1f} s, {abs(error):.2f} m to the {side} at most",
            )
        )
    return found


def _end(run: Run, trace: Trace) -> Event:
    return Event(
        kind="end",
        time_s=trace.time_s[-1],
        distance_m=_rounded(trace.progress_m[-1]),
        x_m=_rounded(trace.x_m[-1]),
        y_m=_rounded(trace.y_m[-1]),
        what=run.reason or "completed",
    )


def _moments(trace: Trace, events: list[Event], album: Album | None) -> list[Moment]:
    """Return collisions, then where the car was farthest off the middle, in order of time."""
    cross = np.abs(trace.cross_track_m)
    times = np.asarray(trace.time_s)
    chosen: list[tuple[int, str]] = []
    for event in events:
        if event.kind == "collision" and len(chosen) < MOMENTS:
            chosen.append((int(np.abs(times - event.time_s).argmin()), f"hit {event.what}"))
    for row in np.argsort(-cross, kind="stable").tolist():
        if len(chosen) == MOMENTS:
            break
        if all(abs(times[row] - times[other]) >= APART_S for other, _ in chosen):
            why = "outside the lane" if trace.outside[row] else "far from the middle"
            chosen.append((row, why))
    return [
        Moment(
            time_s=trace.time_s[row],
            tick=trace.tick[row],
            x_m=_rounded(trace.x_m[row]),
            y_m=_rounded(trace.y_m[row]),
            cross_track_m=_rounded(trace.cross_track_m[row]),
            why=why,
            pictures=album.write_moment(number, trace.time_s[row]) if album else [],
        )
        for number, (row, why) in enumerate(sorted(chosen))
    ]


def _status(run: Run) -> Status:
    if run.reason or run.metrics is None:
        return "Failed"
    clean = not run.metrics.collisions and run.metrics.driving_score == 100.0
    return "Perfect" if clean else "Completed"


def _time(event: Event) -> float:
    return event.time_s


def _rounded(value: float) -> float:
    return round(value, 5)
