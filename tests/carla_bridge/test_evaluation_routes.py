"""Routes: places on a line by hand, and lines from maps by CARLA's own reader."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("carla", reason="needs the extra carla")

import carla

from carla_bridge.evaluation.routes import (
    GUIDE_AFTER_M,
    GUIDE_BEFORE_M,
    GUIDE_BEYOND_M,
    Route,
    plan_route,
    sharpest_bend_1pm,
    to_vehicle,
    wrapped_deg,
)
from carla_bridge.world import shipped_maps
from carla_bridge.world.random_roads.alignment import chain
from carla_bridge.world.random_roads.kinds import SOLID, CrossSection, LaneSpec
from carla_bridge.world.random_roads.write import RoadText
from carla_bridge.world.shipped_maps.joined import joined
from edge_seg.errors import EdgeSegError

WIDTH_M = 3.5


def line(points: list[tuple[float, float]], yaw_deg: float, junction: slice = slice(0)) -> Route:
    inside = np.zeros(len(points), bool)
    inside[junction] = True
    return Route.of_points(points, [yaw_deg] * len(points), [WIDTH_M] * len(points), inside)


def eastwards(length: int, junction: slice = slice(0)) -> Route:
    return line([(float(x), 0.0) for x in range(length + 1)], 0.0, junction)


def test_right_of_the_line_is_positive() -> None:
    """CARLA's y points to the right of a car that drives along x."""
    where = eastwards(100).locate(20.25, 0.5, near_m=20.0)
    assert (where.progress_m, where.cross_track_m) == (20.25, 0.5)
    assert eastwards(100).locate(20.0, -0.5, 20.0).cross_track_m == -0.5
    south = line([(0.0, float(y)) for y in range(50)], 90.0)
    assert south.locate(-0.5, 10.0, 10.0).cross_track_m == 0.5  # west is right of south


def test_the_line_that_passes_twice_is_searched_where_the_car_was() -> None:
    there = [(float(x), 0.0) for x in range(101)]
    back = [(float(x), 0.4) for x in range(100, -1, -1)]
    route = line(there + back, 0.0)
    assert route.locate(50.0, 0.3, near_m=48.0).progress_m == pytest.approx(50.0)
    assert route.locate(50.0, 0.3, near_m=149.0).progress_m == pytest.approx(150.4)


def test_the_ends_of_the_line_hold() -> None:
    route = eastwards(100)
    assert route.locate(-3.0, 4.0, 0.0).cross_track_m == 5.0
    assert route.locate(103.0, 0.0, 99.0).progress_m == 100.0


def test_headings_turn_the_short_way() -> None:
    route = Route.of_points([(0, 0), (1, 0)], [179.0, -179.0], [WIDTH_M] * 2, [False] * 2)
    assert route.locate(0.5, 0.0, 0.0).heading_deg == pytest.approx(180.0)
    assert wrapped_deg(540.0) == 180.0 and wrapped_deg(-190.0) == 170.0


def test_guided_from_before_a_junction_until_behind_it() -> None:
    route = eastwards(100, junction=slice(40, 51))
    guided = route.along_m[route.guided]
    assert (guided[0], guided[-1]) == (40.0 - GUIDE_BEFORE_M, 50.0 + GUIDE_AFTER_M)
    assert route.guided_m == pytest.approx(guided[-1] - guided[0] + 1.0)
    assert eastwards(100).guided_m == 0.0


def test_a_guide_is_the_line_ahead_in_vehicle_coordinates() -> None:
    route = eastwards(100, junction=slice(40, 51))
    where = route.locate(45.0, 1.0, 45.0)
    guide = route.guide(where, 45.0, 1.0, yaw_deg=0.0)
    assert guide is not None
    np.testing.assert_allclose(guide.points_m[:, 1], 1.0)  # the car is 1 m right: the line is left
    assert guide.points_m[-1, 0] == 50.0 + GUIDE_AFTER_M + 1.0 + GUIDE_BEYOND_M - 45.0
    assert guide.sharpest_curvature_1pm == 0.0
    assert route.guide(route.locate(10.0, 0.0, 10.0), 10.0, 0.0, 0.0) is None


def test_vehicle_coordinates_turn_with_the_car() -> None:
    """A car at the origin that faces south (yaw 90): east is to its left."""
    np.testing.assert_allclose(
        to_vehicle(np.array([[1.0, 0.0], [0.0, 2.0]]), 0.0, 0.0, 90.0),
        [[0.0, 1.0], [2.0, 0.0]],
        atol=1e-12,
    )


