"""Steering and pedals: arcs and speeds worked by hand, and limits that always hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carla_bridge.driving.lateral import follow, pursue, steer_command
from carla_bridge.driving.speed import (
    JERK_MPS3,
    SLOW_DOWN_MPS2,
    SLOWEST_MPS,
    SPEED_UP_MPS2,
    Pedals,
    Powers,
    allowed_speed_mps,
    most_curvature_1pm,
    press,
    speed_before_end_mps,
    speed_while_turning_mps,
)
from carla_bridge.driving.track import CURVATURES, HEADING, OFFSET, TRACK, Track


def track(offset_m: float = 0.0, heading_rad: float = 0.0, curvature_1pm: float = 0.0) -> Track:
    numbers = np.zeros(TRACK)
    numbers[OFFSET], numbers[HEADING], numbers[CURVATURES] = offset_m, heading_rad, curvature_1pm
    return Track(numbers)


def test_by_hand_the_arc_through_a_point() -> None:
    # Coulter's 2 y / d^2: 5 m away, 1 m to the left.
    assert pursue(np.array([[0.0, 1.0], [30.0, 1.0]]), 5.0) == pytest.approx(0.08)
    assert pursue(np.array([[0.0, -1.0], [30.0, -1.0]]), 5.0) == pytest.approx(-0.08)


def test_an_arc_is_driven_as_that_arc() -> None:
    angles = np.linspace(0.0, 1.0, 400)
    circle = 20.0 * np.stack([np.sin(angles), 1.0 - np.cos(angles)], axis=1)
    assert pursue(circle, 6.0) == pytest.approx(0.05, rel=1e-3)


def test_a_path_that_ends_too_soon_is_aimed_at_gently() -> None:
    assert abs(pursue(np.array([[0.5, 0.5], [1.0, 1.0]]), 5.0)) == pytest.approx(2.0 / 25.0)
    assert pursue(np.array([[9.0, 1.0], [12.0, 1.0]]), 5.0) == pytest.approx(2.0 / 82.0)


@pytest.mark.parametrize("curvature_1pm", [-0.1, -0.02, 0.0, 0.05])
def test_a_car_on_the_track_drives_the_tracks_curvature(curvature_1pm: float) -> None:
    on_axle = track(curvature_1pm=curvature_1pm)
    assert follow(on_axle, 6.0, rear_axle_m=0.0) == pytest.approx(curvature_1pm, abs=1e-9)


def test_off_the_track_it_is_pursuit() -> None:
    assert follow(track(offset_m=1.0), 5.0, rear_axle_m=1.4) == pytest.approx(2.0 / 25.0)


def test_by_hand_steering_and_its_sign() -> None:
    # 5 m radius to the left with 2.5 m between the axles: atan(0.5) of a lock of 1 rad.
    assert steer_command(0.2, 2.5, 1.0) == pytest.approx(-math.atan(0.5))
    assert steer_command(-0.2, 2.5, 1.0) == pytest.approx(math.atan(0.5))
    assert steer_command(5.0, 2.5, 0.5) == -1.0


def test_by_hand_speeds_for_bends() -> None:
    straight = allowed_speed_mps(np.array([0.0, 10.0]), np.zeros(2), 12.0, 10.0)
    assert straight == 12.0
    # 2 m/s2 on a radius of 18 m is 6 m/s; there now, or 12 m away after 0.4 s at 10 m/s.
    assert allowed_speed_mps(np.zeros(1), np.array([-1 / 18.0]), 12.0, 10.0) == pytest.approx(6.0)
    before = allowed_speed_mps(np.array([16.0]), np.array([1 / 18.0]), 12.0, 10.0)
    assert before == pytest.approx(math.sqrt(36.0 + 2.0 * 2.0 * 12.0))


def test_a_car_that_turns_back_to_its_lane_does_so_calmly() -> None:
    # 3 m/s2 on a radius of 12 m is 6 m/s; 4.5 m/s2 at 3 m/s is a radius of 2 m.
    assert speed_while_turning_mps(-1 / 12.0) == pytest.approx(6.0)
    assert speed_while_turning_mps(1.0) == SLOWEST_MPS < 100.0 < speed_while_turning_mps(0.0)
    assert most_curvature_1pm(3.0) == pytest.approx(0.5)
    assert math.isfinite(most_curvature_1pm(0.0))


def test_the_end_of_the_road_is_met_slowly() -> None:
    assert math.isinf(speed_before_end_mps(math.inf, 10.0))
    assert speed_before_end_mps(0.0, 10.0) < 3.0 < speed_before_end_mps(20.0, 10.0) < 11.0


def test_it_reaches_the_speed_and_keeps_it_whatever_the_engine_gives() -> None:
    for engine in (2.5, 4.0, 6.0):
        pedals, speed, speeds = Pedals(), 0.0, []
        for _ in range(1200):
            pedals = press(pedals, 10.0, speed, 0.05, Powers())
            speed += 0.05 * (engine * pedals.throttle - 8.0 * pedals.brake - 0.3)
            speeds.append(speed)
        assert max(speeds) < 10.6
        assert speeds[-1] == pytest.approx(10.0, abs=0.1)


def test_a_car_that_stands_is_held() -> None:
    pedals = press(Pedals(acceleration_mps2=1.0, learnt_mps2=1.0), 0.0, 0.0, 0.05, Powers())
    assert pedals.throttle == 0.0 and pedals.brake > 0.3


@settings(max_examples=200, deadline=None)
@given(
    target=st.floats(0.0, 40.0),
    speed=st.floats(0.0, 40.0),
    before=st.floats(-3.0, 1.8),
    learnt=st.floats(-1.5, 1.5),
)
def test_pedals_stay_in_their_range_and_jerk_in_its_bound(
    target: float, speed: float, before: float, learnt: float
) -> None:
    pedals = press(Pedals(0.0, 0.0, before, learnt), target, speed, 0.05, Powers())
    assert 0.0 <= pedals.throttle <= 1.0 and 0.0 <= pedals.brake <= 1.0
    assert pedals.throttle == 0.0 or pedals.brake == 0.0
    if target > 0.0 or speed >= 0.3:
        assert -SLOW_DOWN_MPS2 <= pedals.acceleration_mps2 <= SPEED_UP_MPS2
        assert abs(pedals.acceleration_mps2 - before) <= JERK_MPS3 * 0.05 + 1e-9
