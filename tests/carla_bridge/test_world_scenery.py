"""Scenery: what stands where, what it is called, and what each term leaves alone."""

from __future__ import annotations

import functools

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.world.land.ground import Land
from carla_bridge.world.maps.roads import Roads, read_roads
from carla_bridge.world.meshes import LAMP, LIGHT, SIGN, VERTEX, Array, Mesh, boxes
from carla_bridge.world.random_roads.road import random_road
from carla_bridge.world.randomization import Dice, DomainRandomization
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.buildings.landmarks import LANDMARKS
from carla_bridge.world.things.copies import LAST_ID, TERMS, Batch, Ids, place_copies
from carla_bridge.world.things.figures import figure
from carla_bridge.world.things.plants.shapes import shapes
from carla_bridge.world.things.scenery import Scenery, furnish
from carla_bridge.world.things.shapes import sweep, tube
from carla_bridge.world.things.street.furniture_shapes import BUILDERS, LAMPS, thing, traffic_light
from carla_bridge.world.things.street.people import STYLES
from carla_bridge.world.things.street.sign_shapes import SIGNS, board, gantry, sign
from carla_bridge.world.things.vehicles.bodies import CARS
from carla_bridge.world.things.vehicles.cycles import bicycle, motorcycle
from carla_bridge.world.things.vehicles.lorries import BUSES, LORRIES

CROSSROADS = """<?xml version="1.0"?>
<OpenDRIVE><header revMajor="1" revMinor="4" name="street"/>{roads}</OpenDRIVE>"""
ROAD = """<road name="" length="{length}" id="{id}" junction="-1"><planView>
<geometry s="0" x="{x}" y="{y}" hdg="{heading}" length="{length}"><line/></geometry></planView>
<elevationProfile><elevation s="0" a="1" b="0" c="0" d="0"/></elevationProfile>
<lanes><laneSection s="0"><left>{left}</left>
<center><lane id="0" type="none" level="false"/></center><right>{right}</right>
</laneSection></lanes></road>"""
WIDTHS = {"driving": 3.2, "parking": 2.2, "sidewalk": 3.0}


def _side(sign_: int) -> str:
    lanes = [
        f'<lane id="{sign_ * (i + 1)}" type="{kind}" level="false">'
        f'<width sOffset="0" a="{width}" b="0" c="0" d="0"/></lane>'
        for i, (kind, width) in enumerate(WIDTHS.items())
    ]
    return "".join(lanes[::sign_] if sign_ < 0 else lanes[::-1])


@functools.cache
def crossroads() -> Roads:
    """Two streets with pavements and parking lanes that cross at a right angle at (150, 0)."""
    lanes = {"left": _side(1), "right": _side(-1)}
    text = "".join(
        ROAD.format(id=i, x=x, y=y, heading=heading, length=length, **lanes)
        for i, x, y, heading, length in ((1, 0, 0, 0.0, 300), (2, 150, -60, np.pi / 2, 120))
    )
    return read_roads(CROSSROADS.format(roads=text))


@functools.cache
def side_by_side() -> Roads:
    """A street, and 22 m from it on each side a road where its back gardens would be."""
    bare = (
        '<lane id="{}" type="driving" level="false">'
        '<width sOffset="0" a="3" b="0" c="0" d="0"/></lane>'
    )
    outer = {"left": bare.format(1), "right": bare.format(-1)}
    lanes = {"left": _side(1), "right": _side(-1)}
    text = "".join(
        ROAD.format(id=i, x=0, y=y, heading=heading, length=250, **sides)
        for i, y, heading, sides in ((1, 0, 0.0, lanes), (2, 22, 0.0, outer), (3, -22, 0.05, outer))
    )
    return read_roads(CROSSROADS.format(roads=text))


SQUEEZED = 999
"""Seeds from here on are of roads side by side."""


