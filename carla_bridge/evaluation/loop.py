"""One route, driven: the loop from picture to pedals, a step of the simulator at a time.

    drive = drive_route(session, address, job, masks, pulse, album)
    drive.trace.cross_track_m, drive.events, drive.reason

Every route begins in a world loaded anew, so that what it does depends on the job alone.
Ends as the leaderboard's routes do (scenario_runner, `atomic_criteria.py` and `timer.py`):
completed, off the route, blocked, or out of time; a `Fault` ends it with its own reason and what
was driven until then.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from carla_bridge.client.session import SensorError, Session, SimulatorError
from carla_bridge.client.weathers import find
from carla_bridge.driving.driver import Driver
from carla_bridge.evaluation.car import State, car_geometry, read_state
from carla_bridge.evaluation.faults import Fault, agent_at_work, what_failed
from carla_bridge.evaluation.happenings import Happenings
from carla_bridge.evaluation.jobs import (
    CAMERA_FORWARD_M,
    CAMERA_HEIGHT_M,
    CAMERA_PITCH_DEG,
    Job,
    read_map,
    view_of,
)
from carla_bridge.evaluation.latency import Answer, Delay
from carla_bridge.evaluation.masks import Masks
from carla_bridge.evaluation.pictures import Album
from carla_bridge.evaluation.record import Event, Reason, Trace
from carla_bridge.evaluation.routes import Route, Where, plan_route, wrapped_deg
from carla_bridge.evaluation.sight import Sight
from carla_bridge.world.tags import CLASS_OF_TAG
from edge_seg.errors import EdgeSegError

Turn = Literal["loading", "simulator", "agent"]
Pulse = Callable[[Turn], None]
"""Told whose turn it is: a watchdog in another process looks at it."""

COMPLETE_SHARE, COMPLETE_M = 0.99, 10.0
DEVIATION_M, DEVIATION_FAR_M, DEVIATION_SHARE = 30.0, 15.0, 0.3
BLOCKED_MPS, BLOCKED_S = 0.1, 180.0
BLOCKED_ALONE_S = 30.0
"""The leaderboard's 180 s outlast its traffic lights. Where nothing else moves, a car that
stands for this long stands for ever."""
TIMEOUT_S, TIMEOUT_SPEED_SHARE = 300.0, 0.1
SETTLE_TICKS = 20
"""A spawned car falls from 0.3 m on its wheels; real suspensions swing for a moment."""
OFFSET_M, OFFSET_DEG = 0.25, 1.5
"""How far off the lane's middle a repeat may start: without it repeats would be copies."""
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass
class Drive:
    """What came of a route; ``reason`` is "" where it was completed."""

    trace: Trace
    route: Route
    spawn: int
    car_width_m: float
    lane_width_m: list[float] = field(default_factory=list)
    junction: list[bool] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    reason: Reason = ""
    detail: str = ""
    sight: Sight = field(default_factory=Sight)
    dropped: int = 0


def drive_route(
    session: Session,
    address: tuple[str, int],
    job: Job,
    masks: Masks,
    pulse: Pulse,
    album: Album | None,
) -> Drive:
    """Drive a job's route in the world at ``address``.

    Raises `EdgeSegError` where it cannot begin; what goes wrong later is in `Drive.reason`.
    """
    pulse("loading")
    session.synchronous(job.dt_s)
    load(session, job)
    session.weather(find(job.weather))
    spawn, start = start_of(session, job.number)
    route = plan_route(session.map, start, job.length_m, job.seed * 1009 + job.number)
    car = session.spawn_car(_moved_aside(session, start, job))
    drive = Drive(_empty_trace(job, route), route, spawn, 2.0 * car.bounding_box.extent.y)
    try:
        _drive(session, job, masks, pulse, album, car, drive)
    except Fault as fault:
        drive.reason, drive.detail = fault.reason, fault.detail
    except SensorError as error:
        drive.reason, drive.detail = "sensor error", str(error)
    except SimulatorError as error:
        drive.reason, drive.detail = what_failed(*address), str(error)
    pulse("loading")  # what follows, clearing up and writing, is no step of the drive
    return drive


