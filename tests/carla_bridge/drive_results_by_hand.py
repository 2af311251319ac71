"""A drive's result, made up: two drivers, three latencies, an S-shaped road, one run that fails.

results = write_folder(tmp_path)      # the record and everything that it names

Every number is invented, but those of one run agree with each other.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import cv2
import msgspec
import numpy as np

from carla_bridge.driving.view import View
from carla_bridge.evaluation.record import (
    Comfort,
    Curve,
    CurvePoint,
    Difference,
    Event,
    LatencyInfo,
    Moment,
    Picture,
    Request,
    Results,
    RouteInfo,
    Run,
    RunMetrics,
    Subject,
    SummaryRow,
    Times,
    Trace,
    write_record,
)

NONE = LatencyInfo(label="0")
P50 = LatencyInfo(
    label="p50",
    source="estimate",
    device="pi5",
    p50_ms=80.0,
    p99_ms=80.0,
    note="half of a published figure of another model",
)
P99 = LatencyInfo(label="drawn", source="file", p50_ms=80.0, p99_ms=140.0, fixed=False)
LATENCIES = [NONE, P50, P99]
ROUTE = RouteInfo(
    map="Sine", map_file="maps/Sine.xodr", number=0, spawn=0, seed=1, length_m=300.0, guided_m=30.0
)
COMFORT = Comfort(
    longitudinal_acceleration_min=-2.0,
    longitudinal_acceleration_max=1.5,
    lateral_acceleration_max=2.1,
    jerk_max=4.0,
    longitudinal_jerk_max=3.0,
    yaw_rate_max=0.4,
    yaw_acceleration_max=0.8,
    share=0.99,
    comfortable=False,
)


def road_y(x_m: np.ndarray) -> np.ndarray:
    """Return the road's middle in map coordinates: a sine of 20 m."""
    return 20.0 * np.sin(x_m / 45.0)


def opendrive() -> str:
    """Return an OpenDRIVE text of that road, a driving lane of 3.5 m on each side."""
    x = np.arange(0.0, 320.0, 4.0)
    y = road_y(x)
    pieces, s = [], 0.0
    for i in range(len(x) - 1):
        heading = math.atan2(y[i + 1] - y[i], x[i + 1] - x[i])
        length = math.hypot(x[i + 1] - x[i], y[i + 1] - y[i])
        pieces.append(
            f'<geometry s="{s}" x="{x[i]}" y="{y[i]}" hdg="{heading}" length="{length}"><line/>'
            "</geometry>"
        )
        s += length
    lane = '<lane id="{}" type="driving"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane>'
    return (
        '<OpenDRIVE><header revMajor="1" revMinor="4"/>'
        f'<road id="1" length="{s}" junction="-1"><planView>{"".join(pieces)}</planView><lanes>'
        f'<laneSection s="0"><left>{lane.format(1)}</left><center><lane id="0" type="none"/>'
        f"</center><right>{lane.format(-1)}</right></laneSection></lanes></road></OpenDRIVE>"
    )


def trace(key: str, wobble_m: float, metres: float, seed: int, delay_ms: float = 0.0) -> Trace:
    """Return a drive along the right lane that weaves by ``wobble_m``."""
    rng = np.random.default_rng(seed)
    count = int(metres / 0.4)
    x = np.linspace(2.0, 2.0 + metres, count)
    noise = np.convolve(rng.normal(0, 1, count), np.ones(40) / 40, "same")
    error = wobble_m * (np.sin(x / 9.0 + seed) * 0.5 + noise) + wobble_m * (x > 0.8 * metres)
    outside = np.abs(error) > 0.9
    lane_y = -road_y(x) + 1.75
    nothing = [0.0] * count
    ages: list[float | None] = [None if i < 4 else delay_ms + 50.0 * (i % 2) for i in range(count)]
    return Trace(
        key=key,
        dt_s=0.05,
        tick=list(range(count)),
        time_s=[i * 0.05 for i in range(count)],
        x_m=x.tolist(),
        y_m=(lane_y + error).tolist(),
        yaw_deg=nothing,
        speed_mps=(8.0 * (1 - np.exp(-x / 8.0))).tolist(),
        throttle=[0.4] * count,
        steer=(-0.2 * np.cos(x / 45.0) - 0.1 * error).tolist(),
        brake=nothing,
        progress_m=(x - 2.0).tolist(),
        cross_track_m=error.tolist(),
        heading_error_deg=nothing,
        outside=outside.tolist(),
        guided=((x > 100) & (x < 130)).tolist(),
        confidence=[0.9] * count,
        state=["following"] * count,
        mask_age_ms=ages,
        frame_dropped=[i % 3 == 0 for i in range(count)],
        mask_iou=[None if i % 3 == 0 else 0.9 - 0.1 * abs(float(error[i])) for i in range(count)],
        acceleration_long_mps2=nothing,
        acceleration_lat_mps2=nothing,
        yaw_rate_rps=nothing,
        route_x_m=x.tolist(),
        route_y_m=lane_y.tolist(),
    )