@functools.cache
def world(seed: int, **strengths: float) -> tuple[Roads, Land, Scenery]:
    dice = Dice(DomainRandomization(**strengths), seed)
    hand_made = {0: crossroads, SQUEEZED // 3: side_by_side}.get(seed // 3)
    roads = hand_made() if hand_made else read_roads(random_road(dice))
    land = Land(roads, dice)
    return roads, land, furnish(land, dice)


def tags(mesh: Mesh) -> npt.NDArray[np.uint8]:
    return np.asarray(mesh.vertices["color"][:, 3])


def ids(mesh: Mesh) -> npt.NDArray[np.int64]:
    return mesh.vertices["texcoord"][:, 3].astype(np.int64)


def part(mesh: Mesh, term: str) -> npt.NDArray[np.void]:
    return mesh.vertices[(ids(mesh) - 1) % len(TERMS) == TERMS.index(term)]


def things(mesh: Mesh, term: str) -> int:
    return len(np.unique(part(mesh, term)["texcoord"][:, 3]))


def lane_mask(roads: Roads, kinds: set[str]) -> tuple[npt.NDArray[np.bool_], Array]:
    """Return what is well inside lanes, a pixel a decimetre, and its low corner."""
    lanes = [lane for lane in roads.lanes if lane.kind in kinds]
    every = np.concatenate([lane.centre[:, :2] for lane in lanes])
    low = every.min(axis=0) - 10.0
    width, height = ((every.max(axis=0) + 10.0 - low) * 10.0).astype(int)
    mask = np.zeros((height, width), np.uint8)
    for lane in lanes:
        outline = np.concatenate([lane.left, lane.right[::-1]])[:, :2]
        cv2.fillPoly(mask, [np.rint((outline - low) * 10.0).astype(np.int32)], 1)
    return cv2.erode(mask, np.ones((5, 5), np.uint8)) > 0, low


def inside(mask: npt.NDArray[np.bool_], low: Array, xy: Array) -> npt.NDArray[np.bool_]:
    column, row = ((xy - low) * 10.0).astype(int).T
    known = (column >= 0) & (row >= 0) & (row < mask.shape[0]) & (column < mask.shape[1])
    found = np.zeros(len(xy), bool)
    found[known] = mask[row[known], column[known]]
    return found


ALL = [
    *(body.mesh for body in (*CARS.values(), *LORRIES.values(), *BUSES.values())),
    *(lamp.mesh for lamp in LAMPS.values()),
    *(mark.mesh for mark in LANDMARKS.values()),
    *map(thing, BUILDERS),
    *map(sign, SIGNS),
    *STYLES,
    bicycle(),
    motorcycle(),
    traffic_light("far", 1),
    board(4.5, 2.8, "green", 1),
    gantry(12, "blue", 1),
]


@pytest.mark.parametrize("number", range(len(ALL)))
def test_faces_of_every_prototype_turn_outwards(number: int) -> None:
    mesh = ALL[number]
    a, b, c = mesh.vertices["vertex"][mesh.triangles].astype(float).transpose(1, 0, 2)
    face = np.cross(b - a, c - a)
    assert (np.linalg.norm(face, axis=1) > 1e-7).all()
    assert ((face * mesh.vertices["normal"][mesh.triangles].mean(axis=1)).sum(axis=1) > 0.0).all()


def test_nothing_is_made_of_more_triangles_than_it_may_have() -> None:
    assert max(len(body.mesh.triangles) for body in CARS.values()) <= 350
    assert max(len(body.mesh.triangles) for body in (*LORRIES.values(), *BUSES.values())) <= 350
    assert max(len(mesh.triangles) for mesh in STYLES) <= 120
    near = ("round", "wide", "tall", "street", "poplar", "conifer", "pine", "palm", "bare", "bush")
    assert max(len(mesh.triangles) for kind in near for mesh in shapes(kind)) <= 150
    far = ("far", "far conifer", "clump", "tuft")
    assert max(len(mesh.triangles) for kind in far for mesh in shapes(kind)) <= 40


def test_a_copy_is_turned_scaled_painted_and_numbered() -> None:
    mesh = boxes([[1.0, 0.0, 0.5]], [[2.0, 2.0, 1.0]], 0.0, (200, 100, 255), tag=7, instance=2)
    colours = np.array([[[0, 0, 0], [255, 51, 255]]])
    copy = place_copies(mesh, [[10.0, 20.0, 3.0]], np.pi / 2, [[2.0, 1.0, 3.0]], colours, 41, 0.1)
    place = copy.vertices["vertex"]
    assert np.allclose(
        place.min(axis=0), [9.0, 20.0, 3.0], atol=1e-5
    )  # x has become y, twice as long
    assert np.allclose(
        place.max(axis=0), [11.0, 24.0, 6.4], atol=1e-5
    )  # 3 m high on a grade of 10 %
    assert (copy.vertices["color"] == [200, 20, 255, 7]).all()
    assert (copy.vertices["texcoord"][:, 3] == 41).all()
    assert np.allclose(np.linalg.norm(copy.vertices["normal"], axis=1), 1.0, atol=1e-5)


def test_a_batch_makes_what_its_copies_make_one_by_one() -> None:
    mesh = boxes([[0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0]], 0.0, (255, 255, 255), instance=1)
    batch = Batch(ground=lambda xy: xy[:, 0] * 2.0)
    batch.add(mesh, [[1.0, 2.0, 3.0]], 0.5, 2.0, np.array([[9.0, 8.0, 7.0]]), 5)
    batch.add(mesh, np.array([[4.0, 5.0], [6.0, 7.0]]), 0.0, np.array([1.0, 3.0]), instance=[6, 7])
    made = batch.mesh().vertices
    first = place_copies(mesh, [[1.0, 2.0, 3.0]], 0.5, 2.0, [[9.0, 8.0, 7.0]], 5).vertices
    last = place_copies(mesh, [[6.0, 7.0, 12.0]], 0.0, 3.0, [[255.0] * 3], 7).vertices
    n = len(mesh.vertices)
    assert made[:n].tobytes() == first.tobytes()
    assert made[2 * n :].tobytes() == last.tobytes()


def test_terms_take_turns_in_the_numbers_and_start_again_at_the_end() -> None:
    trees, cars = Ids("trees"), Ids("traffic")
    assert trees.take(3).tolist() == [2, 9, 16]
    assert cars.take(2).tolist() == [5, 12]
    assert trees.take(1).tolist() == [23]
    many = Ids("buildings").take(20_000)
    assert many.min() == 1
    assert many.max() == LAST_ID - len(TERMS) + 1
    assert (many - 1 == (many - 1) // len(TERMS) * len(TERMS)).all()
    assert LAST_ID <= 65535


def test_a_tube_is_as_thick_as_it_says() -> None:
    mesh = tube([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]], [0.5, 0.25], 4)
    place = mesh.vertices["vertex"]
    assert len(mesh.triangles) == 8
    assert np.allclose(np.hypot(place[:4, 0], place[:4, 1]), 0.5, atol=1e-6)
    assert np.allclose(np.hypot(place[4:, 0], place[4:, 1]), 0.25, atol=1e-6)


def test_a_swept_wall_stands_along_its_line() -> None:
    points = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [6.0, 0.0, 0.0]])
    outward = np.tile([0.0, 1.0, 0.0], (3, 1))
    mesh = sweep(points, outward, [(-0.1, 0.0), (-0.1, 2.0), (0.1, 2.0), (0.1, 0.0)], tag=4)
    assert len(mesh.triangles) == 12
    assert mesh.vertices["vertex"].min(axis=0).tolist() == pytest.approx([0.0, -0.1, 0.0])
    assert mesh.vertices["vertex"].max(axis=0).tolist() == pytest.approx([6.0, 0.1, 2.0])
    facing = mesh.vertices["normal"][mesh.vertices["vertex"][:, 1] < 0.0]
    assert (facing @ [0.0, -1.0, 0.0] > -1e-6).all()  # the road's side faces the road, the top up


