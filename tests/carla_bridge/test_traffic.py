"""Lanes as the server asks for them, and cars that follow them without touching each other."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carla_bridge.world import shipped_maps
from carla_bridge.world.traffic._carla import client
from carla_bridge.world.traffic.boxes import Body, overlap
from carla_bridge.world.traffic.follower import GAIN, HEADWAY, LOSS, STANDING_GAP
from edge_seg.errors import EdgeSegError, MissingRuntimeError

os.environ.setdefault("HOME", "/")
carla = pytest.importorskip("carla", reason="needs the extra carla")

from carla_bridge.world.traffic import Follower, Lanes, Traffic  # noqa: E402

NAMES = shipped_maps.names()
DT = 0.05


@pytest.fixture(scope="module")
def lanes():  # type: ignore[no-untyped-def]
    found = {name: Lanes(carla.Map(name, shipped_maps.text(name))) for name in NAMES}
    return found.__getitem__


def touching(traffic: Traffic, room: float = 0.0) -> list[tuple[int, int]]:
    bodies = [car.body for car in traffic.followers]
    heights = [car.pose.z for car in traffic.followers]
    return [
        (i, j)
        for i in range(len(bodies))
        for j in range(i)
        if abs(heights[i] - heights[j]) < 2.0 and overlap(bodies[i], bodies[j], room)
    ]


# --- boxes ------------------------------------------------------------------------------------


def test_boxes_side_by_side_and_crossed() -> None:
    car = Body(0.0, 0.0, 0.0, 2.0, 1.0)
    assert overlap(car, Body(3.9, 0.0, 0.0, 2.0, 1.0))
    assert not overlap(car, Body(4.1, 0.0, 0.0, 2.0, 1.0))
    assert not overlap(car, Body(0.0, 2.1, 0.0, 2.0, 1.0))
    # Turned by 90 degrees its length lies across: they touch at 2 + 1 metres.
    assert overlap(car, Body(2.9, 0.0, math.pi / 2, 2.0, 1.0))
    assert not overlap(car, Body(3.1, 0.0, math.pi / 2, 2.0, 1.0))
    # A corner that only seems to reach in: the axis between the two corners is at 45 degrees.
    assert not overlap(car, Body(3.5, 2.5, math.pi / 4, 2.0, 1.0))


BODY = st.builds(
    Body,
    st.floats(-6, 6),
    st.floats(-6, 6),
    st.floats(-4, 4),
    st.floats(0.5, 4),
    st.floats(0.3, 1.5),
)


@settings(max_examples=150, deadline=None)
@given(BODY, BODY)
def test_overlap_is_that_of_the_points_within(one: Body, other: Body) -> None:
    def points(body: Body, scale: float) -> np.ndarray:
        side = np.linspace(-scale, scale, 33)
        u, v = np.meshgrid(side * body.half_length, side * body.half_width)
        cos, sin = math.cos(body.yaw), math.sin(body.yaw)
        return np.stack([body.x + u * cos - v * sin, body.y + u * sin + v * cos], axis=-1)

    def inside(found: np.ndarray, body: Body, room: float) -> bool:
        away = found - [body.x, body.y]
        cos, sin = math.cos(body.yaw), math.sin(body.yaw)
        along = np.abs(away[..., 0] * cos + away[..., 1] * sin) <= body.half_length + room
        across = np.abs(away[..., 1] * cos - away[..., 0] * sin) <= body.half_width + room
        return bool((along & across).any())

    assert overlap(one, other) == overlap(other, one)
    if inside(points(one, 0.99), other, -0.001) or inside(points(other, 0.99), one, -0.001):
        assert overlap(one, other)
    elif overlap(one, other):  # then the grid, a quarter of a metre fine, comes close to it
        assert inside(points(one, 1.0), other, 0.3)


# --- lanes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_spawn_points_lie_on_lanes_clear_of_each_other(name: str, lanes) -> None:  # type: ignore[no-untyped-def]
    found = lanes(name).spawn_points()
    assert len(found) > 40
    places = np.array([(t.location.x, t.location.y) for t in found])
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(len(places))
    assert gaps.min() > 2.8
    for transform in found:
        waypoint = lanes(name).map.get_waypoint(transform.location)
        assert abs(aside(waypoint, transform.location)) < 0.01
        assert not waypoint.is_junction
        assert str(waypoint.lane_type) == "Driving"
        turn = waypoint.transform.rotation.yaw - transform.rotation.yaw
        assert abs(math.remainder(turn, 360.0)) < 0.5
        assert waypoint.next(9.0) and waypoint.previous(9.0)
        z, pitch, _ = lanes(name).ground(*places_of(transform))
        assert transform.location.z - z == pytest.approx(0.3, abs=1e-3)
        assert transform.rotation.pitch == pytest.approx(pitch, abs=1e-3)


def aside(waypoint, location) -> float:  # type: ignore[no-untyped-def]
    """Return metres from a lane's centre to a place, to the right."""
    centre, right = waypoint.transform.location, waypoint.transform.get_right_vector()
    return (location.x - centre.x) * right.x + (location.y - centre.y) * right.y