def metrics(of: Trace, completion: float) -> RunMetrics:
    """Return figures that fit a trace."""
    error = np.abs(of.cross_track_m)
    departures = int(np.sum(np.diff(np.array([0, *of.outside]).astype(int)) == 1))
    km = of.progress_m[-1] / 1000
    return RunMetrics(
        completion=completion,
        distance_m=1000 * km,
        duration_s=of.time_s[-1],
        driving_score=completion * 0.9,
        driving_score_2_1=completion * 0.8,
        departures=departures,
        departures_per_km=departures / km,
        outside_s=float(np.sum(of.outside)) * 0.05,
        outside_percent=100 * float(np.mean(of.outside)),
        lane_invasions=departures,
        lane_invasions_per_km=departures / km,
        collisions=0,
        cross_track_mean_m=float(error.mean()),
        cross_track_p95_m=float(np.percentile(error, 95)),
        cross_track_max_m=float(error.max()),
        heading_error_mean_deg=1.0,
        heading_error_p95_deg=2.0,
        steering_reversals_per_min=12.0,
        comfort=COMFORT,
        guided_m=30.0,
        mask_iou={"road": 96.0, "lane_marking": None},
        frames_seen=400,
        frames_dropped=133,
        control_age_p50_ms=100.0,
        control_age_p99_ms=130.0,
    )


