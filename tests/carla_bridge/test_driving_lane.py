"""The lane in drawn masks: where it is, how wide, how sure; what is missing and what misleads."""

from __future__ import annotations

import numpy as np
import pytest
from driving_bench import Car, DrawnRoad, Line, draw

from carla_bridge.driving import lane as lane_module
from carla_bridge.driving.lane import Lane, find_lane
from carla_bridge.driving.memory import TILT, WIDTH, Memory, moved
from carla_bridge.driving.track import CURVATURES, HEADING, LENGTHS_M, OFFSET, Motion
from carla_bridge.driving.view import View

VIEW = View(640, 480, 90.0, 1.5, -8.0, forward_m=0.5)
STRAIGHT = ((100.0, 0.0),)


def seen(road: DrawnRoad, car: Car | None = None, near_m: float = 0.0) -> np.ndarray:
    return draw(road, VIEW, car or Car(), near_m)


def middle_at(lane: Lane, ahead_m: float) -> float:
    x, y = lane.track.points_m.T
    return float(np.interp(ahead_m, x, y))


@pytest.mark.parametrize("width_m", [3.0, 3.5, 4.0])
@pytest.mark.parametrize("aside_m", [-0.4, 0.0, 0.4])
def test_a_straight_lane_is_found_where_it_is(width_m: float, aside_m: float) -> None:
    lane = find_lane(seen(DrawnRoad(STRAIGHT, width_m), Car(y=aside_m)), VIEW, Memory.fresh())
    assert lane.width_m == pytest.approx(width_m, abs=0.05)
    assert middle_at(lane, 8.0) == pytest.approx(-aside_m, abs=0.04)
    assert lane.confidence > 0.8
    assert lane.boundary_m(1.0)[LENGTHS_M == 8.0][0, 1] == pytest.approx(
        width_m / 2.0 - aside_m, abs=0.06
    )


def test_a_bend_is_found_within_three_looks() -> None:
    mask, memory = seen(DrawnRoad(((100.0, 1 / 50.0),))), Memory.fresh(3.5)
    for _ in range(3):
        lane = find_lane(mask, VIEW, memory)
        memory = moved(lane.memory, Motion(0.0, 0.0, 0.0))
    assert middle_at(lane, 10.0) == pytest.approx(1.01, abs=0.08)  # 50 - sqrt(50^2 - 10^2)
    assert middle_at(lane, 20.0) == pytest.approx(4.17, abs=0.25)


def test_a_turned_car_sees_a_turned_lane() -> None:
    lane = find_lane(seen(DrawnRoad(STRAIGHT), Car(heading=0.1)), VIEW, Memory.fresh(3.5))
    assert middle_at(lane, 10.0) == pytest.approx(-10.0 * np.tan(0.1), abs=0.08)


def test_mirrored_masks_give_mirrored_lanes() -> None:
    # The road is alike on both sides, so the mirrored mask is that of the mirrored road.
    road = DrawnRoad(((100.0, 1 / 80.0),), left_edge_m=2.2, right_edge_m=2.2)
    mask = seen(road, Car(y=0.3))
    lane = find_lane(mask, VIEW, Memory.fresh(3.5))
    mirrored = find_lane(np.ascontiguousarray(mask[:, ::-1]), VIEW, Memory.fresh(3.5))
    near = (LENGTHS_M > 0.0) & (LENGTHS_M < 20.0)
    expected = lane.track.points_m[near] * [1.0, -1.0]
    assert mirrored.track.points_m[near] == pytest.approx(expected, abs=0.06)


def test_one_line_leads_at_the_width_that_is_known() -> None:
    for side in (1.0, -1.0):
        road = DrawnRoad(STRAIGHT, 3.2, lines=(Line(side * 1.6),), left_edge_m=8, right_edge_m=8)
        lane = find_lane(seen(road, Car(y=0.3)), VIEW, Memory.fresh(3.2))
        assert middle_at(lane, 8.0) == pytest.approx(-0.3, abs=0.06)
        assert (lane.sees_left_m > 10.0) == (side > 0) and (lane.sees_right_m > 10.0) == (side < 0)