def _drive(
    session: Session,
    job: Job,
    masks: Masks,
    pulse: Pulse,
    album: Album | None,
    car: Any,
    drive: Drive,
) -> None:
    """Open the sensors and go."""
    size = (job.camera.width, job.camera.height, job.camera.fov_deg)
    place = session.carla.Transform(
        session.carla.Location(x=CAMERA_FORWARD_M, z=CAMERA_HEIGHT_M),
        session.carla.Rotation(pitch=CAMERA_PITCH_DEG),
    )
    truth_camera = session.camera("semantic", *size, place, car)
    picturing = job.driver.sees_frames or album is not None
    colour_camera = session.camera("rgb", *size, place, car) if picturing else None
    happenings = Happenings(session, car)
    with agent_at_work():
        lane_width_m = float(drive.route.lane_width_m[0])
        driver = Driver(view_of(job.camera), car_geometry(car), job.speed_kmh / 3.6, lane_width_m)
    delay = Delay(job.latency, job.run_seed)
    route, trace = drive.route, drive.trace
    stop = session.carla.VehicleControl(brake=1.0)
    for _ in range(SETTLE_TICKS):
        car.apply_control(stop)
        frame_number = session.tick()
    first_frame = frame_number
    progress_m = 0.0
    shown: Answer | None = None
    last: Reason | None = None
    while last is None:
        pulse("simulator")
        truth = CLASS_OF_TAG[truth_camera.at(frame_number)]
        colours = colour_camera.at(frame_number) if colour_camera else truth
        tick = frame_number - first_frame
        time_s = tick * job.dt_s
        state = read_state(car)
        where = route.locate(state.x_m, state.y_m, progress_m)
        progress_m = max(progress_m, where.progress_m)

        pulse("agent")
        with agent_at_work():
            ready = delay.due(time_s)
            accepted = delay.accepts(time_s)
            if accepted:
                mask = masks(colours, truth)
                delay.start(time_s, mask)
                ready += delay.due(time_s)
            for answer in ready:
                driver.see(answer.mask, answer.taken_at_s)
                shown = answer
            guide = route.guide(where, state.x_m, state.y_m, state.yaw_deg)
            control = driver.act(time_s, state.speed_mps, state.yaw_rate_rps, guide)
        iou = drive.sight.add(mask, truth) if accepted else None
        if album is not None and tick % album.every == 0:
            album.keep(tick, time_s, colours, shown.mask if shown else np.zeros_like(truth))

        drive.lane_width_m.append(where.lane_width_m)
        drive.junction.append(where.in_junction)
        _append(trace, tick, time_s, state, where, progress_m)
        trace.throttle.append(control.throttle)
        trace.steer.append(control.steer)
        trace.brake.append(control.brake)
        trace.confidence.append(driver.lane.confidence if driver.lane else 0.0)
        trace.state.append(driver.state.value)
        trace.mask_age_ms.append(round(1e3 * (time_s - shown.taken_at_s), 3) if shown else None)
        trace.frame_dropped.append(not accepted)
        trace.mask_iou.append(iou)
        last = how_it_ends(trace, route.length_m, job)

        pulse("simulator")
        car.apply_control(
            session.carla.VehicleControl(
                throttle=float(control.throttle),
                steer=float(control.steer),
                brake=float(control.brake),
            )
        )
        frame_number = session.tick()
    drive.reason = last
    drive.dropped = delay.dropped
    with suppress(SensorError):  # waiting for it gives the events of the last tick time to come
        truth_camera.at(frame_number)
    drive.events = happenings.between(first_frame, trace)


