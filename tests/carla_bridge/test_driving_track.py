"""A road's course: circles by hand, levers against differences, and it does not move."""

from __future__ import annotations

import math

import numpy as np
import pytest

from carla_bridge.driving.memory import NUMBERS, TILT, WIDTH, Memory, moved
from carla_bridge.driving.odometry import Odometry, Pose, driven, motion_between
from carla_bridge.driving.track import (
    CURVATURES,
    HEADING,
    LENGTHS_M,
    OFFSET,
    ORIGIN,
    TRACK,
    Motion,
    Track,
    into_frame,
)


def circle(radius_m: float, offset_m: float = 0.0) -> Track:
    numbers = np.zeros(TRACK)
    numbers[OFFSET] = offset_m
    numbers[CURVATURES] = 1.0 / radius_m
    return Track(numbers)


def some_track() -> Track:
    numbers = np.zeros(TRACK)
    numbers[OFFSET], numbers[HEADING] = 0.4, 0.05
    numbers[CURVATURES] = np.linspace(0.0, 0.03, TRACK - 2)
    return Track(numbers)


def test_by_hand_a_circle() -> None:
    track = circle(20.0)
    at = ORIGIN + 2 * 20  # 20 m along: one radian
    assert LENGTHS_M[at] == 20.0
    assert track.points_m[at] == pytest.approx([20 * math.sin(1), 20 * (1 - math.cos(1))], abs=0.01)
    assert track.headings_rad[at] == pytest.approx(1.0)
    assert track.points_m[ORIGIN] == pytest.approx([0.0, 0.0])


@pytest.mark.parametrize("number", range(TRACK))
def test_levers_are_what_a_small_change_does(number: int) -> None:
    track, change = some_track(), np.zeros(TRACK)
    change[number] = 1e-6
    steps = (Track(track.numbers + change).points_m - track.points_m) / 1e-6
    normals = np.stack([-track.tangents[:, 1], track.tangents[:, 0]], axis=1)
    # Sums of half-metre trapezoids err by some centimetres for a curvature's lever of 800 m.
    assert track.levers[:, number] == pytest.approx(
        (steps * normals).sum(axis=1), rel=2e-3, abs=0.1
    )


def test_a_road_stays_where_it_is_while_the_car_drives_on() -> None:
    track, motion = circle(30.0, 0.5), Motion(3.0, 0.4, 0.15)
    expected = into_frame(track.points_m, motion)
    found = track.moved(motion).points_m
    near = (LENGTHS_M > 0.0) & (LENGTHS_M < 30.0)
    gaps = np.hypot(*(found[near, None, :] - expected[None, :, :]).T).min(axis=0)
    assert gaps.max() < 0.26 and np.median(gaps) < 0.26  # half a sample apart along the curve
    assert found[ORIGIN, 0] == pytest.approx(0.0)


def test_transition_is_how_the_moved_numbers_change() -> None:
    track, motion = some_track(), Motion(2.3, -0.2, 0.04)
    table = track.transition(motion)
    for number in range(TRACK):
        change = np.zeros(TRACK)
        change[number] = 1e-5
        slope = (
            Track(track.numbers + change).moved(motion).numbers - track.moved(motion).numbers
        ) / 1e-5
        # That the car comes abreast elsewhere on a curve is of second order, and left out.
        assert table[:, number] == pytest.approx(slope, abs=0.12)


def test_there_and_back_a_memory_is_what_it_was_but_less_sure() -> None:
    memory = Memory.fresh(3.5)
    there = moved(memory, Motion(1.0, 0.0, 0.0))
    back = moved(there, Motion(-1.0, 0.0, 0.0))
    assert np.delete(back.numbers, TILT) == pytest.approx(np.delete(memory.numbers, TILT))
    assert back.covariance[OFFSET, OFFSET] > memory.covariance[OFFSET, OFFSET]
    assert np.linalg.eigvalsh(back.covariance).min() > 0.0
    assert back.numbers[WIDTH] == 3.5 and len(back.numbers) == NUMBERS


def test_points_of_a_turn_make_the_track_of_that_turn() -> None:
    along = np.arange(-10.0, 30.0)
    turn = np.clip(along, 0.0, 12.0) / 8.0  # straight, 1.5 rad at 8 m radius, straight
    steps = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    points = np.concatenate([[[0.0, 0.0]], np.cumsum(steps, axis=0)]) - [10.0, 0.0]
    track = Track.through(points)
    near = (LENGTHS_M >= -4.0) & (LENGTHS_M <= 10.0)
    gaps = [
        np.hypot(
            *(
                np.stack(
                    [np.interp(np.linspace(0, 39, 2000), range(41), points[:, k]) for k in (0, 1)],
                    axis=1,
                )
                - place
            ).T
        ).min()
        for place in track.points_m[near]
    ]
    assert max(gaps) < 0.25


def test_points_that_repeat_make_a_track_all_the_same() -> None:
    points = np.repeat(np.column_stack([np.arange(20.0), np.zeros(20)]), 2, axis=0)
    assert Track.through(points).numbers == pytest.approx(np.zeros(TRACK), abs=1e-9)


def test_by_hand_a_quarter_of_a_circle_driven() -> None:
    # 10 m radius, the rear axle on it, the centre 1 m ahead of the axle.
    pose = driven(Pose(1.0, 0.0, 0.0), 10.0 * math.pi / 2.0, 1e-9, 0.0, 1.0)
    for _ in range(100):
        pose = driven(pose, 10.0 * math.pi / 2.0, math.pi / 2.0, 0.01, 1.0)
    assert pose == pytest.approx((10.0, 11.0, math.pi / 2.0), abs=0.01)


def test_motion_is_seen_from_where_it_began() -> None:
    motion = motion_between(Pose(1.0, 2.0, math.pi / 2.0), Pose(0.0, 5.0, math.pi))
    assert motion == pytest.approx((3.0, 1.0, math.pi / 2.0))


def test_odometry_between_notes_and_beyond_them() -> None:
    odometry = Odometry(rear_axle_m=1.4)
    assert odometry.motion(0.0, 1.0) == (0.0, 0.0, 0.0)
    for tick in range(5):
        odometry.drive(tick * 0.1, 10.0, 0.0)
    odometry.drive(0.2, 99.0, 9.0)  # a note from the past says nothing new
    assert odometry.motion(0.15, 0.35) == pytest.approx((2.0, 0.0, 0.0))
    assert odometry.motion(0.4, 0.7) == pytest.approx((3.0, 0.0, 0.0))
    assert odometry.motion(0.3, 0.1).forward_m == pytest.approx(-2.0)
