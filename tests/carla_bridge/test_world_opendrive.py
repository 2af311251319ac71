"""Random OpenDRIVE: seeded, continuous, of every kind, and read as it was meant."""

from __future__ import annotations

import functools
import itertools
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from carla_bridge.world.maps.roads import Roads, read_roads
from carla_bridge.world.random_roads.alignment import biarc, plan, profile
from carla_bridge.world.random_roads.road import random_road
from carla_bridge.world.randomization import Dice, DomainRandomization

KINDS = {"street", "avenue", "residential", "rural", "dual", "motorway"}


def road(seed: int, **terms: float) -> str:
    return random_road(Dice(DomainRandomization(**terms), seed))


@functools.cache
def roads(seed: int) -> Roads:
    return read_roads(road(seed))


def kind_of(text: str) -> str:
    header = ElementTree.fromstring(text).find("header")
    assert header is not None
    return str(header.get("name"))


def with_junction(count: int) -> list[str]:
    texts = (road(seed) for seed in range(100))
    return [text for text in texts if "<junction " in text][:count]


def parse(text: str) -> Any:
    carla = pytest.importorskip("carla", reason="needs the extra carla")
    return carla.Map("road", text)


def test_same_seed_same_text() -> None:
    assert road(3) == road(3)
    assert road(3) != road(4)


def test_roads_differ_in_kind() -> None:
    assert {kind_of(road(seed)) for seed in range(60)} == KINDS


def test_without_its_term_there_is_one_straight_street_with_standard_marks() -> None:
    texts = {road(seed, roads=0.0, hills=0.0).split("<planView>")[0] for seed in range(5)}
    assert len(texts) == 1
    found = read_roads(road(1, roads=0.0, hills=0.0))
    assert sorted(lane.kind for lane in found.lanes) == [
        "Driving", "Driving", "Shoulder", "Shoulder", "Sidewalk", "Sidewalk",
    ]  # fmt: skip
    assert sorted(line.kind for line in found.lines) == ["Broken", "Solid", "Solid"]
    for lane in found.lanes:
        direction = np.diff(lane.left, axis=0)
        assert np.allclose(direction, direction[0], atol=1e-6)


def test_hills_change_heights_and_nothing_else() -> None:
    for seed in range(12):
        flat, hilly = read_roads(road(seed, hills=0.0)), roads(seed)
        for one, other in zip(flat.lanes, hilly.lanes, strict=True):
            assert np.abs(one.left[:, :2] - other.left[:, :2]).max() < 0.05
    level = [read_roads(road(seed, hills=0.0)) for seed in range(12)]
    # What is left is superelevation in bends.
    assert max(np.abs(x.centre[:, 2]).max() for found in level for x in found.lanes) < 1.5


def test_roads_run_their_length() -> None:
    for seed in range(20):
        root = ElementTree.fromstring(random_road(Dice(DomainRandomization(), seed), 300.0))
        main = [x for x in root.findall("road") if x.get("junction") == "-1"][:2]
        total = sum(float(x.get("length", "0")) for x in main)
        assert 250.0 < total < 301.0 or len(root.findall("road")) == 1


@pytest.mark.parametrize("seed", range(10))
def test_geometries_join_where_carla_says_the_previous_one_ends(seed: int) -> None:
    text = road(seed)
    carla_map = parse(text)
    first = ElementTree.fromstring(text).find("road")
    assert first is not None
    right = {x.get("id") for x in first.findall("lanes/laneSection/right/lane")}
    lane_id = -1 if "-1" in right else 1
    for geometry in first.findall("planView/geometry")[1:]:
        s, heading = float(geometry.get("s", 0)), float(geometry.get("hdg", 0))
        before = carla_map.get_waypoint_xodr(1, lane_id, s - 0.02)
        after = carla_map.get_waypoint_xodr(1, lane_id, s + 0.02)
        assert before.transform.location.distance(after.transform.location) < 0.06
        # CARLA's y axis is mirrored, and its yaw with it.
        turn = np.radians(-before.transform.rotation.yaw) - heading
        assert abs((turn + np.pi) % (2 * np.pi) - np.pi) < 0.01


@pytest.mark.parametrize("seed", range(25))
def test_carla_has_the_lanes_where_they_are_read(seed: int) -> None:
    text = road(seed)
    lanes = [x.centre for x in roads(seed).lanes if x.kind == "Driving"]
    centres = np.concatenate(
        [x[:-1, :2] + np.diff(x, axis=0)[:, :2] * k / 16.0 for x in lanes for k in range(17)]
    )
    for waypoint in parse(text).generate_waypoints(7.0):
        place = np.array([waypoint.transform.location.x, -waypoint.transform.location.y])
        assert np.linalg.norm(centres - place, axis=1).min() < 0.05


def test_traffic_gets_through_every_junction() -> None:
    for text in with_junction(6):
        inside = [x for x in parse(text).generate_waypoints(2.0) if x.is_junction]
        assert inside
        for waypoint in inside:
            assert waypoint.next(1.0)
            assert waypoint.previous(1.0)


def mouths(found: Roads) -> list[np.ndarray]:
    """Return where lanes that lead into the junction end: (left, right) points."""
    return [
        np.stack([x.left[-1], x.right[-1]])
        for x in found.lanes
        if x.kind == "Driving" and x.ends_at_junction and not x.junction
    ]