def road_picture(offset: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a drawn road of 320x240 and its mask."""
    frame = np.full((240, 320, 3), (70, 120, 85), np.uint8)
    frame[:90] = (225, 190, 150)
    mask = np.zeros((240, 320), np.uint8)
    middle = 160 + offset
    road = np.array([[middle - 12, 90], [middle + 12, 90], [330, 240], [-10, 240]], np.int32)
    cv2.fillPoly(frame, [road], (95, 92, 90))
    cv2.fillPoly(mask, [road], 1)
    for bottom in (20, 160, 300):
        cv2.line(frame, (middle, 90), (bottom, 240), (230, 235, 235), 4)
        cv2.line(mask, (middle, 90), (bottom, 240), 2, 4)
    rng = np.random.default_rng(offset + 100)
    return np.clip(frame + rng.normal(0, 6, frame.shape), 0, 255).astype(np.uint8), mask


@functools.cache
def encoded_picture(offset: int) -> tuple[bytes, bytes]:
    frame, mask = road_picture(offset)
    return cv2.imencode(".jpg", frame)[1].tobytes(), cv2.imencode(".png", mask)[1].tobytes()


def write_picture(folder: Path, name: str, offset: int) -> None:
    frame, mask = encoded_picture(offset)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(frame)
    path.with_suffix(".png").write_bytes(mask)


def moment(folder: Path, key: str, of: Trace) -> Moment:
    """Return the worst moment of a run, with three pictures in the folder."""
    worst = int(np.argmax(np.abs(of.cross_track_m)))
    pictures = []
    for number in range(3):
        name = f"moments/{key}-0-{number}.jpg"
        write_picture(folder, name, 10 * number)
        time = of.time_s[worst] + (number - 1) * 0.5
        pictures.append(Picture(time, worst, name, name.replace(".jpg", ".png")))
    return Moment(
        time_s=of.time_s[worst],
        tick=worst,
        x_m=of.x_m[worst],
        y_m=of.y_m[worst],
        cross_track_m=of.cross_track_m[worst],
        why="largest cross-track error",
        pictures=pictures,
    )


def _event(kind: str, of: Trace, row: int, what: str = "") -> Event:
    return Event(
        kind=kind,  # type: ignore[arg-type]
        time_s=of.time_s[row],
        distance_m=of.progress_m[row],
        x_m=of.x_m[row],
        y_m=of.y_m[row],
        what=what,
    )


def run(folder: Path, driver: str, latency: LatencyInfo, repeat: int, number: int) -> Run:
    """Return a run and write its trace and pictures; the last one of int8 fails."""
    key = f"Sine-{number}-{driver}-{latency.label}-{repeat}"
    fails = driver == "int8" and latency is P99 and repeat == 1
    wobble = {"0": 0.15, "p50": 0.3, "drawn": 0.55}[latency.label]
    wobble *= (1.1 if driver == "int8" else 1.0) * (2 if fails else 1)
    path = trace(key, wobble, 180.0 if fails else 300.0, repeat, latency.p50_ms)
    route = msgspec.structs.replace(ROUTE, number=number)
    (folder / "traces").mkdir(exist_ok=True)
    write_record(folder / "traces" / f"{key}.json", path)
    events = [_event("lane invasion", path, 150, "solid")]
    if fails:
        events += [_event("departure", path, 370), _event("end", path, -1, "deviation")]
    return Run(
        key=key,
        driver=driver,
        latency=latency,
        route=route,
        repeat=repeat,
        seed=repeat,
        status="Failed" if fails else "Perfect" if latency is NONE else "Completed",
        reason="deviation" if fails else "",
        detail="30 m from the route" if fails else "",
        metrics=metrics(path, 60.0 if fails else 100.0),
        events=events,
        trace=f"traces/{key}.json",
        moments=[moment(folder, key, path)],
    )


def summary_row(runs: list[Run]) -> SummaryRow:
    """Return a plain mean of runs: enough for a page, not how the real one is made."""
    found = [r.metrics for r in runs if r.metrics]

    def mean(name: str) -> float:
        return float(np.mean([getattr(m, name) for m in found]))

    return SummaryRow(
        driver=runs[0].driver,
        latency=runs[0].latency.label,
        estimate=runs[0].latency.source == "estimate",
        runs=len(runs),
        failed=sum(r.status == "Failed" for r in runs),
        perfect=sum(r.status == "Perfect" for r in runs),
        km=sum(m.distance_m for m in found) / 1000,
        completion=mean("completion"),
        driving_score=mean("driving_score"),
        driving_score_std=3.25,
        driving_score_2_1=mean("driving_score_2_1"),
        departures_per_km=mean("departures_per_km"),
        lane_invasions_per_km=mean("lane_invasions_per_km"),
        collisions=0,
        outside_s=mean("outside_s"),
        cross_track_mean_m=mean("cross_track_mean_m"),
        cross_track_p95_m=mean("cross_track_p95_m"),
        cross_track_max_m=mean("cross_track_max_m"),
        heading_error_mean_deg=1.0,
        steering_reversals_per_min=12.0,
        comfortable_percent=50.0,
        mask_iou={"road": 96.0, "lane_marking": 71.5},
        frames_dropped_percent=33.3,
        control_age_p50_ms=100.0,
        control_age_p99_ms=130.0,
    )


DIFFERENCES = [
    Difference(
        metric="departures_per_km", driver="int8", other="float", latency="p50", pairs=4,
        mean=0.12, low=-0.3, high=0.55,
    ),
    Difference(
        metric="cross_track_p95_m", driver="int8", other="float", latency="p50", pairs=4,
        mean=0.031, low=0.01, high=0.05, worse=True,
    ),
    Difference(
        metric="completion", driver="int8", other="float", latency="0", pairs=4,
        mean=0.0, low=0.0, high=0.0, method="exact",
    ),
    Difference(
        metric="driving_score", driver="int8", other="float", latency="drawn", pairs=1,
        mean=-2.0, low=None, high=None, method="too few pairs",
    ),
]  # fmt: skip
CURVE = Curve(
    driver="int8",
    routes=["Sine 0"],
    points=[
        CurvePoint(
            latency_ms=late, departures_per_km=lost, completion=done, cross_track_p95_m=error,
            keeps_lane=lost == 0,
        )
        for late, lost, done, error in
        ((0, 0, 100, 0.2), (100, 0, 100, 0.3), (200, 0.0, 100, 0.45), (300, 3.5, 100, 0.9),
         (400, 9.0, 61, 2.4))
    ],
    largest_ms=200.0,
)  # fmt: skip


def write_folder(
    folder: Path, routes: int = 2, repeats: int = 2, latencies: list[LatencyInfo] = LATENCIES
) -> Results:
    """Write a whole result into a folder and return its record."""
    (folder / "maps").mkdir(parents=True, exist_ok=True)
    (folder / "maps" / "Sine.xodr").write_text(opendrive())
    runs = [
        run(folder, driver, latency, repeat, number)
        for number in range(routes)
        for latency in latencies
        for driver in ("int8", "float")
        for repeat in range(repeats)
    ]
    summary = [
        summary_row([r for r in runs if (r.latency, r.driver) == (latency, driver)])
        for latency in latencies
        for driver in ("int8", "float")
    ]
    results = Results(
        status="Finished",
        tools={"edge-seg": "0.1.0", "carla": "0.9.16"},
        request=Request(
            driver="int8",
            versus="float",
            subject=Subject(
                name="lane-unet",
                digest="3f" * 32,
                engine="openvino",
                precision="int8",
                target="x86",
            ),
            maps=["Sine"],
            routes=list(range(routes)),
            repeat=repeats,
            seed=0,
            speed_kmh=30.0,
            weather="clear-noon",
            traffic=0,
            width=320,
            height=240,
            fov_deg=90.0,
            route_m=300.0,
            latencies=latencies,
            curve_ms=[0, 100, 200, 300, 400],
            server="built-in world",
        ),
        runs=runs,
        summary=summary,
        curve=CURVE,
        differences=DIFFERENCES,
        times=Times(started="2026-01-02T03:04:05Z", wall_s=123.0),
    )
    write_record(folder / "results.json", results)
    return results


def seen_road(of: Trace, row: int, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Return the road as a camera on the car shows it at a tick, drawn pixel by pixel; its mask."""
    u, v = np.meshgrid(np.arange(view.width) + 0.5, np.arange(view.height) + 0.5)
    ground = view.ground(np.stack([u.ravel(), v.ravel()], axis=1))
    x, y = of.x_m[row], -of.y_m[row]
    heading = math.atan(20.0 / 45.0 * math.cos(x / 45.0))
    turn = np.array(
        [[math.cos(heading), -math.sin(heading)], [math.sin(heading), math.cos(heading)]]
    )
    east, north = (ground @ turn.T + [x, y]).T
    slope = 20.0 / 45.0 * np.cos(east / 45.0)
    beside = (north - road_y(east)) / np.sqrt(1.0 + slope**2)
    near = np.hypot(*(ground.T)) < 60.0
    mask = np.where(near & (np.abs(beside) < 3.7), 1, 0)
    for line in (-3.5, 0.0, 3.5):
        mask = np.where(near & (np.abs(beside - line) < 0.09), 2, mask)
    mask = mask.reshape(view.height, view.width).astype(np.uint8)
    colours = np.array([(70, 120, 85), (95, 92, 90), (230, 235, 235)], np.uint8)
    frame = colours[mask]
    frame[np.isnan(ground[:, 0]).reshape(mask.shape)] = (225, 190, 150)
    return frame, mask


def write_film(folder: Path, filmed: Run, ticks: range, view: View) -> None:
    """Give a run pictures of its road; every mask is as old as the trace says."""
    path = msgspec.json.decode((folder / filmed.trace).read_bytes(), type=Trace)
    place = folder / "frames" / filmed.key
    place.mkdir(parents=True, exist_ok=True)
    for tick in ticks:
        age_ticks = round((path.mask_age_ms[tick] or 0.0) / 50.0)
        frame, _ = seen_road(path, tick, view)
        _, mask = seen_road(path, max(0, tick - age_ticks), view)
        cv2.imwrite(str(place / f"{tick:06d}.jpg"), frame)
        cv2.imwrite(str(place / f"{tick:06d}.png"), mask)
    filmed.filmed = True
