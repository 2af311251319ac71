"""How a route ends, who is to blame, and what counts as a collision; worked by hand."""

from __future__ import annotations

import msgspec
import pytest

pytest.importorskip("carla", reason="needs the extra carla")

from carla_bridge.evaluation.faults import Fault, agent_at_work
from carla_bridge.evaluation.jobs import Camera, Job
from carla_bridge.evaluation.latency import NONE
from carla_bridge.evaluation.loop import BLOCKED_ALONE_S, how_it_ends
from carla_bridge.evaluation.masks import MaskSource
from carla_bridge.evaluation.record import Trace
from carla_bridge.evaluation.worker import _blame

JOB = Job(
    driver=MaskSource(name="labels"),
    latency=NONE,
    map="Town",
    number=0,
    repeat=0,
    seed=0,
    length_m=300.0,
    speed_kmh=36.0,
    weather="clear-noon",
    traffic=0,
    camera=Camera(),
    dt_s=0.05,
)


def driven(
    progress_m: float, cross_m: list[float], speed_mps: float = 10.0, time_s: float = 30.0
) -> Trace:
    """A trace whose last ticks are a metre apart, off the line by ``cross_m``."""
    count = len(cross_m)
    return Trace(
        key="k",
        dt_s=0.05,
        time_s=[time_s] * count,
        x_m=[float(index) for index in range(count)],
        y_m=[0.0] * count,
        speed_mps=[speed_mps] * count,
        progress_m=[progress_m] * count,
        cross_track_m=cross_m,
    )


def test_a_route_is_complete_within_one_percent_and_ten_metres() -> None:
    assert how_it_ends(driven(297.1, [0.0]), 300.0, JOB) == ""
    assert how_it_ends(driven(296.0, [0.0]), 300.0, JOB) is None
    assert how_it_ends(driven(2970.1 - 5.0, [0.0]), 2970.1 + 5.1, JOB) is None  # 10.1 m are left


def test_off_by_thirty_metres_or_far_for_long_is_a_deviation() -> None:
    assert how_it_ends(driven(100.0, [30.1]), 300.0, JOB) == "deviation"
    assert how_it_ends(driven(100.0, [16.0] * 80), 300.0, JOB) is None  # 79 m of 300 are 26 %
    assert how_it_ends(driven(100.0, [-16.0] * 92), 300.0, JOB) == "deviation"
    assert how_it_ends(driven(100.0, [-14.0] * 200), 300.0, JOB) is None


def test_a_car_that_stands_is_blocked_sooner_where_nothing_else_moves() -> None:
    ticks = round(BLOCKED_ALONE_S / 0.05)
    standing = driven(100.0, [0.0] * ticks, speed_mps=0.05)
    assert how_it_ends(standing, 300.0, JOB) == "blocked"
    with_traffic = msgspec.structs.replace(JOB, traffic=5)
    assert how_it_ends(standing, 300.0, with_traffic) is None
    just_stopped = driven(100.0, [0.0] * (ticks - 1), speed_mps=0.0)
    assert how_it_ends(just_stopped, 300.0, JOB) is None


def test_time_is_out_after_five_minutes_and_a_tenth_of_the_speed() -> None:
    """300 s + 300 m / (0.1 x 10 m/s) = 600 s."""
    assert how_it_ends(driven(100.0, [0.0], time_s=599.9), 300.0, JOB) is None
    assert how_it_ends(driven(100.0, [0.0], time_s=600.1), 300.0, JOB) == "timeout"


def test_what_the_agent_raises_is_the_agents_failure() -> None:
    with pytest.raises(Fault) as caught, agent_at_work():
        raise ValueError("no such layer\nand more")
    assert caught.value.reason == "agent failure"
    assert caught.value.detail == "ValueError: no such layer"


def test_the_blame_is_with_whose_turn_it_was() -> None:
    assert _blame("agent", None, 60.0)[0] == "agent hung"
    assert _blame("simulator", None, 60.0)[0] == "simulator hung"
    assert _blame("loading", None, 60.0)[0] == "simulator hung"
    assert _blame("agent", -11, 60.0) == (
        "agent failure",
        "its process ended (SIGSEGV) while agent",
    )
    assert _blame("simulator", -11, 60.0)[0] == "simulator crash"