def test_every_kind_of_thing_is_there_and_carries_its_tag() -> None:
    found: set[int] = set()
    for seed in (0, 1, *range(3, 15)):
        mesh = world(seed)[2].mesh
        assert mesh.vertices.dtype == VERTEX
        found |= set(np.unique(tags(mesh)).tolist())
    assert found == {
        Tag.BUILDING, Tag.WALL, Tag.FENCE, Tag.POLE, Tag.TRAFFIC_LIGHT, Tag.TRAFFIC_SIGN,
        Tag.VEGETATION, Tag.PEDESTRIAN, Tag.RIDER, Tag.CAR, Tag.TRUCK, Tag.BUS, Tag.MOTORCYCLE,
        Tag.BICYCLE, Tag.STATIC, Tag.DYNAMIC, Tag.GUARD_RAIL,
    }  # fmt: skip


TOGETHER = [
    {Tag.CAR},
    {Tag.TRUCK},
    {Tag.BUS},
    {Tag.MOTORCYCLE, Tag.RIDER},
    {Tag.BICYCLE, Tag.RIDER},
    {Tag.PEDESTRIAN},
    {Tag.BUILDING},
    {Tag.VEGETATION},
    {Tag.POLE, Tag.TRAFFIC_SIGN, Tag.TRAFFIC_LIGHT},
    {Tag.STATIC, Tag.VEGETATION},  # a planter
    {Tag.DYNAMIC},
    {Tag.GUARD_RAIL},
    {Tag.WALL},
    {Tag.FENCE},
]