def test_a_lane_that_some_of_its_lines_contradict_is_sought_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A course, a slope and a width that explain the right line alone, and are believed."""
    lines = (Line(1.75, dash=(3.0, 9.0)), Line(-1.75), Line(5.25))
    mask = seen(DrawnRoad(STRAIGHT, lines=lines, left_edge_m=6.0, right_edge_m=2.6), Car(y=0.6))
    settled = Memory.fresh(3.5)
    settled.numbers[[OFFSET, HEADING, WIDTH, TILT]] = -0.26, 0.0, 3.95, 0.024
    settled.numbers[CURVATURES][5:] = -0.03
    settled = Memory(settled.numbers, settled.covariance * 0.02)
    found = find_lane(mask, VIEW, settled, 3.5)
    assert middle_at(found, 8.0) == pytest.approx(-0.6, abs=0.1)
    assert found.width_m == pytest.approx(3.5, abs=0.1)
    monkeypatch.setattr(lane_module, "QUITE_SURE", 0.0)
    believed = find_lane(mask, VIEW, settled, 3.5)
    assert believed.support_m < found.support_m and abs(middle_at(believed, 8.0) + 0.6) > 0.2


def test_dashes_far_ahead_are_enough() -> None:
    # 3 m of line, 9 m of gap: from 5 m behind the car's nose on no dash is near.
    road = DrawnRoad(STRAIGHT, lines=(Line(1.75, dash=(3.0, 9.0)), Line(-1.75, dash=(3.0, 9.0))))
    car = Car(x=3.0)
    lane = find_lane(draw(road, VIEW, car, 3.0), VIEW, Memory.fresh(3.5))
    assert middle_at(lane, 8.0) == pytest.approx(0.0, abs=0.05) and lane.confidence > 0.5


def test_without_paint_the_edge_leads_at_the_distance_learnt_before() -> None:
    painted = DrawnRoad(STRAIGHT, right_edge_m=2.6)
    memory = find_lane(seen(painted, Car(y=0.2)), VIEW, Memory.fresh(3.5)).memory
    bare = DrawnRoad(STRAIGHT, lines=(), right_edge_m=2.6)
    for tick in range(1, 40):
        car = Car(x=0.5 * tick, y=0.2 + 0.01 * tick)
        memory = moved(memory, Motion(0.5, 0.01, 0.0))
        lane = find_lane(draw(bare, VIEW, car, car.x), VIEW, memory)
        memory = lane.memory
    assert middle_at(lane, 8.0) == pytest.approx(-0.59, abs=0.1)
    assert lane.sees_left_m == lane.sees_right_m == 0.0 and lane.sees_edges_m > 10.0


def test_bars_and_arrows_on_the_road_do_not_turn_the_lane() -> None:
    mask = seen(DrawnRoad(STRAIGHT))
    arrow = VIEW.pixels([[9.0, 0.3], [9.0, -0.3], [12.0, -0.3], [12.0, 0.3]]).astype(int)
    bar = VIEW.pixels([[14.0, 5.0], [14.0, -2.0], [14.6, -2.0], [14.6, 5.0]]).astype(int)
    import cv2

    cv2.fillPoly(mask, [arrow.astype(np.int32), bar.astype(np.int32)], 2)
    lane = find_lane(mask, VIEW, Memory.fresh(3.5))
    assert [middle_at(lane, at) for at in (5.0, 10.0, 20.0)] == pytest.approx([0, 0, 0], abs=0.05)


def test_wrong_pixels_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    mask = seen(DrawnRoad(STRAIGHT), Car(y=0.3))
    wrong = rng.random(mask.shape) < 0.05
    mask[wrong] = rng.integers(0, 3, int(wrong.sum()))
    lane = find_lane(mask, VIEW, Memory.fresh(3.5))
    assert middle_at(lane, 8.0) == pytest.approx(-0.3, abs=0.05)


def test_the_road_that_ends_is_seen_to_end() -> None:
    mask = seen(DrawnRoad(STRAIGHT))
    row = int(VIEW.pixels([[15.0, 0.0]])[0, 1])
    mask[:row] = 0
    lane = find_lane(mask, VIEW, Memory.fresh(3.5))
    assert lane.road_end_m == pytest.approx(15.0, abs=1.0)
    assert np.isinf(find_lane(seen(DrawnRoad(STRAIGHT)), VIEW, Memory.fresh(3.5)).road_end_m)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_corner_is_gone_round_not_ended_at(side: float) -> None:
    road = DrawnRoad(((60.0, 0.0), (16.0, side / 10.0), (40.0, 0.0)))
    memory, found = Memory.fresh(3.5), []
    for at in np.arange(38.0, 52.0, 0.5):
        lane = find_lane(draw(road, VIEW, Car(x=at), at), VIEW, memory)
        memory = moved(lane.memory, Motion(0.5, 0.0, 0.0))
        found.append(lane)
    lengths, curvatures = found[-1].track.bends
    ahead = curvatures[(lengths > 12.0) & (lengths < 18.0)] * side
    assert ahead.mean() == pytest.approx(0.1, abs=0.03)


def test_nothing_in_the_mask_nothing_claimed() -> None:
    empty = np.zeros((480, 640), np.uint8)
    lane = find_lane(empty, VIEW, Memory.fresh(3.5))
    assert lane.confidence < 0.05 and lane.road_share == 0.0
    assert lane.memory.numbers[OFFSET] == pytest.approx(0.0, abs=1e-6)
    assert lane.memory.numbers[WIDTH] == pytest.approx(3.5)


@pytest.mark.parametrize("value", [0, 1, 2, 255])
def test_any_mask_gives_finite_numbers(value: int) -> None:
    rng = np.random.default_rng(value)
    memory = Memory.fresh()
    for _ in range(10):
        noise = rng.integers(0, 3, (480, 640)).astype(np.uint8)
        noise[rng.random(noise.shape) < 0.5] = value
        memory = moved(find_lane(noise, VIEW, memory).memory, Motion(0.5, 0.0, 0.01))
    assert np.isfinite(memory.numbers).all() and np.isfinite(memory.covariance).all()
    assert np.linalg.eigvalsh(memory.covariance).min() > -1e-9