def places_of(transform) -> tuple[float, float, float, float]:  # type: ignore[no-untyped-def]
    location = transform.location
    return location.x, location.y, location.z, transform.rotation.yaw


def test_spawn_points_are_the_same_every_time() -> None:
    def find() -> list[tuple[float, ...]]:
        made = Lanes(carla.Map("Town", shipped_maps.text("Town")))
        return [places_of(t) for t in made.spawn_points()]

    assert find() == find()


def test_ground_on_a_leaning_slope() -> None:
    # 5 % up along x, the left side up by 4 %: worked by hand at (20, 1.75 to the right).
    text = shipped_maps.text("Straight")
    text = text.replace('a="0" b="0" c="0" d="0"', 'a="0" b="0.05" c="0" d="0"', 1)
    lean = '<lateralProfile><superelevation s="0" a="0.04" b="0" c="0" d="0"/></lateralProfile>'
    text = text.replace("<lateralProfile />", lean)
    leaning = Lanes(carla.Map("slope", text))
    z, pitch, roll = leaning.ground(20.0, 1.75, 15.0, 0.0)
    assert z == pytest.approx(320.0 * 0.05 - 1.75 * 0.04, abs=0.01)
    assert pitch == pytest.approx(math.degrees(math.atan(0.05)), abs=0.02)
    assert roll == pytest.approx(math.degrees(math.atan(0.04)), abs=0.05)
    # The other way round it goes down, and leans to the left.
    _, pitch, roll = leaning.ground(20.0, -1.75, 15.0, 180.0)
    assert (pitch, roll) == pytest.approx((-2.862, -2.291), abs=0.05)
    # Across the road it climbs as the road leans: to the left, which is CARLA's yaw -90.
    _, pitch, roll = leaning.ground(20.0, 0.0, 15.0, -90.0)
    assert (pitch, roll) == pytest.approx((2.291, -2.862), abs=0.05)
    # CARLA's own rotation has the right side down where roll is positive, the nose up for pitch.
    assert carla.Transform(carla.Location(), carla.Rotation(roll=5.0)).get_right_vector().z < 0.0
    assert carla.Transform(carla.Location(), carla.Rotation(pitch=5.0)).get_forward_vector().z > 0.0


def test_ground_of_a_map_far_from_its_origin() -> None:
    # As maps in UTM are: our reader moves them, CARLA does not.
    text = shipped_maps.text("Straight").replace('x="-300" y="0"', 'x="412345" y="5412345"')
    text = text.replace('a="0" b="0" c="0" d="0"', 'a="7" b="0.02" c="0" d="0"', 1)
    z, pitch, _ = Lanes(carla.Map("far", text)).ground(412345.0 + 100.0, -5412345.0, 9.0, 0.0)
    assert (z, pitch) == pytest.approx((9.0, 1.146), abs=0.02)


def test_ground_on_the_ring_is_that_of_our_reader(lanes) -> None:  # type: ignore[no-untyped-def]
    from carla_bridge.world.maps.roads import read_roads

    for lane in read_roads(shipped_maps.text("Ring")).lanes:
        if lane.kind != "Driving":
            continue
        for row in range(0, len(lane.s), 20):
            for share in (0.1, 0.5, 0.9):
                x, y, z = lane.left[row] + share * (lane.right[row] - lane.left[row])
                assert lanes("Ring").ground(x, -y, z + 0.5, 0.0)[0] == pytest.approx(z, abs=0.02)


def test_nearest_lane_and_its_limit(lanes) -> None:  # type: ignore[no-untyped-def]
    pose = lanes("Straight").nearest(10.0, 2.25, 0.0)
    assert (pose.x, pose.y, pose.lane) == pytest.approx((10.0, 1.75, -1))
    assert (pose.aside_m, pose.width_m, pose.junction) == pytest.approx((0.5, 3.5, -1))
    assert lanes("Straight").speed_limit(10.0, 2.0, 0.0) == 70.0
    assert {lanes("Town").network.speed_limit(road) for road in range(1, 21)} == {30.0, 50.0}


def test_a_map_without_limits_has_carlas_own() -> None:
    import re

    text = re.sub(r"<speed [^>]*>", "", shipped_maps.text("Straight"))
    assert Lanes(carla.Map("x", text)).speed_limit(0.0, 0.0, 0.0) == 30.0