@pytest.mark.parametrize("seed", [0, 1, 5, 8])
def test_an_instance_is_one_thing(seed: int) -> None:
    mesh = world(seed)[2].mesh
    number, tag = ids(mesh), tags(mesh)
    assert number.min() >= 1
    assert (number[mesh.triangles] == number[mesh.triangles][:, :1]).all()
    assert (tag[mesh.triangles] == tag[mesh.triangles][:, :1]).all()
    for one in np.unique(number):
        mine = number == one
        kinds = set(tag[mine].tolist())
        assert any(kinds <= together for together in TOGETHER), kinds
        if kinds & {Tag.CAR, Tag.PEDESTRIAN, Tag.BICYCLE, Tag.MOTORCYCLE}:
            size = np.ptp(mesh.vertices["vertex"][mine][:, :2], axis=0).max()
            assert size < 6.5, "two things share a number"


def test_each_vehicle_on_the_road_is_an_instance() -> None:
    scenery = world(1)[2]
    assert len(scenery.vehicles) > 5
    assert things(scenery.mesh, "traffic") == len(scenery.vehicles)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_that_is_off_is_gone_and_changes_nothing_else(term: str) -> None:
    for seed in (1, 4):
        whole, without = world(seed)[2], world(seed, **{term: 0.0})[2]
        assert len(part(without.mesh, term)) == 0
        kept = [name for name in TERMS if name != term]
        for name in kept:
            assert part(without.mesh, name).tobytes() == part(whole.mesh, name).tobytes()
        if term == "traffic":
            assert len(without.vehicles) == len(without.headlights) == 0
        else:
            assert without.vehicles.tobytes() == whole.vehicles.tobytes()
        assert (
            (len(without.lamps) == 0)
            if term == "furniture"
            else len(whole.lamps) == len(without.lamps)
        )


@pytest.mark.parametrize("term", TERMS)
def test_a_strength_scales_how_much_there_is(term: str) -> None:
    seeds = range(6)
    counts = [
        sum(things(world(seed, **{term: strength})[2].mesh, term) for seed in seeds)
        for strength in (0.3, 1.0, 2.5)
    ]
    assert 0 < counts[0] < counts[1]
    assert counts[2] > counts[1] or term == "buildings"  # there is only so much room for those
    assert counts[0] < 0.75 * counts[1]


