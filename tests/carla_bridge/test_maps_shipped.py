"""The maps that ship: both readers take them, lanes go on, and they are what they say."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.spatial import cKDTree

from carla_bridge.world import shipped_maps
from carla_bridge.world.maps.roads import Roads, read_roads
from edge_seg.errors import EdgeSegError

os.environ.setdefault("HOME", "/")
carla = pytest.importorskip("carla", reason="needs the extra carla")

NAMES = shipped_maps.names()
OPEN = ("Straight", "SCurve")
CLOSED = ("Ring", "Town")


def carla_map(name: str):  # type: ignore[no-untyped-def]
    return carla.Map(name, shipped_maps.text(name))


def roads(name: str) -> Roads:
    return read_roads(shipped_maps.text(name), name)


def place(waypoint) -> tuple[float, float, float]:  # type: ignore[no-untyped-def]
    """Return a waypoint's x, y, z in map coordinates."""
    location = waypoint.transform.location
    return location.x, -location.y, location.z


def test_there_are_four() -> None:
    assert NAMES == ("Straight", "SCurve", "Ring", "Town")


def test_folders_before_a_name_do_not_matter() -> None:
    assert shipped_maps.text("/Game/Carla/Maps/Ring") == shipped_maps.text("Ring")


def test_another_name_is_refused_with_the_closest() -> None:
    with pytest.raises(EdgeSegError, match="did you mean 'Straight'"):
        shipped_maps.text("Strait")


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_the_same_every_time(name: str) -> None:
    from carla_bridge.world.shipped_maps import ring, s_curve, straight, town

    modules = {"Straight": straight, "SCurve": s_curve, "Ring": ring, "Town": town}
    digests = {hashlib.sha256(modules[name].text().encode()).hexdigest() for _ in range(2)}
    assert digests == {hashlib.sha256(shipped_maps.text(name).encode()).hexdigest()}


@pytest.mark.parametrize("name", NAMES)
def test_places_have_a_latitude(name: str) -> None:
    # One degree of the globe is some 111 km; 0.9.16 counts latitude along its y, as is.
    found = carla_map(name).transform_to_geolocation(carla.Location(x=100.0, y=50.0, z=2.0))
    assert found.longitude == pytest.approx(100.0 / 111_320.0, rel=0.01)
    assert found.latitude == pytest.approx(50.0 / 110_574.0, rel=0.01)
    assert found.altitude == pytest.approx(2.0)


@pytest.mark.parametrize("name", NAMES)
def test_carla_and_our_reader_have_the_same_lanes(name: str) -> None:
    centres = []
    for lane in roads(name).driving() + [x for x in roads(name).lanes if x.kind == "Driving"]:
        at = np.arange(0.0, len(lane.s) - 1, 0.05)
        rows = np.arange(len(lane.s))
        centres.append(np.stack([np.interp(at, rows, lane.centre[:, i]) for i in (0, 1)], axis=1))
    waypoints = carla_map(name).generate_waypoints(3.0)
    away, _ = cKDTree(np.concatenate(centres)).query([place(w)[:2] for w in waypoints])
    # Chords of a metre cut bends by 2 cm, and samples are 5 cm apart.
    assert away.max() < 0.04 if name in CLOSED else away.max() < 0.055
    kinds = Counter(lane.kind for lane in roads(name).lanes)
    assert kinds["Driving"] > 0


@pytest.mark.parametrize("name", CLOSED)
def test_lanes_go_on_for_a_kilometre_from_everywhere(name: str) -> None:
    for number, start in enumerate(carla_map(name).generate_waypoints(8.0)):
        waypoint, gone = start, 0.0
        while gone < 1000.0:
            following = waypoint.next(12.5)
            assert following, f"no way on from {place(waypoint)}"
            waypoint = following[(number + int(gone)) % len(following)]
            gone += 12.5


@pytest.mark.parametrize("name", OPEN)
def test_lanes_go_on_to_the_end_of_the_road(name: str) -> None:
    length = sum(float(x.get("length", "")) for x in tree(name).findall("road"))
    for start in carla_map(name).generate_waypoints(50.0):
        waypoint, gone = start, 0.0
        while following := waypoint.next(2.0):
            assert len(following) == 1
            waypoint, gone = following[0], gone + 2.0
        at = start.s if start.lane_id > 0 else length - start.s
        assert gone == pytest.approx(at, abs=2.1)


@pytest.mark.parametrize("name", CLOSED)
def test_lanes_can_be_followed_backwards(name: str) -> None:
    for start in carla_map(name).generate_waypoints(25.0):
        assert start.previous(30.0)


@pytest.mark.parametrize("name", NAMES)
def test_lane_centres_do_not_jump(name: str) -> None:
    # Across roads, sections and junctions: a metre on is a metre away, and nearly as high.
    for start in carla_map(name).generate_waypoints(1.0):
        for following in start.next(1.0):
            a, b = place(start), place(following)
            assert 0.8 < math.dist(a[:2], b[:2]) < 1.2  # s is that of the reference line
            assert abs(a[2] - b[2]) < 0.08


def tree(name: str) -> ElementTree.Element:
    return ElementTree.fromstring(shipped_maps.text(name))


