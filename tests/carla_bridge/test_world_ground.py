"""Land: no grass grows through asphalt, things have their tags, hills their strength."""

from __future__ import annotations

import functools
import time

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("panda3d", reason="needs the extra carla")

from carla_bridge.world.land.ground import (
    CELL,
    NEAR,
    REACH,
    SHARED,
    TRACKED,
    UNTRACKED,
    Land,
    edges,
)
from carla_bridge.world.land.kerbs import DROPPED, KERB, PAVEMENT, Kerbs, dropped
from carla_bridge.world.land.ribbons import Samples
from carla_bridge.world.land.road_grid import RoadGrid
from carla_bridge.world.land.verges import HIGH, free_edges
from carla_bridge.world.maps.lanes import Lane, Roads
from carla_bridge.world.maps.roads import read_roads
from carla_bridge.world.meshes import Mesh
from carla_bridge.world.random_roads.road import random_road
from carla_bridge.world.randomization import Dice, DomainRandomization
from carla_bridge.world.tags import Tag

Array = npt.NDArray[np.float64]


def dice(*seed: int, **terms: float) -> Dice:
    return Dice(DomainRandomization(**terms), *seed)


@functools.cache
def random_roads(seed: int) -> Roads:
    return read_roads(random_road(dice(seed)))


def along(y: float, z: float = 0.0, length: int = 100) -> Array:
    return np.column_stack(
        [np.arange(length + 1.0), np.full(length + 1, y), np.full(length + 1, z)]
    )


def strip_of(
    kind: str, left: float, right: float, z: float = 0.0, road: int = 0, **more: object
) -> Lane:
    """Return a straight lane eastwards between two y; nothing beside it unless said."""
    points = (along(left, z), along(right, z))
    sides = {"outer_left": True, "outer_right": True, **more}
    return Lane(kind, *points, np.arange(101.0), road=road, **sides)  # type: ignore[arg-type]


def street() -> Roads:
    """A lane from y = 0 to -3.5 m and a pavement to -5.5 m."""
    walk = strip_of("Sidewalk", -3.5, -5.5, outer_left=False, beside_left="Driving")
    return Roads(
        [strip_of("Driving", 0.0, -3.5, outer_right=False, beside_right="Sidewalk"), walk], []
    )


def triangles(mesh: Mesh) -> Array:
    return mesh.vertices["vertex"][mesh.triangles].astype(float)


def tags(mesh: Mesh) -> set[int]:
    return set(np.unique(mesh.vertices["color"][:, 3]).tolist())


