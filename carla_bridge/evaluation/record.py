"""What a closed-loop evaluation wrote down: structs of ``results.json``, runs and traces.

    run = read_results(folder).runs[0]               # results.json
    trace = read_trace(folder, run)                  # a row a tick, as columns

The folder of a result:

    results.json            `Results`; the same seed gives the same bytes but for `times` fields
    runs/KEY.json           `Run`, written as Started before the route and again after it
    traces/KEY.json         `Trace`
    moments/KEY-N-M.jpg     pictures of the worst moments (`Moment`), masks beside them as .png
    frames/KEY/000123.jpg   pictures of filmed runs by tick, masks beside them as .png
    maps/NAME.xodr          the roads that were driven, OpenDRIVE
    report.html, drive.mp4  made from the above by `carla_bridge.report`

Coordinates are CARLA's: metres, x east, y south (left-handed), yaw in degrees clockwise.
Cross-track error is positive to the right of the route, heading error positive clockwise.
Every path in a record is relative to the folder. What was not measured is ``None``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.files import write_bytes

SCHEMA = "edge-seg/drive-1"
_Record = TypeVar("_Record")

Status = Literal["Started", "Perfect", "Completed", "Failed"]
"""CARLA leaderboard's words: Perfect is complete with no infraction."""
Reason = Literal[
    "", "deviation", "blocked", "timeout",
    "simulator crash", "simulator hung", "agent failure", "agent hung", "sensor error",
    "interrupted",
]  # fmt: skip
"""Why a route failed. The first line is the driver's own, the others are faults."""
LatencySource = Literal["none", "measured", "file", "given", "estimate"]


class LatencyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The latency that was injected. ``label`` is unique in a result: "80 ms", "pi5 p99".

    ``source``: measured (the bundle's own of a device), file, given by hand, or an estimate;
    ``note`` says whence. An estimate is to be called so wherever its figures are shown.
    ``fixed`` is True where every frame takes ``p50_ms``, else it is drawn for each frame.
    """

    label: str
    source: LatencySource = "none"
    device: str = ""
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    fixed: bool = True
    note: str = ""


class RouteInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A route: ``number``-th of its map, from spawn point ``spawn``, choices by ``seed``.

    In ``guided_m`` metres of it, in and at junctions, the map leads.
    """

    map: str
    map_file: str
    number: int
    spawn: int
    seed: int
    length_m: float
    guided_m: float = 0.0
    weather: str = "clear-noon"
    speed_kmh: float = 30.0
    traffic: int = 0

    @property
    def name(self) -> str:
        """``Town 0``: how a person calls it."""
        return f"{self.map} {self.number}"


class Comfort(msgspec.Struct, frozen=True, kw_only=True):
    """Extremes of the six quantities that nuPlan and Bench2Drive bound, smoothed at 10 Hz.

    Metres, seconds, radians. ``share`` (0..1) of the 2 s segments are within all bounds
    (Bench2Drive's smoothness); ``comfortable`` when all are.
    """

    longitudinal_acceleration_min: float
    longitudinal_acceleration_max: float
    lateral_acceleration_max: float
    jerk_max: float
    longitudinal_jerk_max: float
    yaw_rate_max: float
    yaw_acceleration_max: float
    share: float
    comfortable: bool


class RunMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """How one run went. Percentages are 0..100.

    ``driving_score`` is the headline: the product form of leaderboard 1.0, 2.0 and master;
    ``driving_score_2_1`` the sum form of branch 2.1. The two are not comparable.
    A departure is an event of being outside the lane (see `carla_bridge.evaluation.metrics`).
    """

    completion: float
    distance_m: float
    duration_s: float
    driving_score: float
    driving_score_2_1: float
    departures: int
    departures_per_km: float
    outside_s: float
    outside_percent: float
    lane_invasions: int
    lane_invasions_per_km: float
    collisions: int
    cross_track_mean_m: float
    cross_track_p95_m: float
    cross_track_max_m: float
    heading_error_mean_deg: float
    heading_error_p95_deg: float
    steering_reversals_per_min: float
    comfort: Comfort
    guided_m: float
    mask_iou: dict[str, float | None] = {}
    frames_seen: int = 0
    frames_dropped: int = 0
    control_age_p50_ms: float | None = None
    control_age_p99_ms: float | None = None
    speed_mean_kmh: float = 0.0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened: ``kind`` is departure, lane invasion, collision or the end.

    ``what`` names the other actor or the marking; ``key`` is the leaderboard's record key.
    """

    kind: Literal["departure", "lane invasion", "collision", "end"]
    time_s: float
    distance_m: float
    x_m: float
    y_m: float
    what: str = ""
    key: str = ""


class Picture(msgspec.Struct, frozen=True):
    """One picture of a moment, and the mask that the driver knew by then (class ids, PNG)."""

    time_s: float
    tick: int
    picture: str
    mask: str


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A bad moment, as a strip of pictures in order of time."""

    time_s: float
    tick: int
    x_m: float
    y_m: float
    cross_track_m: float
    why: str
    pictures: list[Picture] = []


class Times(msgspec.Struct, kw_only=True):
    """Wall clock: the only fields that differ between two runs of one seed.

    ``started`` is UTC in ISO 8601, ``mask_p50_ms`` what this machine took for a mask, from
    the frame to the mask: through a node with both ways to it.
    """

    started: str = ""
    wall_s: float = 0.0
    mask_p50_ms: float | None = None


class Run(msgspec.Struct, kw_only=True):
    """One driver on one route at one latency, once.

    ``driver`` is int8, float, labels (the simulator's own masks), ros or ros:/NAME (through a
    node), or the name of another bundle.
    ``filmed``: its pictures are in ``frames/KEY``, every `Trace.film_every`-th tick.
    """

    key: str
    driver: str
    latency: LatencyInfo
    route: RouteInfo
    repeat: int
    seed: int
    status: Status = "Started"
    reason: Reason = ""
    detail: str = ""
    metrics: RunMetrics | None = None
    events: list[Event] = []
    trace: str = ""
    moments: list[Moment] = []
    filmed: bool = False
    times: Times = msgspec.field(default_factory=Times)


class Trace(msgspec.Struct, kw_only=True):
    """One run, a row a tick, as columns of equal length, and the line to be driven.

    ``mask_age_ms`` is the age of the mask that the control came from (control age). ``mask_iou``
    is the mean IoU of road and lane marking of the mask of the frame *taken* at this tick,
    ``None`` where it was dropped or neither is in sight. ``state`` is the driver's: following,
    holding, slowing, stopped. ``route_x_m``, ``route_y_m``: the route, about a point a metre.
    """

    key: str
    dt_s: float
    film_every: int = 2
    tick: list[int] = []
    time_s: list[float] = []
    x_m: list[float] = []
    y_m: list[float] = []
    yaw_deg: list[float] = []
    speed_mps: list[float] = []
    throttle: list[float] = []
    steer: list[float] = []
    brake: list[float] = []
    progress_m: list[float] = []
    cross_track_m: list[float] = []
    heading_error_deg: list[float] = []
    outside: list[bool] = []
    guided: list[bool] = []
    confidence: list[float] = []
    state: list[str] = []
    mask_age_ms: list[float | None] = []
    frame_dropped: list[bool] = []
    mask_iou: list[float | None] = []
    acceleration_long_mps2: list[float] = []
    acceleration_lat_mps2: list[float] = []
    yaw_rate_rps: list[float] = []
    route_x_m: list[float] = []
    route_y_m: list[float] = []


class SummaryRow(msgspec.Struct, frozen=True, kw_only=True):
    """All runs of one driver at one latency. Means are over runs, rates over the kilometres.

    Cross-track figures are over all ticks of all runs; ``failed`` counts runs by status.
    """

    driver: str
    latency: str
    estimate: bool
    runs: int
    failed: int
    perfect: int
    km: float
    completion: float
    driving_score: float
    driving_score_std: float
    driving_score_2_1: float
    departures_per_km: float | None
    lane_invasions_per_km: float | None
    collisions: int
    outside_s: float
    cross_track_mean_m: float | None
    cross_track_p95_m: float | None
    cross_track_max_m: float | None
    heading_error_mean_deg: float | None
    steering_reversals_per_min: float
    comfortable_percent: float
    mask_iou: dict[str, float | None] = {}
    frames_dropped_percent: float = 0.0
    control_age_p50_ms: float | None = None
    control_age_p99_ms: float | None = None


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """Driving with every frame answered ``latency_ms`` late."""

    latency_ms: float
    departures_per_km: float
    completion: float
    cross_track_p95_m: float
    keeps_lane: bool


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Latency against departures per km; ``largest_ms`` is the largest that keeps the lane.

    Kept: every route completed, no departure, and so at every smaller latency.
    """

    driver: str
    routes: list[str]
    points: list[CurvePoint]
    largest_ms: float | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """``driver`` minus ``other`` in one metric, paired by route, repeat and seed.

    ``low`` and ``high`` are a ``level`` percent confidence interval by ``method`` (BCa bootstrap;
    "exact" where all pairs differ by the same amount, "too few pairs" where there is none).
    ``worse``: the whole interval is on the bad side of zero.
    """

    metric: str
    driver: str
    other: str
    latency: str
    pairs: int
    mean: float
    low: float | None
    high: float | None
    level: float = 95.0
    method: str = "BCa bootstrap"
    worse: bool = False


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The bundle that drove; empty for labels."""

    name: str = ""
    digest: str = ""
    engine: str = ""
    precision: str = ""
    target: str = ""
    file: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for: two results of equal requests are equal but for their times.

    ``server`` is "built-in world" or HOST:PORT.
    """

    driver: str
    versus: str | None
    subject: Subject
    maps: list[str]
    routes: list[int]
    repeat: int
    seed: int
    speed_kmh: float
    weather: str
    traffic: int
    width: int
    height: int
    fov_deg: float
    route_m: float
    latencies: list[LatencyInfo]
    curve_ms: list[float]
    server: str
    dt_s: float = 0.05


class Results(msgspec.Struct, kw_only=True):
    """Everything; ``score_form`` says which form of the driving score is the headline."""

    schema: str = SCHEMA
    status: Literal["Started", "Finished"] = "Started"
    tools: dict[str, str] = {}
    request: Request
    runs: list[Run] = []
    summary: list[SummaryRow] = []
    curve: Curve | None = None
    curve_runs: list[Run] = []
    differences: list[Difference] = []
    score_form: str = "CARLA leaderboard 1.0/2.0: completion x product of penalties"
    times: Times = msgspec.field(default_factory=Times)


def write_record(path: Path, record: Results | Run | Trace) -> None:
    """Write a record as JSON, whole or not at all; equal records give equal bytes."""
    payload = msgspec.json.encode(record, order="deterministic")
    write_bytes(path, payload if isinstance(record, Trace) else msgspec.json.format(payload))


def read_results(folder: Path) -> Results:
    """Read ``results.json`` of a result's folder; `EdgeSegError` where there is none."""
    return _read(folder / "results.json", Results)


def read_run(path: Path) -> Run:
    """Read ``runs/KEY.json``."""
    return _read(path, Run)


def read_trace(folder: Path, run: Run) -> Trace:
    """Read what a run did at each tick."""
    return _read(folder / run.trace, Trace)


def _read(path: Path, kind: type[_Record]) -> _Record:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise EdgeSegError(f"cannot read {path}: {error.strerror or error}") from error
    except msgspec.MsgspecError as error:
        raise EdgeSegError(
            f"{path} is no record of a drive ({in_one_line(error)}): drive again"
        ) from error