def bends(name: str) -> list[float]:
    """Return the curvatures (1/m) in the plans of roads outside junctions."""
    found = []
    for road in tree(name).findall("road"):
        if road.get("junction") == "-1":
            found += [float(x.get("curvature", "")) for x in road.iter("arc")]
    return found


def test_straight_is_straight_and_level() -> None:
    points = np.array([place(w) for w in carla_map("Straight").generate_waypoints(5.0)])
    assert np.ptp(points[:, 0]) == pytest.approx(600.0, abs=6.0)
    assert set(np.round(points[:, 1], 3)) == {-1.75, 1.75}
    assert np.ptp(points[:, 2]) == 0.0
    assert {line.kind for line in roads("Straight").lines} == {"Broken", "Solid"}


def test_s_curve_bends_both_ways_between_clothoids() -> None:
    length = float(tree("SCurve").findall("road")[0].get("length", ""))
    assert length == pytest.approx(700.0)
    assert sorted(1.0 / x for x in bends("SCurve")) == pytest.approx([-60.0, 90.0, 120.0])
    assert len(list(tree("SCurve").iter("spiral"))) == 6


def test_curvature_has_no_jumps_on_the_roads() -> None:
    for name in ("SCurve", "Ring", "Town"):
        for road in tree(name).findall("road"):
            if road.get("junction") != "-1":
                continue
            last = 0.0
            for piece in road.findall("planView/geometry/*"):
                first = float(piece.get("curvStart", piece.get("curvature", "0")))
                assert first == pytest.approx(last, abs=1e-9)
                last = float(piece.get("curvEnd", piece.get("curvature", "0")))


def test_ring_closes_is_hilly_and_leans() -> None:
    found = tree("Ring").findall("road")
    assert len(found) == 6
    assert sum(float(x.get("length", "")) for x in found) > 1200.0
    waypoints = carla_map("Ring").generate_waypoints(2.0)
    assert {w.lane_id for w in waypoints} == {-2, -1, 1, 2}
    heights = np.array([place(w)[2] for w in waypoints])
    assert np.ptp(heights) > 10.0
    grades = [math.tan(math.radians(w.transform.rotation.pitch)) for w in waypoints]
    assert 0.04 < max(map(abs, grades)) < 0.08
    lean = [
        abs(x.right[:, 2] - x.left[:, 2]).max() / x.width.max()
        for x in roads("Ring").lanes
        if x.kind == "Driving"
    ]
    assert 0.03 < max(lean) < 0.05


def test_ring_leans_inwards() -> None:
    # In a bend to the left the left side is the lower one.
    for lane in roads("Ring").lanes:
        if lane.kind != "Driving":
            continue
        step = np.diff(lane.centre[:, :2], axis=0)
        turn = np.diff(np.unwrap(np.arctan2(step[:, 1], step[:, 0])))
        fall = (lane.left - lane.right)[1:-1, 2]
        strong = np.abs(turn) > 0.006
        assert strong.any() and (turn[strong] * fall[strong] < 0.0).all()


def test_town_has_streets_between_junctions() -> None:
    root = tree("Town")
    assert len(root.findall("junction")) == 12
    streets = [x for x in root.findall("road") if x.get("junction") == "-1"]
    lengths = [float(x.get("length", "")) for x in streets]
    assert len(streets) == 20
    assert all(85.0 < x < 130.0 for x in lengths[:16])  # the corners come last
    assert max(map(abs, bends("Town"))) == pytest.approx(1.0 / 25.0)


def test_every_arm_of_a_town_junction_leads_on_to_all_others() -> None:
    root = tree("Town")
    for junction in root.findall("junction"):
        arms = {x.get("incomingRoad") for x in junction}
        ways = Counter(x.get("incomingRoad") for x in junction)
        assert len(arms) in (3, 4)
        assert set(ways.values()) == {len(arms) - 1}


def test_town_turns_are_links_between_lanes_of_the_right_side() -> None:
    # From each lane that ends at a junction at least one way leads on, into a lane of its own.
    town = carla_map("Town")
    pairs = [(a, b) for a, b in town.get_topology() if not a.is_junction and b.is_junction]
    assert len({(a.road_id, a.lane_id) for a, _ in pairs}) >= 2 * 20
    for start, inside in pairs:
        after = inside.next_until_lane_end(1.0)[-1].next(1.5)
        assert len(after) == 1 and not after[0].is_junction
        assert start.road_id != after[0].road_id


def test_town_has_worn_and_missing_marks_and_pavements() -> None:
    town = roads("Town")
    driving = sum(float(np.ptp(x.s)) for x in town.lanes if x.kind == "Driving" and not x.junction)
    lines = sum(len(line.points) for line in town.lines)
    assert 0.3 < lines / driving < 1.2  # a whole one would have 1.5 lines a lane
    assert {line.kind for line in town.lines} == {"Broken", "Solid", "SolidSolid"}
    widths = {round(float(x.width.mean()), 1) for x in town.lanes if x.kind == "Driving"}
    assert len(widths) >= 3
    assert sum(x.kind == "Sidewalk" for x in town.lanes) > 40


@pytest.mark.parametrize(("name", "limits"), [("Straight", {"70"}), ("Town", {"30", "50"})])
def test_speed_limits_are_written(name: str, limits: set[str]) -> None:
    assert {x.get("max") for x in tree(name).iter("speed")} == limits
    assert {x.get("unit") for x in tree(name).iter("speed")} == {"km/h"}