@pytest.mark.parametrize("name", NAMES)
def test_tracks_are_carlas_lane_centres(name: str, lanes) -> None:  # type: ignore[no-untyped-def]
    network = lanes(name).network
    for key in network.keys[::3]:
        track = network.track(key)
        for share in (0.01, 0.37, 0.93):
            place = track.at(share * track.length)
            waypoint = lanes(name).map.get_waypoint(carla.Location(place.x, place.y, place.z))
            if (waypoint.road_id, waypoint.lane_id) != (key.road, key.lane):
                continue  # lanes lie over each other in junctions
            assert abs(aside(waypoint, carla.Location(*place[:3]))) < 0.01
            assert abs(waypoint.transform.location.z - place.z) < 0.02
            turn = math.degrees(place.yaw) - waypoint.transform.rotation.yaw
            assert abs(math.remainder(turn, 360.0)) < 1.0


def test_without_carla_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "carla", None)
    with pytest.raises(MissingRuntimeError, match=r'pip install "edge-seg\[carla\]"'):
        client()


def test_carla_loads_without_home() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "HOME"}
    code = "from carla_bridge.world.traffic._carla import client; print(client().__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, "carla")


# --- one car ----------------------------------------------------------------------------------


def one_car(lanes: Lanes, speed: float | None = None, start: int = 0) -> Follower:
    track, at = lanes.starts()[start]
    return Follower(lanes, track, at, "vehicle.audi.tt", seed=1, speed_mps=speed)


def test_the_gap_behind_a_leader_is_that_of_the_model(lanes) -> None:  # type: ignore[no-untyped-def]
    # At rest with the leader: s = s* / sqrt(1 - (v / v0)^4), with s* = s0 + v T.
    car = one_car(lanes("Straight"), speed=15.0)
    car.plan()
    car.speed_mps = 10.0
    gap = (STANDING_GAP + 10.0 * HEADWAY) / math.sqrt(1.0 - (10.0 / 15.0) ** 4)
    assert car.acceleration(gap, 10.0) == pytest.approx(0.0, abs=1e-9)
    assert car.acceleration(0.8 * gap, 10.0) < 0.0 < car.acceleration(1.2 * gap, 10.0)
    car.speed_mps = 0.0
    assert car.acceleration(math.inf, 0.0) == GAIN
    car.speed_mps = 20.0
    assert car.acceleration(math.inf, 0.0) == -LOSS


def alone(lanes: Lanes, seconds: float, speed: float | None, start: int = 0) -> list[Follower]:
    traffic = Traffic(lanes, 0)
    traffic.followers.append(one_car(lanes, speed, start))
    states = []
    for _ in range(round(seconds / DT)):
        traffic.step(DT)
        car = traffic.followers[0]
        states.append((*car.pose, car.speed_mps))
    return np.array(states)  # type: ignore[return-value]


def test_it_reaches_its_speed_smoothly(lanes) -> None:  # type: ignore[no-untyped-def]
    states = alone(lanes("Ring"), 30.0, 10.0)
    speed = states[:, 6]
    assert speed[-1] == pytest.approx(10.0, abs=0.05)
    assert speed.max() < 10.01
    assert np.abs(np.diff(speed)).max() <= GAIN * DT + 1e-9


@pytest.mark.parametrize("name", ["Ring", "Town"])
def test_it_moves_and_turns_without_jumps(name: str, lanes) -> None:  # type: ignore[no-untyped-def]
    states = alone(lanes(name), 60.0, 9.0)
    step = np.linalg.norm(np.diff(states[:, :2], axis=0), axis=1)
    assert step.max() < 9.0 * DT * 1.02
    assert np.abs(step - states[1:, 6] * DT).max() < 0.02
    yaw = np.abs((np.diff(states[:, 4]) + 180.0) % 360.0 - 180.0)
    assert yaw.max() < 4.0  # a bend of 8 m radius at 4 m/s: 1.4 degrees a step
    assert np.abs(np.diff(states[:, 2])).max() < 0.06
    assert np.abs(np.diff(states[:, [3, 5]], axis=0)).max() < 0.6