def test_all_terms_off_is_an_empty_scene() -> None:
    scenery = world(1, **dict.fromkeys(TERMS, 0.0))[2]
    assert len(scenery.mesh.vertices) == len(scenery.mesh.triangles) == 0
    assert scenery.vehicles.shape == (0, 2)
    assert scenery.lamps.shape == (0, 3)
    assert scenery.headlights.shape == (0, 6)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    terms = DomainRandomization()
    made = []
    for seed in (7, 7, 8):
        dice = Dice(terms, seed)
        land = Land(crossroads(), dice)
        made.append(furnish(land, dice))
    first, again, other = made
    assert first.mesh.vertices.tobytes() == again.mesh.vertices.tobytes()
    assert first.mesh.triangles.tobytes() == again.mesh.triangles.tobytes()
    assert first.headlights.tobytes() == again.headlights.tobytes()
    assert first.mesh.vertices.tobytes() != other.mesh.vertices.tobytes()


ON_WHEELS_OR_FOOT = {Tag.CAR, Tag.TRUCK, Tag.BUS, Tag.MOTORCYCLE, Tag.BICYCLE, Tag.RIDER,
                     Tag.PEDESTRIAN}  # fmt: skip


@pytest.mark.parametrize("seed", [*range(12), *range(SQUEEZED, SQUEEZED + 3)])
def test_nothing_stands_on_or_hangs_low_over_a_driving_lane(seed: int) -> None:
    roads, land, scenery = world(seed)
    mask, low = lane_mask(roads, {"Driving"})
    corners = scenery.mesh.vertices["vertex"][scenery.mesh.triangles].astype(float)
    # Corners, the middles of sides and the middles of triangles: nothing large slips through.
    points = np.concatenate(
        [corners, (corners + np.roll(corners, 1, axis=1)) / 2, corners.mean(axis=1, keepdims=True)],
        axis=1,
    )
    tag = tags(scenery.mesh)[scenery.mesh.triangles[:, 0]]
    points = points[~np.isin(tag, list(ON_WHEELS_OR_FOOT))].reshape(-1, 3)
    points = points[inside(mask, low, points[:, :2])]
    headroom = points[:, 2] - land.height(points[:, :2])
    assert not ((headroom > -1.0) & (headroom < 4.0)).any()


@pytest.mark.parametrize("seed", [0, 1, 2, SQUEEZED, SQUEEZED + 1])
def test_buildings_keep_off_roads_and_off_each_other(seed: int) -> None:
    _, land, scenery = world(seed)
    buildings = part(scenery.mesh, "buildings")
    walls = buildings[buildings["vertex"][:, 2] - land.height(buildings["vertex"][:, :2]) < 1.0]
    assert (land.nearest(walls["vertex"][:, :2].astype(float))[0] > -0.6).all()  # bays, signs
    middles = np.array(
        [buildings["vertex"][buildings["texcoord"][:, 3] == i].mean(axis=0)
         for i in np.unique(buildings["texcoord"][:, 3])]
    )  # fmt: skip
    gap = np.linalg.norm(middles[:, None, :2] - middles[None, :, :2], axis=2)
    assert gap[~np.eye(len(gap), dtype=bool)].min() > 3.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_people_stand_on_the_ground(seed: int) -> None:
    _, land, scenery = world(seed)
    people = part(scenery.mesh, "people")
    number = people["texcoord"][:, 3]
    assert len(np.unique(number)) >= 3
    for one in np.unique(number):
        place = people["vertex"][number == one].astype(float)
        ground = land.height(place[:, :2].mean(axis=0, keepdims=True))[0]
        assert place[:, 2].min() == pytest.approx(ground, abs=0.12)
        assert 0.85 < np.ptp(place[:, 2]) < 2.05


