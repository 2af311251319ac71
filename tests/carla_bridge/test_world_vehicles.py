"""Vehicles: on the road's surface, along their lanes, and never in each other."""

from __future__ import annotations

import functools

import numpy as np
import pytest

pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.world.land.ground import Land
from carla_bridge.world.maps.roads import Roads, read_roads
from carla_bridge.world.meshes import Array
from carla_bridge.world.random_roads.road import random_road
from carla_bridge.world.randomization import Dice, DomainRandomization
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.copies import Ids
from carla_bridge.world.things.roadside import Site
from carla_bridge.world.things.vehicles.vehicles import CLEAR, Moving, parked, traffic

SEEDS = range(3, 11)


@functools.cache
def site(seed: int) -> tuple[Roads, Site]:
    dice = Dice(DomainRandomization(), seed)
    roads = read_roads(random_road(dice))
    return roads, Site(Land(roads, dice), dice.stream("buildings"))


@functools.cache
def moving(seed: int, strength: float = 1.0) -> Moving:
    return traffic(site(seed)[1], np.random.default_rng(seed), strength, Ids("traffic"))


def outlines(vehicles: Moving) -> list[Array]:
    """Return each vehicle's vertices (n, 3)."""
    number = vehicles.mesh.vertices["texcoord"][:, 3]
    return [
        vehicles.mesh.vertices["vertex"][number == one].astype(float) for one in np.unique(number)
    ]


def lane_at(roads: Roads, place: Array) -> tuple[Array, Array, float]:
    """Return the nearest driving lane's middle (3,), direction (3,) and half width there."""
    lanes = [lane for lane in roads.lanes if lane.kind == "Driving"]
    middle = np.concatenate([lane.centre for lane in lanes])
    way = np.concatenate([np.gradient(lane.centre, axis=0) for lane in lanes])
    half = np.concatenate([lane.width for lane in lanes]) / 2.0
    i = int(np.linalg.norm(middle[:, :2] - place[:2], axis=1).argmin())
    return middle[i], way[i] / np.linalg.norm(way[i]), float(half[i])


@pytest.mark.parametrize("seed", SEEDS)
def test_vehicles_stand_on_the_road_and_head_along_their_lanes(seed: int) -> None:
    roads, _ = site(seed)
    vehicles = moving(seed)
    assert len(vehicles.place) == len(outlines(vehicles))
    for points in outlines(vehicles):
        middle = points.mean(axis=0)
        lane, way, half = lane_at(roads, middle)
        assert np.linalg.norm(middle[:2] - lane[:2]) < half + 0.6
        # Across the lane a vehicle is narrower than the lane, so it points along it.
        across = points[:, :2] @ np.array([-way[1], way[0]])
        along = points[:, :2] @ way[:2]
        assert np.ptp(along) > np.ptp(across)
        assert np.ptp(across) < 2.0 * half + 1.0
        # Its wheels touch the surface at both ends: the lowest point of each half.
        for end in (along < np.median(along), along >= np.median(along)):
            foot = points[end][points[end][:, 2].argmin()]
            surface = lane_at(roads, foot)[0][2]
            assert foot[2] == pytest.approx(surface, abs=0.3)


@pytest.mark.parametrize("seed", SEEDS)
def test_headlights_shine_ahead_of_vehicles_with_the_traffic(seed: int) -> None:
    roads, _ = site(seed)
    lights = moving(seed).headlights
    assert lights.shape[1] == 6
    assert np.allclose(np.linalg.norm(lights[:, 3:], axis=1), 1.0, atol=1e-6)
    for light in lights:
        gap = np.linalg.norm(moving(seed).place - light[:2], axis=1)
        assert 1.5 < gap.min() < 8.5  # half a vehicle before its middle
        way = lane_at(roads, light[:3] - 3.0 * light[3:])[1]
        assert way @ light[3:] > 0.8


def test_no_two_vehicles_are_in_the_same_place() -> None:
    # Two roads that cross, full of cars: without care they would stand in each other.
    road = """<road name="" length="200" id="{id}" junction="-1"><planView><geometry s="0" x="{x}"
    y="{y}" hdg="{heading}" length="200"><line/></geometry></planView><lanes><laneSection s="0">
    <center><lane id="0" type="none" level="false"/></center><right>
    <lane id="-1" type="driving" level="false"><width sOffset="0" a="3.2" b="0" c="0" d="0"/></lane>
    <lane id="-2" type="driving" level="false"><width sOffset="0" a="3.2" b="0" c="0" d="0"/></lane>
    </right></laneSection></lanes></road>"""
    header = '<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="x"/>'
    two = road.format(id=1, x=0, y=0, heading=0.0) + road.format(id=2, x=90, y=-90, heading=1.4)
    roads = read_roads(header + two + "</OpenDRIVE>")
    for seed in range(6):
        dice = Dice(DomainRandomization(), seed)
        place = Site(Land(roads, dice), dice.stream("buildings"))
        vehicles = traffic(place, dice.stream("traffic"), 8.0, Ids("traffic"))
        everyone = outlines(vehicles)
        assert len(everyone) > 20
        for i, mine in enumerate(everyone):
            way = lane_at(roads, mine.mean(axis=0))[1][:2]
            frame = np.column_stack([way, [-way[1], way[0]]])
            box = mine[:, :2] @ frame
            low, high = box.min(axis=0), box.max(axis=0)
            for j, other in enumerate(everyone):
                points = other[:, :2] @ frame
                within = ((points > low) & (points < high)).all(axis=1)
                assert i == j or not within.any(), (seed, i, j)


def test_vehicles_leave_room_where_people_cross() -> None:
    for seed in SEEDS:
        crossings = site(seed)[1].crossings
        for place in moving(seed, 4.0).place:
            gap = np.linalg.norm(crossings[:, :2] - place, axis=1)
            assert (gap > CLEAR).all()


def test_traffic_grows_with_its_strength_and_is_none_at_0() -> None:
    counts = [
        sum(len(moving(seed, strength).place) for seed in SEEDS)
        for strength in (0.0, 0.5, 1.0, 3.0)
    ]
    assert counts[0] == 0
    assert 0 < counts[1] < counts[2] < counts[3]


def test_traffic_is_mixed_and_mostly_cars() -> None:
    found: dict[int, int] = {}
    for seed in range(3, 40):
        vertices = moving(seed).mesh.vertices
        number, tag = vertices["texcoord"][:, 3], vertices["color"][:, 3]
        for one in np.unique(number):
            first = int(tag[number == one][0])
            found[first] = found.get(first, 0) + 1
    assert set(found) == {Tag.CAR, Tag.TRUCK, Tag.BUS, Tag.MOTORCYCLE, Tag.BICYCLE}
    assert 0.6 < found[Tag.CAR] / sum(found.values()) < 0.95


def test_parked_cars_stand_beside_the_driving_lanes() -> None:
    count = 0
    for seed in range(3, 20):
        roads, place = site(seed)
        mesh = parked(place, np.random.default_rng(seed), 1.0, Ids("parked"))
        number = mesh.vertices["texcoord"][:, 3]
        for one in np.unique(number):
            middle = mesh.vertices["vertex"][number == one].mean(axis=0).astype(float)
            lane, way, half = lane_at(roads, middle)
            aside = abs(np.array([-way[1], way[0]]) @ (middle - lane)[:2])
            assert aside > half or np.linalg.norm((middle - lane)[:2]) > half
            count += 1
    assert count > 40
    for seed in (3, 7):
        none = parked(site(seed)[1], np.random.default_rng(1), 0.0, Ids("parked"))
        assert len(none.vertices) == 0