def drawn(field: Mesh, xy: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return a height field's heights at points (n, 2), and which points lie on its fine part."""
    count = int(np.sqrt(len(field.vertices)))
    grid = field.vertices["vertex"].reshape(count, count, 3).astype(float)
    x, y = grid[0, :, 0], grid[:, 0, 1]
    column = np.clip(np.searchsorted(x, xy[:, 0]) - 1, 0, count - 2)
    row = np.clip(np.searchsorted(y, xy[:, 1]) - 1, 0, count - 2)
    u = (xy[:, 0] - x[column]) / (x[column + 1] - x[column])
    v = (xy[:, 1] - y[row]) / (y[row + 1] - y[row])
    inside = (x[column + 1] - x[column] < CELL + 0.1) & (y[row + 1] - y[row] < CELL + 0.1)
    inside &= (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
    z = grid[..., 2]
    # Bilinear between a cell's corners: what its two triangles draw, within millimetres.
    return (
        z[row, column] * (1 - u) * (1 - v)
        + z[row, column + 1] * u * (1 - v)
        + z[row + 1, column] * (1 - u) * v
        + z[row + 1, column + 1] * u * v
    ), inside


@pytest.mark.parametrize("seed", range(16))
def test_the_height_field_stays_below_every_lane(seed: int) -> None:
    roads = random_roads(seed)
    land = Land(roads, dice(seed, hills=2.0))
    lane = roads.driving()[0]
    middle = lane.centre[len(lane.s) // 2]
    field = land.field((float(middle[0]), float(middle[1])))
    points = np.concatenate([p for x in roads.lanes for p in (x.left, x.centre, x.right)])
    height, inside = drawn(field, points[:, :2])
    assert np.count_nonzero(inside) > 100
    assert (height < points[:, 2] - 0.05)[inside].all()


@pytest.mark.parametrize("seed", range(12))
def test_no_verge_lies_on_asphalt(seed: int) -> None:
    roads = random_roads(seed)
    land = Land(roads, dice(seed))
    mesh = land.borders()
    place = mesh.vertices["vertex"].astype(float)
    verge = mesh.vertices["color"][:, 3] == Tag.TERRAIN
    verge &= mesh.vertices["texcoord"][:, 2] == 0.0
    raised = [x for x in roads.lanes if x.raised or not x.paved]
    found = land.grid.nearest(place[:, :2])
    kinds = np.array([x.raised or not x.paved for x in roads.lanes] + [False])
    well_inside = verge & (found.distance < -0.3) & ~kinds[found.lane]
    assert (place[well_inside, 2] < found.road_height[well_inside] - 0.02).all()
    assert verge.any() or raised


def test_edges_point_away_from_the_road() -> None:
    roads = random_roads(1)
    land = Land(roads, dice(0))
    count = 0
    for points, outward, kind in edges(roads):
        if len(points) > 20:
            distance, _ = land.nearest((points + 3.0 * outward)[5:-5, :2])
            assert (np.abs(distance - 3.0) < 0.2).mean() > 0.9
            assert kind in {"Driving", "Shoulder", "Sidewalk", "Median"}
            count += 1
    assert count >= 2


def test_edges_inside_a_junction_are_none() -> None:
    seeds = [s for s in range(60) if any(x.junction for x in random_roads(s).lanes)]
    inside = count = 0
    for seed in seeds:
        roads = random_roads(seed)
        land = Land(roads, dice(0))
        for points, outward, _ in edges(roads):
            distance, _ = land.nearest((points + 0.3 * outward)[1:-1, :2])
            inside += np.count_nonzero(distance < -0.1)
            count += len(distance)
    # Around sharp corners a pavement's outer edge may fold into it.
    assert inside < 0.002 * count


def test_nearest_by_hand() -> None:
    land = Land(street(), dice(0))
    xy = np.array([[50.0, 4.0], [50.0, -1.0], [50.0, -9.5], [103.0, -1.0], [50.2, -4.5]])
    distance, height = land.nearest(xy)
    assert distance == pytest.approx([4.0, -1.0, 4.0, 3.0, -1.0], abs=1e-9)
    kerb = land.kerb_height
    assert kerb > 0.04
    assert height == pytest.approx([0.0, 0.0, kerb, 0.0, kerb], abs=1e-9)


def test_nearest_follows_grade_and_lean() -> None:
    lane = strip_of("Driving", 0.0, -4.0)
    rise = 0.05 * np.arange(101.0)
    lane.left[:, 2], lane.right[:, 2] = rise, rise - 0.2
    land = Land(Roads([lane], []), dice(0))
    _, height = land.nearest(np.array([[40.5, 3.0], [40.5, -8.0], [40.25, -2.0]]))
    assert height == pytest.approx([2.025, 1.825, 2.0125 - 0.1], abs=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_nearest_is_the_nearest_of_all(seed: int) -> None:
    roads = random_roads(seed)
    grid = RoadGrid(roads, 0.1)
    parts = grid.segments
    rng = np.random.default_rng(seed)
    index = rng.integers(len(parts.s), size=300)
    xy = parts.middle[index, :2] + rng.normal(0.0, 12.0, (300, 2))
    found = grid.nearest(xy).distance
    along, across = parts.local(xy[:, None], np.arange(len(parts.s))[None])
    beside = np.abs(across) - parts.half_width
    beyond = np.maximum(np.abs(along) - parts.half_length, 0.0)
    all_of_them = np.hypot(np.maximum(beside, 0.0), beyond).min(axis=1)
    outside = all_of_them > 0.05
    wrong = np.abs(np.maximum(found, 0.0) - all_of_them)
    assert wrong[outside & (all_of_them < 7.0)].max() < 0.15
    assert wrong[outside].max() < 1.0
    assert np.percentile(wrong[outside], 90) < 0.01
    assert (found[~outside] < 0.06).mean() > 0.98


def test_things_stand_on_what_is_drawn() -> None:
    land = Land(street(), dice(3))
    xy = np.array([[50.0, -1.0], [50.0, -4.5]])
    assert land.height(xy) == pytest.approx([0.0, land.kerb_height])
    borders = triangles(land.borders()).reshape(-1, 3)
    for offset in (0.45, 2.4, 6.8):
        near = borders[np.abs(borders[:, 1] - offset) < 1e-6]
        assert len(near) > 5
        assert np.abs(land.height(near[:, :2]) - near[:, 2]).max() < 1e-5


def test_everything_flat_has_its_tag() -> None:
    land = Land(random_roads(0), dice(0))
    assert tags(land.asphalt()) == {Tag.ROAD}
    assert tags(land.ground((0.0, 0.0))) == {Tag.TERRAIN}
    assert tags(land.borders()) == {Tag.TERRAIN, Tag.SIDEWALK}
    mesh = Land(street(), dice(0)).borders()
    material = mesh.vertices["texcoord"][:, 2]
    walk = mesh.vertices["color"][:, 3] == Tag.SIDEWALK
    assert set(np.unique(material[walk]).tolist()) == {PAVEMENT, KERB}


def test_asphalt_says_where_across_and_along_its_lane_it_is() -> None:
    shoulder = strip_of("Shoulder", -3.5, -4.5, outer_left=False)
    lane = strip_of("Driving", 0.0, -3.5, outer_right=False)
    shared = np.zeros(101, dtype=bool)
    shared[60:] = True
    other = strip_of("Driving", 20.0, 16.0, road=1, shared=shared)
    mesh = Land(Roads([lane, shoulder, other], []), dice(0)).asphalt()
    place, uvw = mesh.vertices["vertex"], mesh.vertices["texcoord"]
    for y, across, material in ((0.0, -1.0, TRACKED), (-4.5, 1.0, UNTRACKED)):
        at = np.abs(place[:, 1] - y) < 1e-6
        assert (uvw[at, 0] == across).all()
        assert (uvw[at, 2] == material).all()
        assert np.abs(uvw[at, 1] - place[at, 0]).max() < 1e-4
    at = np.abs(place[:, 1] - 20.0) < 1e-6
    assert set(uvw[at & (place[:, 0] < 59.5), 2].tolist()) == {TRACKED}
    assert set(uvw[at & (place[:, 0] > 60.5), 2].tolist()) == {SHARED}


def area(mesh: Mesh) -> float:
    corners = triangles(mesh)[:, :, :2]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return float(np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2.0)


@pytest.mark.parametrize("seed", range(6))
def test_thinned_asphalt_covers_what_the_lanes_do(seed: int) -> None:
    roads = random_roads(seed)
    whole = sum(
        float((np.diff(np.linalg.norm(np.diff(x.centre, axis=0), axis=1).cumsum(), prepend=0.0)
               * (x.width[1:] + x.width[:-1]) / 2.0).sum())
        for x in roads.lanes
        if x.paved
    )  # fmt: skip
    land = Land(Roads(roads.lanes, []), dice(0))
    assert area(land.asphalt()) == pytest.approx(whole, rel=0.01)
    samples = sum(len(x.s) for x in roads.lanes if x.paved)
    assert len(land.asphalt().triangles) < 1.4 * samples


def test_neighbours_are_thinned_at_the_same_places() -> None:
    for seed in range(8):
        samples = Samples(random_roads(seed).lanes)
        kept: dict[tuple[int, float, float], list[set[float]]] = {}
        for i, lane in enumerate(samples.lanes):
            key = (lane.road, float(lane.s.min()), float(lane.s.max()))
            chosen = samples.s[(samples.lane == i) & samples.keep]
            kept.setdefault(key, []).append(set(chosen.round(6).tolist()))
        for group in kept.values():
            assert all(one == group[0] for one in group)


def test_faces_of_strips_look_up() -> None:
    land = Land(random_roads(0), dice(0))
    corners = triangles(land.asphalt())
    up = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
    assert (up > -1e-3).all()  # a slip lane begins with no width at all
    for mesh in (land.field((0.0, 0.0)), land.horizon((0.0, 0.0))):
        corners = triangles(mesh)
        up = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
        assert (up > 0.0).all()


def test_a_kerb_faces_the_road_and_stands_above_it() -> None:
    land = Land(street(), dice(1))
    mesh = land.borders()
    kerb = mesh.vertices["texcoord"][:, 2] == KERB
    side = kerb & (np.abs(mesh.vertices["vertex"][:, 1] + 3.5) < 1e-6)
    heights = mesh.vertices["vertex"][side, 2]
    assert heights.max() == pytest.approx(land.kerb_height, abs=1e-5)
    assert heights.min() < -0.05
    facing = mesh.vertices["normal"][side & (np.abs(mesh.vertices["normal"][:, 1]) > 0.3)]
    assert len(facing) > 10
    assert (facing[:, 1] > 0.0).all()  # the road is to the north
    assert 0.05 <= land.kerb_height <= 0.16


def test_a_dropped_kerb_by_hand() -> None:
    low = dropped(np.array([0.0, 8.5, 9.0, 10.0, 11.5, 13.0]), np.array([[10.0, 1.0]]))
    assert low == pytest.approx([0.0, 0.5, 1.0, 1.0, 0.5, 0.0])


def test_driveways_come_down_to_the_road_now_and_then() -> None:
    samples = Samples(street().lanes)
    lows = []
    for seed in range(10):
        for mesh in Kerbs(samples, 0.12, False, 40.0, seed).meshes():
            place = mesh.vertices["vertex"]
            edge = (np.abs(place[:, 1] + 3.5) < 1e-6) & (place[:, 2] > 0.0)
            lows += place[edge, 2].tolist()
    assert min(lows) == pytest.approx(DROPPED, abs=1e-6)
    assert max(lows) == pytest.approx(0.12, abs=1e-6)


def test_a_median_is_green_or_paved_behind_kerbs() -> None:
    lanes = [
        strip_of("Driving", 5.0, 1.0, outer_right=False, beside_right="Median"),
        strip_of("Median", 1.0, -1.0, outer_left=False, outer_right=False, kerb_left=True,
                 kerb_right=True, beside_left="Driving", beside_right="Driving", surface="grass"),
        strip_of("Driving", -1.0, -5.0, outer_left=False, beside_left="Median"),
    ]  # fmt: skip
    mesh = Land(Roads(lanes, []), dice(0)).borders()
    place = mesh.vertices["vertex"]
    top = (np.abs(place[:, 1]) < 0.9) & (place[:, 2] > 0.02)
    assert set(mesh.vertices["color"][top, 3].tolist()) == {Tag.TERRAIN, Tag.SIDEWALK}
    for y in (1.0, -1.0):
        assert place[np.abs(place[:, 1] - y) < 1e-6, 2].min() < -0.05


def motorway(surface: str) -> Roads:
    """Two carriageways about a median of 2 m."""
    more = {"outer_left": False, "surface": surface, "beside_left": "Median"}
    right = strip_of("Median", 0.0, -1.0, outer_right=False, beside_right="Driving", **more)
    left = strip_of("Median", 0.0, 1.0, outer_right=False, beside_right="Driving", **more)
    halves = [right, left.cut(slice(None, None, -1))]
    lanes = [
        strip_of("Driving", -1.0, -5.0, outer_left=False, beside_left="Median"),
        strip_of("Driving", 1.0, 5.0, outer_left=False, beside_left="Median").cut(
            slice(None, None, -1)
        ),
    ]
    return Roads([*halves, *lanes], [])


def test_a_paved_median_has_one_wall_down_its_middle_and_a_green_one_none() -> None:
    wall = Land(motorway("concrete"), dice(0, barriers=100.0)).borders()
    stands = wall.vertices["color"][:, 3] == Tag.WALL
    place = wall.vertices["vertex"][stands]
    assert place[:, 2].max() == pytest.approx(0.85)
    assert np.abs(place[:, 1]).max() == pytest.approx(0.3)
    assert area(Mesh(wall.vertices, wall.triangles[stands[wall.triangles[:, 0]]])) == pytest.approx(
        0.6 * 100.0, rel=1e-3
    )
    assert Tag.WALL not in tags(Land(motorway("grass"), dice(0, barriers=100.0)).borders())
    assert Tag.WALL not in tags(Land(motorway("concrete"), dice(0, barriers=0.0)).borders())


def test_without_hills_land_lies_flat_beside_the_road() -> None:
    for seed in range(6):
        roads = read_roads(random_road(dice(seed, hills=0.0, roads=0.0)))
        land = Land(roads, dice(seed, hills=0.0, roads=0.0))
        ground = land.ground((float(roads.lanes[0].left[50, 0]), 0.0)).vertices["vertex"]
        # The field dips under the road, the first ring under the field's rim.
        assert ground[:, 2].max() < 0.2
        assert ground[:, 2].min() > -3.5
        assert land.kerb_height == 0.12


def test_horizons_differ_with_hills() -> None:
    roads = random_roads(2)
    tops = [Land(roads, dice(seed)).horizon((0.0, 0.0)).vertices["vertex"] for seed in range(16)]
    assert all(2500.0 < np.ptp(top[:, 0]) < 3500.0 for top in tops)
    heights = [float(top[:, 2].max()) for top in tops]
    assert min(heights) < 25.0
    assert max(heights) > 60.0


def test_hills_are_stronger_with_their_term_and_the_same_with_the_same_dice() -> None:
    roads = random_roads(2)
    spans = [
        float(np.ptp(Land(roads, dice(5, hills=h)).horizon((0.0, 0.0)).vertices["vertex"][:, 2]))
        for h in (0.0, 1.0, 3.0)
    ]
    assert spans[0] < spans[1] < spans[2]
    first, again = (Land(roads, dice(5)) for _ in range(2))
    assert first.borders().vertices.tobytes() == again.borders().vertices.tobytes()
    assert (
        first.ground((3.0, 4.0)).vertices.tobytes() == again.ground((3.0, 4.0)).vertices.tobytes()
    )


def test_banks_are_no_steeper_than_they_may_be() -> None:
    for seed in range(10):
        land = Land(Roads([strip_of("Driving", 0.0, -3.5)], []), dice(seed, hills=3.0))
        banks = land.terrain.banks
        away = np.linspace(0.5, 60.0, 600)
        xy = np.column_stack([np.full(600, 50.0), away])
        rise = land.height(xy)
        assert rise[:3] == pytest.approx([0.0, 0.0, 0.0], abs=0.6)
        beyond = np.maximum(away - banks.verge, 0.0)
        assert (rise <= banks.up * beyond + 0.01).all()
        assert (rise >= -banks.down * beyond - banks.ditch - 0.04 * banks.verge - 0.01).all()


def under_a_bridge() -> Roads:
    low = strip_of("Driving", 0.0, -8.0)
    x = np.linspace(-50.0, 50.0, 101)
    left = np.column_stack([np.full(101, 46.0), x, np.full(101, 7.0)])
    right = left + np.array([8.0, 0.0, 0.0])
    return Roads([low, Lane("Driving", left, right, np.arange(101.0), True, True, road=1)], [])


def test_a_road_under_a_bridge_is_clear() -> None:
    roads = under_a_bridge()
    land = Land(roads, dice(0))
    points = np.concatenate([x for lane in roads.lanes[:1] for x in (lane.left, lane.right)])
    height, inside = drawn(land.field((50.0, -4.0)), points[:, :2])
    assert (height[inside] < -0.05).all()
    borders = land.borders()
    assert Tag.BRIDGE in tags(borders)
    over = triangles(borders).reshape(-1, 3)
    above_road = (over[:, 1] < -1.0) & (over[:, 1] > -7.0) & (over[:, 0] > 10) & (over[:, 0] < 90)
    z = over[above_road, 2]
    assert ((z < 0.0) | (z > 7.0 - HIGH)).all()


def test_free_edges_are_where_nothing_lies_beyond() -> None:
    free = np.ones(101, dtype=bool)
    free[40:60] = False
    roads = Roads([strip_of("Driving", 0.0, -3.5, free_right=free)], [])
    right, left = free_edges(Samples(roads.lanes))
    spans = [(p[0, 0], p[-1, 0]) for p in right.runs.split(right.points)]
    assert spans == [(0.0, 39.0), (60.0, 100.0)]
    assert [(p[0, 0], p[-1, 0]) for p in left.runs.split(left.points)] == [(0.0, 100.0)]


def test_scenes_are_built_in_no_time() -> None:
    roads = random_roads(3)
    place = roads.driving()[0].centre[100]
    times = []
    for number in range(3):
        begin = time.process_time()
        land = Land(roads.around(place, 230.0), dice(number))
        meshes = [land.ground((float(place[0]), float(place[1]))), land.asphalt(), land.borders()]
        times.append(time.process_time() - begin)
    assert min(times) < 0.4
    assert sum(len(mesh.triangles) for mesh in meshes) < 45_000


def test_the_field_is_as_dense_as_it_says() -> None:
    field = Land(street(), dice(0)).field((10.0, 20.0)).vertices["vertex"]
    x = np.unique(field[:, 0]) - 10.0
    assert x[0] <= -REACH + CELL
    near = x[np.abs(x) <= NEAR]
    assert np.allclose(np.diff(near), CELL)