def test_a_circles_bend_is_one_over_its_radius() -> None:
    along = np.arange(40.0)
    assert sharpest_bend_1pm(np.degrees(along / 25.0), along) == pytest.approx(0.04)
    assert sharpest_bend_1pm(np.array([]), np.array([])) == 0.0


@pytest.fixture(scope="module")
def town() -> carla.Map:
    name = shipped_maps.names()[-1]
    return carla.Map(name, shipped_maps.text(name))


def start(town: carla.Map, index: int = 0) -> carla.Transform:
    first, _ = town.get_topology()[index]
    return first.transform


def test_a_planned_route_follows_lanes(town: carla.Map) -> None:
    route = plan_route(town, start(town), 150.0, seed=3)
    assert route.length_m == pytest.approx(150.0, abs=3.0)
    steps = np.hypot(*np.diff(route.points, axis=0).T)
    assert steps.min() > 0.5 and steps.max() < 1.5
    for x, y in route.points[::10]:
        assert town.get_waypoint(carla.Location(x, y)).lane_type == carla.LaneType.Driving
        where = route.locate(x, y, 0.0 if (x, y) == tuple(route.points[0]) else 75.0)
        assert abs(where.cross_track_m) < 200.0
    turns = np.abs([wrapped_deg(turn) for turn in np.diff(route.yaw_deg)])
    assert turns.max() < 30.0  # no jump: a metre of the tightest turn bends by less


def test_the_same_seed_takes_the_same_turns(town: carla.Map) -> None:
    routes = [plan_route(town, start(town), 400.0, seed) for seed in (1, 1, *range(2, 10))]
    assert np.array_equal(routes[0].points, routes[1].points)
    ends = {tuple(np.round(route.points[-1])) for route in routes}
    assert len(ends) > 1


def test_a_route_that_ends_at_once_is_refused() -> None:
    straight = carla.Map("Straight", shipped_maps.text("Straight"))
    (first, last) = straight.get_topology()[0]
    near_end = last.transform
    lane = straight.get_waypoint(near_end.location)
    before = lane.previous(20.0)[0].transform if not lane.next(60.0) else first.transform
    if straight.get_waypoint(before.location).next(60.0):
        pytest.skip("the straight map's lanes go on")
    with pytest.raises(EdgeSegError, match=r"ends after \d+ m: choose another route"):
        plan_route(straight, before, 300.0, seed=0)


def test_a_route_ends_before_a_corner_that_no_car_gets_round() -> None:
    def turning(radius_m: float) -> carla.Map:
        corner = (radius_m * math.pi / 2.0, -1.0 / radius_m, -1.0 / radius_m)
        pose, roads = (0.0, 0.0, 0.0), []
        for number, shape in enumerate([(70.0, 0.0, 0.0), corner, (70.0, 0.0, 0.0)], start=1):
            plan = chain(pose, [shape])
            side = (LaneSpec("driving", WIDTH_M, SOLID, "white", 0.12, slot="lane"),)
            section = CrossSection(side, side, LaneSpec("none", 0.0, SOLID, "white", 0.12))
            level = [(0.0, 0.0, 0.0, 0.0, 0.0)]
            roads.append(RoadText(number, plan, level, [(0.0, section)], 30))
            pose = plan[-1].last
        return carla.Map("corner", joined("corner", roads, [(1, 2), (2, 3)]))

    for radius_m, length_m in ((4.5, 65.0), (8.0, 150.0)):  # of its middle; the lane's is 1.75 less
        town = turning(radius_m)
        first = town.get_waypoint_xodr(1, -1, 1.0).transform
        assert plan_route(town, first, 300.0, seed=0).length_m == pytest.approx(length_m, abs=6.0)


def test_progress_grows_along_the_whole_route(town: carla.Map) -> None:
    route = plan_route(town, start(town), 300.0, seed=5)
    progress = 0.0
    for point, yaw in zip(route.points, route.yaw_deg, strict=True):
        where = route.locate(*point, near_m=progress)
        assert where.progress_m >= progress - 1e-6
        assert abs(where.cross_track_m) < 0.02
        assert abs(wrapped_deg(where.heading_deg - yaw)) < 15.0
        progress = where.progress_m
    assert progress == pytest.approx(route.length_m)
    assert math.isfinite(route.guided_m)