def test_it_slows_down_for_bends(lanes) -> None:  # type: ignore[no-untyped-def]
    states = alone(lanes("SCurve"), 40.0, 20.0, start=len(lanes("SCurve").starts()) // 2)
    speed = states[:, 6]
    turn = np.abs((np.diff(np.radians(states[:, 4])) + np.pi) % (2 * np.pi) - np.pi) / DT
    assert (turn * speed[1:]).max() < 2.4
    assert speed.max() > 12.0


def test_it_stops_behind_what_stands_in_its_lane_and_goes_on_after(lanes) -> None:  # type: ignore[no-untyped-def]
    traffic = Traffic(lanes("Straight"), 0)
    traffic.followers.append(one_car(lanes("Straight"), 15.0, len(lanes("Straight").starts()) // 4))
    car = traffic.followers[0]
    ahead = car.path[0].at(car.at + 100.0)
    parked = Body(ahead.x, ahead.y + 0.4, ahead.yaw + 0.1, 2.3, 0.9, 0.0)
    for _ in range(600):
        traffic.step(DT, [parked])
    gap = math.hypot(car.pose.x - ahead.x, car.pose.y - ahead.y) - 2.3 - car.half_length
    assert car.speed_mps < 0.05
    assert 0.5 < gap < 5.0
    for _ in range(100):
        traffic.step(DT)
    assert car.speed_mps > 5.0


def test_it_does_not_stop_for_what_comes_towards_it_in_the_other_lane(lanes) -> None:  # type: ignore[no-untyped-def]
    traffic = Traffic(lanes("Straight"), 0)
    traffic.followers.append(one_car(lanes("Straight"), 12.0))
    car = traffic.followers[0]
    slowest, previous = 0.0, 0.0
    for i in range(300):
        ahead = car.path[0].at(car.at)
        other = Body(ahead.x + 60.0 - 0.5 * i, -ahead.y, ahead.yaw + math.pi, 2.3, 0.9, 10.0)
        traffic.step(DT, [other])
        slowest, previous = min(slowest, car.speed_mps - previous), car.speed_mps
    assert slowest > -0.02
    assert car.speed_mps == pytest.approx(12.0, abs=0.3)


def test_at_a_dead_end_it_stops_and_starts_elsewhere(lanes) -> None:  # type: ignore[no-untyped-def]
    traffic = Traffic(lanes("Straight"), 1, seed=4, speed_mps=20.0)
    car = traffic.followers[0]
    places = []
    for _ in range(1600):
        traffic.step(DT)
        places.append(abs(car.pose.x) + car.half_length)
    assert car.moves >= 1
    assert max(places) < 300.0  # never beyond the end of the road
    assert max(places) > 293.0


# --- many cars --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "least"), [("Ring", 0.75), ("Town", 0.45)])
def test_twenty_cars_for_two_minutes_never_touch(name: str, least: float, lanes) -> None:  # type: ignore[no-untyped-def]
    traffic = Traffic(lanes(name), 20, seed=0)
    shares, starts = [], [car.pose for car in traffic.followers]
    for tick in range(2400):
        traffic.step(DT)
        if tick % 4:
            continue
        assert not touching(traffic), f"after {tick * DT:.1f} s"
        if tick > 400:
            shares += [car.speed_mps / car.limit_mps() for car in traffic.followers]
    assert max(shares) < 1.15  # just behind a sign
    assert np.mean(shares) > least
    driven = [car.odometer_m for car in traffic.followers]
    assert min(driven) > 150.0, starts
    assert sum(car.moves for car in traffic.followers) == 0  # none was stuck


def test_the_same_seed_gives_the_same_cars(lanes) -> None:  # type: ignore[no-untyped-def]
    def run(seed: int) -> list[tuple[float, ...]]:
        made = Lanes(carla.Map("Town", shipped_maps.text("Town")))
        traffic = Traffic(made, 12, seed=seed)
        for _ in range(300):
            traffic.step(DT)
        return [(*car.pose, car.speed_mps) for car in traffic.followers]

    first = run(3)
    assert first == run(3)
    assert first[0] != (*Traffic(lanes("Town"), 12, seed=4).followers[0].pose, 0.0)


def test_cars_that_are_taken_away_leave_no_rights_behind(lanes) -> None:  # type: ignore[no-untyped-def]
    traffic = Traffic(lanes("Town"), 20, seed=5)
    for tick in range(2000):
        traffic.step(DT)
        if tick % 100 == 99 and len(traffic.followers) > 4:
            traffic.followers.pop(tick % len(traffic.followers))
    assert all(car.standing_s < 20.0 for car in traffic.followers)


def test_more_cars_than_there_is_room_for_are_refused(lanes) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(EdgeSegError, match=r"has room for \d+ cars of traffic, not 500"):
        Traffic(lanes("Straight"), 500)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_forty_cars_for_ten_minutes_never_touch_nor_get_stuck(seed: int, lanes) -> None:  # type: ignore[no-untyped-def]
    traffic = Traffic(lanes("Town"), 40, seed=seed)
    for tick in range(12_000):
        traffic.step(DT)
        if tick % 4 == 0:
            assert not touching(traffic), f"after {tick * DT:.1f} s"
    assert sum(car.moves for car in traffic.followers) == 0