def test_connecting_lanes_begin_where_arms_end() -> None:
    for text in with_junction(12):
        found = read_roads(text)
        starts = [np.stack([x.left[0], x.right[0]]) for x in found.lanes if x.junction]
        ends = mouths(found)
        assert len(ends) >= 3
        # From each arm, some lane leads on exactly: no slit, no step.
        best = [min(float(np.abs(end - start).max()) for start in starts) for end in ends]
        assert sum(gap < 0.001 for gap in best) >= 3


def test_paint_stops_at_junctions() -> None:
    for text in with_junction(12):
        root = ElementTree.fromstring(text)
        marks = [
            mark.get("type")
            for connecting in root.findall("road")
            if connecting.get("junction") != "-1"
            for mark in connecting.iter("roadMark")
        ]
        assert set(marks) <= {"none", "curb"}


def test_pavements_go_around_corners() -> None:
    corners = 0
    for text in with_junction(30):
        if kind_of(text) not in ("street", "avenue"):
            continue
        found = read_roads(text)
        asphalt = np.concatenate([x.centre for x in found.lanes if x.kind == "Driving"])
        for walk in (x for x in found.lanes if x.kind == "Sidewalk" and x.junction):
            turn = walk.left[[1, -1], :2] - walk.left[[0, -2], :2]
            angle = np.arctan2(np.cross([*turn[0], 0], [*turn[1], 0])[2], turn[0] @ turn[1])
            corners += abs(angle) > 0.8
            gap = np.linalg.norm(asphalt[:, None] - walk.centre[None, ::4], axis=2)
            assert gap.min() > 1.0
    assert corners > 20


def test_straight_roads_with_a_far_view_are_frequent() -> None:
    straight = 0
    for seed in range(60):
        lane = max(roads(seed).driving(), key=lambda x: len(x.s))
        span = np.linalg.norm(lane.centre[-1, :2] - lane.centre[0, :2])
        straight += span > 0.995 * np.linalg.norm(np.diff(lane.centre[:, :2], axis=0), axis=1).sum()
    assert 20 < straight < 50


def test_roads_have_what_real_ones_have() -> None:
    kinds: set[str] = set()
    marks: set[str] = set()
    tapers = leans = slips = 0
    for seed in range(60):
        leans += "<superelevation" in road(seed)
        found = roads(seed)
        kinds |= {x.kind for x in found.lanes}
        marks |= {line.kind for line in found.lines}
        for lane in found.lanes:
            tapers += np.ptp(lane.width) > 0.5
            slips += lane.kind == "Driving" and not lane.junction and lane.width.min() < 0.1
    assert kinds >= {"Driving", "Shoulder", "Sidewalk", "Parking", "Biking", "Median", "Grass"}
    assert marks >= {"Solid", "Broken", "SolidSolid", "SolidBroken", "BottsDots"}
    assert min(tapers, leans, slips) > 5


def test_no_road_meets_itself_outside_junctions() -> None:
    for seed in range(60):
        for lane in roads(seed).lanes:
            assert lane.junction or lane.shared is None or not lane.shared[3:-3].any()


def test_a_profile_is_smooth_and_level_where_asked() -> None:
    records = profile(np.random.default_rng(4), 300.0, 0.06, 2.0, (20.0, 30.0))
    assert records[0][:3] == (0.0, 2.0, 0.0)
    for (s, a, b, c, _), (following, height, slope, *_) in itertools.pairwise(records):
        d = following - s
        assert a + d * (b + d * c) == pytest.approx(height)
        assert b + 2.0 * c * d == pytest.approx(slope)
        assert abs(slope) <= 0.06
    assert records[-1][2] == pytest.approx(0.0)


def test_a_plan_ends_straight_where_asked() -> None:
    for seed in range(20):
        pieces = plan(np.random.default_rng(seed), 200.0, 45.0, 1.0, straight=25.0)
        assert pieces[-1].s + pieces[-1].length == pytest.approx(200.0)
        assert pieces[-1].start == pieces[-1].end == 0.0
        assert pieces[-1].length >= 24.999


@pytest.mark.parametrize(
    "goal", [(20.0, 0.0, 0.0), (20.0, 4.0, 0.0), (10.0, -10.0, -np.pi / 2), (9.0, 14.0, 2.0)]
)
def test_a_biarc_leaves_and_arrives_as_it_should(goal: tuple[float, float, float]) -> None:
    pieces = biarc((0.0, 0.0, 0.0), goal)
    assert pieces[0].heading == 0.0
    x, y, heading = pieces[-1].last
    assert (x, y) == pytest.approx(goal[:2], abs=1e-3)
    assert (heading - goal[2] + np.pi) % (2 * np.pi) - np.pi == pytest.approx(0.0, abs=1e-6)


def test_a_quarter_turn_by_biarc_is_the_circle() -> None:
    first, second = biarc((0.0, 0.0, 0.0), (10.0, 10.0, np.pi / 2))
    assert first.start == pytest.approx(0.1)
    assert second.start == pytest.approx(0.1)
    assert first.length + second.length == pytest.approx(5.0 * np.pi)