def test_lamps_shine_from_the_heads_of_their_posts() -> None:
    for seed in range(3, 15):
        scenery = world(seed)[2]
        glow = scenery.mesh.vertices[scenery.mesh.vertices["texcoord"][:, 2] == LAMP]["vertex"]
        for lamp in scenery.lamps:
            assert np.linalg.norm(glow - lamp, axis=1).min() < 0.6
    assert sum(len(world(seed)[2].lamps) for seed in range(3, 15)) > 20


def test_traffic_lights_show_one_light_and_stand_before_the_crossing() -> None:
    found = 0
    for seed in range(3):
        for strength in (1.0, 100.0):
            mesh = world(seed, furniture=strength)[2].mesh
            lights = (tags(mesh) == Tag.TRAFFIC_LIGHT) & (mesh.vertices["texcoord"][:, 2] == LIGHT)
            for one in np.unique(ids(mesh)[lights]):
                mine = (ids(mesh) == one) & lights
                assert len(np.unique(mesh.vertices["color"][mine], axis=0)) == 1
                place = mesh.vertices["vertex"][ids(mesh) == one].astype(float)
                foot = place[place[:, 2].argmin(), :2]
                assert np.linalg.norm(foot - [150.0, 0.0]) < 30.0
                # Who drives towards its face has it on the right, at the near side of the road.
                facing = mesh.vertices["normal"][np.flatnonzero(mine)[0], :2]
                way, right = -facing, np.array([-facing[1], facing[0]])
                assert np.abs(way).max() > 0.99
                street = np.array([150.0, 0.0]) * np.abs(way[::-1].round())
                assert 5.0 < (foot - street) @ right < 10.0
                assert (foot - [150.0, 0.0]) @ way < -5.0
                found += 1
    assert found >= 4


@pytest.mark.parametrize("seed", range(3, 15))
def test_signs_along_the_road_face_who_comes(seed: int) -> None:
    roads, _, scenery = world(seed)
    mesh = scenery.mesh
    first = mesh.triangles[:, 0]
    faces = first[
        (tags(mesh)[first] == Tag.TRAFFIC_SIGN) & (mesh.vertices["texcoord"][first, 2] == SIGN)
    ]
    lanes = [lane for lane in roads.lanes if lane.kind == "Driving"]
    middle = np.concatenate([lane.centre[:, :2] for lane in lanes])
    way = np.concatenate([np.gradient(lane.centre[:, :2], axis=0) for lane in lanes])
    place = mesh.vertices["vertex"][faces][:, :2]
    nearest = np.linalg.norm(place[:, None] - middle[None], axis=2).argmin(axis=1)
    normal = mesh.vertices["normal"][faces][:, :2]
    assert len(faces) > 10
    # At a corner two roads are near; those signs belong to the other one.
    assert ((normal * way[nearest]).sum(axis=1) < -0.5).mean() > 0.9


def test_random_streets_keep_within_the_budget() -> None:
    counts = [len(world(seed)[2].mesh.triangles) for seed in range(3, 15)]
    assert max(counts) < 90_000
    assert min(counts) > 5_000


def test_a_large_town_is_thinned_out_far_from_its_middle() -> None:
    lanes = {"left": _side(1), "right": _side(-1)}
    text = "".join(
        ROAD.format(id=i, x=0, y=40 * i, heading=0.0, length=460, **lanes) for i in range(12)
    )
    roads = read_roads(CROSSROADS.format(roads=text))
    dice = Dice(DomainRandomization(), 1)
    vehicles = furnish(Land(roads, dice), dice).vehicles
    inner = np.abs(vehicles - [230.0, 220.0]).max(axis=1) < 110.0
    outer = np.abs(vehicles - [230.0, 220.0]).max(axis=1) > 150.0
    assert inner.sum() / 220.0**2 > 2.0 * outer.sum() / (460.0 * 480.0 - 300.0**2)


def test_a_term_of_scenery_exists_in_the_domain_randomization() -> None:
    assert set(TERMS) <= set(msgspec.structs.asdict(DomainRandomization()))
    assert figure(0.34) is STYLES[0]