def how_it_ends(trace: Trace, length_m: float, job: Job) -> Reason | None:
    """Return why the route is over by now, "" where it is completed, None where it goes on."""
    progress_m, away_m = trace.progress_m[-1], abs(trace.cross_track_m[-1])
    if progress_m > COMPLETE_SHARE * length_m and length_m - progress_m < COMPLETE_M:
        return ""
    if away_m > DEVIATION_M:
        return "deviation"
    if away_m > DEVIATION_FAR_M and _far_driven_m(trace) > DEVIATION_SHARE * length_m:
        return "deviation"
    patience = round((BLOCKED_S if job.traffic else BLOCKED_ALONE_S) / job.dt_s)
    if abs(trace.speed_mps[-1]) < BLOCKED_MPS:
        recent = np.abs(trace.speed_mps[-patience:])
        if len(recent) == patience and recent.max() < BLOCKED_MPS:
            return "blocked"
    if trace.time_s[-1] > TIMEOUT_S + length_m / (TIMEOUT_SPEED_SHARE * job.speed_kmh / 3.6):
        return "timeout"
    return None


def _far_driven_m(trace: Trace) -> float:
    steps = np.hypot(np.diff(trace.x_m), np.diff(trace.y_m))
    return float(steps[np.abs(trace.cross_track_m[1:]) > DEVIATION_FAR_M].sum())


def load(session: Session, job: Job) -> None:
    """Load the job's map anew; "" keeps what the server has."""
    if job.map.endswith(".xodr"):
        session.generate(read_map(job.map), job.map_name)
    elif job.map:
        session.load(job.map)
    elif session.map_name != job.loaded:
        raise EdgeSegError(
            f"the server has {session.map_name} loaded by now, and this drive began on "
            f"{job.loaded}: name the map (--map)"
        )


def start_of(session: Session, number: int) -> tuple[int, Any]:
    """Return a route's spawn point, (index, transform).

    Neighbouring points are on one lane. Steps of the golden ratio spread any number of routes
    evenly over the map (Knuth, The Art of Computer Programming, vol. 3, 6.4).
    """
    points = session.map.get_spawn_points()
    if not points:
        raise EdgeSegError(f"the map {session.map_name} has no spawn point to start from")
    spawn = int(number * GOLDEN % 1.0 * len(points))
    return spawn, points[spawn]


def _moved_aside(session: Session, start: Any, job: Job) -> Any:
    """Return where the car starts: a repeat a little beside the lane's middle, seeded."""
    carla = session.carla
    dice = random.Random(f"start:{job.run_seed}")
    aside = dice.uniform(-OFFSET_M, OFFSET_M) if job.repeat else 0.0
    turn = dice.uniform(-OFFSET_DEG, OFFSET_DEG) if job.repeat else 0.0
    yaw = math.radians(start.rotation.yaw)
    at, lie = start.location, start.rotation
    return carla.Transform(
        carla.Location(at.x - aside * math.sin(yaw), at.y + aside * math.cos(yaw), at.z),
        carla.Rotation(pitch=lie.pitch, yaw=lie.yaw + turn, roll=lie.roll),
    )


def _empty_trace(job: Job, route: Route) -> Trace:
    line = np.round(route.points, 3)
    return Trace(
        key=job.key, dt_s=job.dt_s, route_x_m=line[:, 0].tolist(), route_y_m=line[:, 1].tolist()
    )


def _append(
    trace: Trace, tick: int, time_s: float, state: State, where: Where, progress_m: float
) -> None:
    trace.tick.append(tick)
    trace.time_s.append(round(time_s, 6))
    trace.x_m.append(state.x_m)
    trace.y_m.append(state.y_m)
    trace.yaw_deg.append(state.yaw_deg)
    trace.speed_mps.append(state.speed_mps)
    trace.progress_m.append(progress_m)
    trace.cross_track_m.append(where.cross_track_m)
    trace.heading_error_deg.append(wrapped_deg(state.yaw_deg - where.heading_deg))
    trace.guided.append(where.guided)
    trace.acceleration_long_mps2.append(state.forward_mps2)
    trace.acceleration_lat_mps2.append(state.aside_mps2)
    trace.yaw_rate_rps.append(state.yaw_rate_rps)
