"""Metrics of a drive, by values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra carla")

from carla_bridge.evaluation.metrics import (
    STEERING_WHEEL_DEG,
    comfort,
    driving_score,
    outside_lane,
    outside_route,
    percentile,
    reversals_per_min,
    spells,
)

DT_S = 0.05


def ticks(seconds: float) -> np.ndarray:
    return np.arange(round(seconds / DT_S)) * DT_S


def test_a_wheel_over_the_line_is_outside() -> None:
    """A lane of 3.5 m and a car of 1.9 m leave 0.8 m either side."""
    cross = np.array([0.0, 0.79, -0.79, 0.81, -0.81])
    widths, street = np.full(5, 3.5), np.zeros(5, bool)
    assert outside_lane(cross, widths, street, 1.9).tolist() == [False, False, False, True, True]


def test_in_a_junction_only_the_leaderboards_bound_holds() -> None:
    """Half a lane of 3.5 m and half a metre are 2.25 m."""
    cross, widths = np.array([1.0, 2.24, -2.26]), np.full(3, 3.5)
    junction = np.ones(3, bool)
    assert outside_lane(cross, widths, junction, 1.9).tolist() == [False, False, True]
    assert outside_route(cross, widths).tolist() == [False, False, True]


def test_one_departure_that_touches_the_lane_for_a_moment_is_one() -> None:
    flags = np.zeros(100, bool)
    flags[[10, 11, 25, 60]] = True  # 25 is 0.65 s later, 60 is 1.7 s
    assert spells(flags, DT_S) == [(10, 25), (60, 60)]
    assert spells(np.zeros(5, bool), DT_S) == []


def test_both_forms_of_the_driving_score() -> None:
    """One wall and one car: 0.65 x 0.60 = 0.39, and 1 / (1 + 0.6 + 0.7); 2 % outside."""
    score = driving_score(90.0, ["collisions_layout", "collisions_vehicle"], 2.0)
    assert score.product == pytest.approx(90.0 * 0.39 * 0.98)
    assert score.sum_form == pytest.approx(90.0 / 2.3 * 0.98)
    clean = driving_score(100.0, [], 0.0)
    assert (clean.product, clean.sum_form) == (100.0, 100.0)
    walker = driving_score(100.0, ["collisions_pedestrian"], 0.0)
    assert (walker.product, walker.sum_form) == (50.0, 50.0)


def test_a_slow_sine_turns_back_twice_a_period() -> None:
    """0.2 Hz for a minute: 12 crests and 12 troughs; the first rise begins at no turning point."""
    wheel = 10.0 * np.sin(2 * np.pi * 0.2 * ticks(60.0))
    assert reversals_per_min(wheel, DT_S) == pytest.approx(23.0, abs=1.1)


def test_reversals_below_the_gap_or_above_the_cut_off_do_not_count() -> None:
    time = ticks(60.0)
    assert reversals_per_min(1.4 * np.sin(2 * np.pi * 0.2 * time), DT_S) == 0.0  # 2.8 degrees
    assert reversals_per_min(10.0 * np.sin(2 * np.pi * 3.0 * time), DT_S) == 0.0
    assert reversals_per_min(np.zeros(5), DT_S) == 0.0
    assert reversals_per_min(np.linspace(0, STEERING_WHEEL_DEG, 400), DT_S) == 0.0


def test_a_steady_drive_is_comfortable() -> None:
    still = np.zeros(400)
    found = comfort(still + 1.0, still + 2.0, still + 0.3, DT_S)
    assert found.comfortable and found.share == 1.0
    assert found.longitudinal_acceleration_max == pytest.approx(1.0)
    assert found.lateral_acceleration_max == pytest.approx(2.0)
    assert found.yaw_rate_max == pytest.approx(0.3)
    assert found.jerk_max == pytest.approx(0.0, abs=1e-9)


def test_a_ramp_has_the_jerk_of_its_slope() -> None:
    """3 m/s2 more in each second breaks nothing but what 3 m/s3 and 2.4 m/s2 break."""
    time = ticks(4.0)
    found = comfort(3.0 * (time - 2.0), np.zeros(80), np.zeros(80), DT_S)
    assert found.longitudinal_jerk_max == pytest.approx(3.0)
    assert found.longitudinal_acceleration_max == pytest.approx(5.7)
    assert (found.share, found.comfortable) == (0.0, False)  # -6 is too low, 5.7 too high


@pytest.mark.parametrize(
    ("forward", "aside", "yaw_rate"),
    [(-4.1, 0.0, 0.0), (2.5, 0.0, 0.0), (0.0, 4.9, 0.0), (0.0, 0.0, 0.96)],
)
def test_each_bound_is_held(forward: float, aside: float, yaw_rate: float) -> None:
    still = np.zeros(80)
    assert not comfort(still + forward, still + aside, still + yaw_rate, DT_S).comfortable


def test_one_jolt_spoils_one_segment_of_two_seconds() -> None:
    forward = np.zeros(400)  # 20 s: ten segments
    forward[210:230] = -6.0
    found = comfort(forward, np.zeros(400), np.zeros(400), DT_S)
    assert found.share == pytest.approx(0.9)


def test_too_short_a_drive_has_no_discomfort() -> None:
    assert comfort(np.full(4, 9.0), np.zeros(4), np.zeros(4), DT_S).comfortable


def test_percentile_of_nothing_is_none() -> None:
    assert percentile([], 50.0) is None
    assert percentile([1.0, 2.0, 4.0], 50.0) == 2.0
