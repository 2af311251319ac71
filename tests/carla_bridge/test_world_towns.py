"""CARLA's own towns, read whole: lanes as their XML and CARLA's parser have them."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from carla_bridge.world.maps.lanes import Roads
from carla_bridge.world.maps.roads import read_roads

TOWNS = ("Town01", "Town02", "Town03", "Town04", "Town06")
DATA = os.environ.get("EDGE_SEG_ROAD_DATA")


@functools.cache
def text_of(town: str) -> str:
    if DATA is None:
        pytest.skip("EDGE_SEG_ROAD_DATA names no folder with permissive/xodr/*.xodr")
    path = Path(DATA) / "permissive/xodr" / f"{town}.xodr"
    if not path.exists():
        pytest.skip(f"{path} is not there (EDGE_SEG_ROAD_DATA names the folder)")
    return path.read_text(encoding="utf-8")


@functools.cache
def town(name: str) -> Roads:
    return read_roads(text_of(name), name)


@pytest.mark.parametrize("name", TOWNS)
def test_driving_lanes_are_as_long_as_their_sections_say(name: str) -> None:
    wanted = 0.0
    for road in ElementTree.fromstring(text_of(name)).iter("road"):
        sections = road.findall("lanes/laneSection")
        starts = [float(section.get("s", "0")) for section in sections]
        for section, begin, end in zip(
            sections, starts, [*starts[1:], float(road.get("length", "0"))], strict=True
        ):
            driving = [x for x in section.iter("lane") if x.get("type") == "driving"]
            wanted += len(driving) * (end - begin)
    found = sum(float(np.ptp(x.s)) for x in town(name).lanes if x.kind == "Driving")
    assert found == pytest.approx(wanted, rel=0.001)


@pytest.mark.parametrize("name", TOWNS)
def test_lanes_lie_where_carla_has_them(name: str) -> None:
    carla = pytest.importorskip("carla", reason="needs the extra carla")
    rows = []
    waypoints = carla.Map(name, text_of(name)).generate_waypoints(12.0)
    for waypoint in waypoints[:: len(waypoints) // 200]:
        right, place = waypoint.transform.get_right_vector(), waypoint.transform.location
        rows.append((place.x, -place.y, place.z, right.x, -right.y, right.z, waypoint.lane_width))
    table = np.array(rows)
    half = table[:, 3:6] * table[:, 6:] / 2.0
    lanes = [x for x in town(name).lanes if x.kind == "Driving"]
    for side, place in (("left", table[:, :3] - half), ("right", table[:, :3] + half)):
        edges = [getattr(x, side) for x in lanes]
        start = np.concatenate([edge[:-1] for edge in edges])
        step = np.concatenate([np.diff(edge, axis=0) for edge in edges])
        away = [_distance(point, start, step) for point in place]
        # Chords between samples 1 m apart cut the inside of the sharpest bends by 8 cm.
        assert max(away) < 0.1
        assert np.median(away) < 0.002


def _distance(point: np.ndarray, start: np.ndarray, step: np.ndarray) -> float:
    near = np.abs(start - point).max(axis=1) < 2.5
    start, step = start[near], step[near]
    share = ((point - start) * step).sum(axis=1) / np.maximum((step**2).sum(axis=1), 1e-12)
    nearest = start + step * np.clip(share, 0.0, 1.0)[:, None]
    return float(np.linalg.norm(nearest - point, axis=1).min(initial=np.inf))


@pytest.mark.parametrize("name", TOWNS)
def test_neighbouring_lanes_share_their_edge(name: str) -> None:
    # Lanes of one road that are sampled at the same places meet edge to edge, without a gap.
    by_place: dict[tuple[int, float, float, int], list[np.ndarray]] = {}
    pairs = 0
    for lane in town(name).lanes:
        for side in ("left", "right"):
            edge = getattr(lane, side)
            if getattr(lane, f"beside_{side}"):
                low, high = sorted((float(lane.s[0]), float(lane.s[-1])))
                key = (lane.road, low, high, len(lane.s))
                by_place.setdefault(key, []).append(edge if lane.s[0] < lane.s[-1] else edge[::-1])
    for edges in by_place.values():
        for edge in edges:
            gaps = sorted(float(np.abs(edge - other).max()) for other in edges)
            if len(edges) > 1 and gaps[1] < 0.02:
                pairs += 1
    assert pairs > 0.7 * sum(len(edges) for edges in by_place.values() if len(edges) > 1)


def test_a_town_is_read_in_seconds_and_remembered() -> None:
    text = text_of("Town03")
    read_roads.__globals__["_remembered"].cache_clear()
    begin = time.process_time()
    first = read_roads(text, "Town03")
    assert time.process_time() - begin < 8.0
    begin = time.process_time()
    assert read_roads(text, "Town03") is first
    assert time.process_time() - begin < 0.05


def test_towns_have_what_they_are_known_for() -> None:
    first = town("Town01")
    assert {line.kind for line in first.lines} == {"Broken"}
    assert any(x.kind == "Sidewalk" and x.junction for x in first.lanes)  # around corners
    assert any(x.ends_at_junction for x in first.driving())
    motorway = town("Town04")
    heights = np.concatenate([x.centre[:, 2] for x in motorway.lanes])
    assert heights.max() > 10.0
    assert len(motorway.fills) > 50
