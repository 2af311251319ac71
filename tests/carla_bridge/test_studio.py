"""The studio: same state, same bytes; pixels in CARLA's encodings that fit the world's geometry."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

import carla

from carla_bridge.world import shipped_maps
from carla_bridge.world.dynamics import PARAMETERS
from carla_bridge.world.maps.roads import read_roads
from carla_bridge.world.scene.display import Display, open_display
from carla_bridge.world.studio import CameraPose, Mover, Studio, Weather, studio
from carla_bridge.world.studio.bodies import dressed, size
from carla_bridge.world.tags import Tag
from carla_bridge.world.things.distance import DistanceMap
from carla_bridge.world.things.roadside import CARRIAGEWAY
from edge_seg.errors import EdgeSegError

Pixels = npt.NDArray[np.uint8]

LANE_Y = -1.75
"""Metres: the middle of the lane towards x on the map Straight, which is level."""
RAIN = Weather(precipitation=60.0, precipitation_deposits=60.0, cloudiness=90.0)
NIGHT = Weather(sun_altitude_angle=-30.0)
KINDS = ("rgb", "semantic", "depth", "instance")


@pytest.fixture(scope="module")
def world() -> Iterator[Studio]:
    if not open_display().shaders:
        pytest.skip("without shaders there is no studio")
    with closing(Studio(shipped_maps.text("Straight"), seed=3)) as opened:
        yield opened


def car(id: int, x: float, kind: str = "vehicle.tesla.model3", **more: Any) -> Mover:
    return Mover(id, kind, x, LANE_Y, 0.0, **more)


def eye(x: float, z: float = 1.5, **more: float) -> CameraPose:
    return CameraPose(x, LANE_Y, z, **more)


def shots(
    world: Studio, pose: CameraPose, kinds: tuple[str, ...] = KINDS, width: int = 160
) -> list[Pixels]:
    """Return what cameras at one pose see, opened for it alone."""
    views = [world.open(kind, width, width * 3 // 4, 90.0) for kind in kinds]
    images = world.render([(view, pose) for view in views])
    for view in views:
        world.close(view)
    return images


def see(world: Studio, weather: Weather, movers: list[Mover], pose: CameraPose) -> bytes:
    world.weather(weather)
    world.place(movers)
    return b"".join(image.tobytes() for image in shots(world, pose))


def test_same_state_same_bytes_whatever_was_drawn_before(world: Studio) -> None:
    parked = [car(1, 0.0), car(2, 12.0, "vehicle.audi.tt"), car(3, 30.0)]
    states = [
        (Weather(), parked, eye(0.0, 1.8)),
        (Weather(sun_altitude_angle=20.0), [car(1, 3.0), car(2, 14.0)], eye(3.0, 1.8)),
        (NIGHT, [car(1, 250.0, lights=True), car(7, 270.0, lights=True)], eye(250.0, 1.8)),
        (RAIN, [car(7, -200.0)], eye(-210.0, 1.5)),
        (Weather(), [], eye(-100.0, 3.0, heading_deg=170.0, pitch_deg=-10.0)),
    ]
    first = [see(world, *state) for state in states]
    assert len(set(first)) == len(states)
    assert [see(world, *state) for state in reversed(states)] == first[::-1]
    with closing(Studio(shipped_maps.text("Straight"), seed=3)) as other:
        assert see(other, *states[1]) == first[1]


def test_driving_on_leaves_no_trace_in_the_shadows(world: Studio) -> None:
    for x in range(10):
        see(world, Weather(), [car(1, float(x)), car(2, 12.0 + x)], eye(float(x), 1.8))
    moved = see(world, Weather(), [car(1, 4.0), car(2, 16.0)], eye(4.0, 1.8))
    see(world, Weather(), [], eye(-250.0))
    assert see(world, Weather(), [car(1, 4.0), car(2, 16.0)], eye(4.0, 1.8)) == moved


def test_cameras_at_one_pose_see_the_same_as_alone(world: Studio) -> None:
    world.weather(Weather())
    world.place([car(9, 20.0)])
    together = shots(world, eye(0.0))
    alone = [shots(world, eye(0.0), (kind,))[0] for kind in KINDS]
    assert [image.tobytes() for image in together] == [image.tobytes() for image in alone]


def test_cameras_far_apart_see_the_same_as_alone(world: Studio) -> None:
    world.weather(Weather())
    world.place([car(9, -180.0), car(10, 260.0)])
    poses = [eye(-200.0), eye(240.0)]
    views = [world.open("rgb", 160, 120, 90.0) for _ in poses]
    together = world.render(list(zip(views, poses, strict=True)))
    alone = [world.render([shot])[0] for shot in zip(views, poses, strict=True)]
    for view in views:
        world.close(view)
    assert [a.tobytes() for a in together] == [a.tobytes() for a in alone]


def test_tags_and_numbers_are_where_carla_has_them(world: Studio) -> None:
    world.weather(Weather())
    world.place([car(300, 15.0), car(0x1234, 9.0, "vehicle.carlamotors.carlacola")])
    picture, semantic, _, instance = shots(world, eye(-5.0))
    assert picture.shape == (120, 160, 4) and (picture[:, :, 3] == 255).all()
    tags = semantic[:, :, 2]
    assert not semantic[:, :, :2].any() and (semantic[:, :, 3] == 255).all()
    assert (instance[:, :, 2] == tags).all()
    number = instance[:, :, 1] + 256 * instance[:, :, 0].astype(int)
    assert set(tags[number == 0x1234]) == {Tag.TRUCK}
    standing = np.isin(tags, [Tag.VEGETATION, Tag.POLE, Tag.BUILDING, Tag.TRAFFIC_SIGN])
    assert standing.any() and (number[standing] > 30000).all()
    assert not number[tags == Tag.ROAD].any()
    assert (tags[0] != Tag.ROAD).all() and (tags[-1] == Tag.ROAD).sum() > 100


def metres(depth: Pixels) -> npt.NDArray[np.float64]:
    """Decode as CARLA's documentation says."""
    blue, green, red = (depth[:, :, i].astype(float) for i in range(3))
    return (red + 256.0 * green + 65536.0 * blue) / (2**24 - 1) * 1000.0


def test_depth_is_metres_along_the_view(world: Studio) -> None:
    world.weather(Weather())
    world.place([car(5, 20.0, "vehicle.carlamotors.carlacola", size_m=(5.2, 2.4, 2.6))])
    (down,) = shots(world, eye(-40.0, 3.0, pitch_deg=-90.0), ("depth",))
    assert metres(down)[40:80, 60:100] == pytest.approx(3.0, abs=0.02)
    (ahead,) = shots(world, eye(0.0), ("depth",))
    assert metres(ahead)[60, 80] == pytest.approx(20.0 - 2.6, abs=0.1)
    assert metres(ahead)[0, 80] == pytest.approx(1000.0)


def test_a_pixel_of_the_road_is_where_the_pinhole_model_puts_it(world: Studio) -> None:
    world.weather(Weather())
    world.place([])
    (depth,) = shots(world, eye(0.0, 1.5, pitch_deg=-5.0), ("depth",))
    row, focal = 100, 80.0  # 160 pixels and 90 degrees
    down = math.atan2(row + 0.5 - 60.0, focal) + math.radians(5.0)
    along = 1.5 / math.sin(down) * math.cos(down - math.radians(5.0))
    assert metres(depth)[row, 80] == pytest.approx(along, rel=0.01)


@pytest.mark.parametrize("angles", [(30.0, 0.0, 0.0), (-100.0, -20.0, 0.0), (75.0, 10.0, 25.0)])
def test_angles_are_carlas(world: Studio, angles: tuple[float, float, float]) -> None:
    yaw, pitch, roll = angles
    turned = carla.Transform(carla.Location(0, 0, 0), carla.Rotation(pitch, yaw, roll))
    pose = CameraPose(0.0, 0.0, 2.0, -yaw, pitch, roll)
    view = world.open("rgb", 32, 32, 90.0)
    world.render([(view, pose)])
    world.close(view)
    world.place([Mover(1, "vehicle.audi.tt", 0.0, 0.0, 0.0, -yaw, pitch, roll)])
    camera = world._scene.camera(32, 32)
    world._aim(camera, pose, 90.0)
    for node in (camera._node, world._fleet._nodes[1][1]):
        right, forward, up, _ = (np.array(node.getMat().getRow(i))[:3] for i in range(4))
        for axis, vector in (
            (forward, turned.get_forward_vector()),
            (right, turned.get_right_vector()),
            (up, turned.get_up_vector()),
        ):
            assert axis == pytest.approx([vector.x, -vector.y, vector.z], abs=1e-5)
    world._scene.drop(camera)


def test_the_land_follows_and_never_buries_the_road(world: Studio) -> None:
    world.weather(Weather())
    world.place([])
    shares = [
        float((shots(world, eye(x), ("semantic",))[0][:, :, 2] == Tag.ROAD).mean())
        for x in (-290.0, -60.0, 130.0, 200.0)
    ]
    assert min(shares) > 0.1


def test_inside_a_car_one_sees_out(world: Studio) -> None:
    world.weather(Weather())
    world.place([car(1, 0.0)])
    tags = shots(world, eye(0.4, 1.25), ("semantic",))[0][:, :, 2]
    assert (tags[:60] != Tag.CAR).all()
    assert (tags == Tag.ROAD).any()


def road(world: Studio, weather: Weather, movers: list[Mover]) -> npt.NDArray[np.float64]:
    """Return how bright the road is (H, W), NaN where something else is seen."""
    world.weather(weather)
    world.place(movers)
    picture, tags = shots(world, eye(-12.0, 3.0), ("rgb", "semantic"))
    return np.where(tags[:, :, 2] == Tag.ROAD, picture[:, :, :3].mean(axis=2), np.nan)


def test_a_car_throws_a_shadow(world: Studio) -> None:
    change = road(world, Weather(), [car(2, 0.0)]) - road(world, Weather(), [])
    assert (change < -40.0).sum() > 20
    assert not (change > 5.0).any()


def test_headlights_shine_by_night(world: Studio) -> None:
    dark = road(world, NIGHT, [car(1, -9.0), car(2, 4.0)])
    own = road(world, NIGHT, [car(1, -9.0, lights=True), car(2, 4.0)]) - dark
    other = road(world, NIGHT, [car(1, -9.0), car(2, 4.0, lights=True)]) - dark
    assert (own > 40.0).sum() > 500
    assert 0 < (other > 10.0).sum() < (own > 10.0).sum()


def test_nothing_solid_stands_on_the_lanes(world: Studio) -> None:
    roads = read_roads(shipped_maps.text("Straight"), "Straight")
    boxes = world.obstacles
    assert boxes.shape[1] == 6 and len(boxes) > 10 and np.isfinite(boxes).all()
    assert DistanceMap(roads, CARRIAGEWAY).at(_corners(boxes)).min() > 0.0
    assert (boxes[:, 2:4] <= 20.0).all()


def test_houses_leave_the_corners_of_a_town_free(world: Studio) -> None:
    text = shipped_maps.text("Town")
    with closing(Studio(text, seed=0)) as town:
        boxes = town.obstacles
    gap = DistanceMap(read_roads(text, "Town"), CARRIAGEWAY).at(_corners(boxes))
    assert len(boxes) > 1000 and gap.min() > 0.0


def _corners(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    ahead = np.stack([np.cos(boxes[:, 4]), np.sin(boxes[:, 4])], 1) * boxes[:, 2:3]
    aside = np.stack([-np.sin(boxes[:, 4]), np.cos(boxes[:, 4])], 1) * boxes[:, 3:4]
    return np.concatenate([boxes[:, :2] + i * ahead + j * aside for i in (-1, 1) for j in (-1, 1)])


@pytest.mark.parametrize("kind", sorted(PARAMETERS))
def test_cars_are_as_large_as_they_collide(kind: str) -> None:
    car_of = PARAMETERS[kind]
    extent = (car_of.length_m, car_of.width_m, car_of.height_m)
    mover = Mover(1, kind, 0.0, 0.0, 0.0, size_m=extent)
    place = dressed(mover).vertices["vertex"]
    assert size(mover) == pytest.approx(extent)
    width, length, height = place.max(axis=0) - place.min(axis=0)
    assert length == pytest.approx(extent[0], abs=0.15)
    assert extent[1] - 0.05 < width < extent[1] + 0.6  # mirrors
    assert height == pytest.approx(extent[2], abs=0.1)


@pytest.mark.parametrize(
    ("kind", "tags"),
    [
        ("vehicle.tesla.model3", {Tag.CAR}),
        ("vehicle.carlamotors.carlacola", {Tag.TRUCK}),
        ("vehicle.mitsubishi.fusorosa", {Tag.BUS}),
        ("vehicle.yamaha.yzf", {Tag.MOTORCYCLE, Tag.RIDER}),
        ("vehicle.bh.crossbike", {Tag.BICYCLE, Tag.RIDER}),
        ("walker.pedestrian.0001", {Tag.PEDESTRIAN}),
        ("vehicle.nobody.knows", {Tag.CAR}),
        ("static.prop.box01", {Tag.DYNAMIC}),
    ],
)
def test_actors_have_carlas_tags(kind: str, tags: set[Tag]) -> None:
    assert set(dressed(Mover(1, kind, 0.0, 0.0, 0.0)).vertices["color"][:, 3]) == tags


def test_far_from_everything_there_is_sky_and_land(world: Studio) -> None:
    world.weather(Weather())
    world.place([car(1, 9e5)])
    tags = shots(world, CameraPose(-9e5, 9e5, 50.0), ("semantic",))[0][:, :, 2]
    assert set(np.unique(tags)) <= {Tag.SKY, Tag.TERRAIN}


def test_mistakes_are_one_line(world: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EdgeSegError, match="did you mean 'rgb'"):
        world.open("rbg", 64, 48, 90.0)
    with pytest.raises(EdgeSegError, match="pixels"):
        world.open("rgb", 64000, 48, 90.0)
    with pytest.raises(EdgeSegError, match=r"1\.\.170"):
        world.open("rgb", 64, 48, 180.0)
    for far in (math.nan, math.inf, 1e7):
        with pytest.raises(EdgeSegError, match="a camera is nowhere"):
            CameraPose(0.0, far, 0.0)
        with pytest.raises(EdgeSegError, match="actor 4 is nowhere"):
            car(4, far)
    with pytest.raises(EdgeSegError, match="size of actor 4"):
        car(4, 0.0, size_m=(4.0, 0.0, 1.0))
    with pytest.raises(EdgeSegError, match="same id"):
        world.place([car(1, 0.0), car(1, 10.0)])
    view = world.open("rgb", 64, 48, 90.0)
    world.close(view)
    with pytest.raises(EdgeSegError, match="closed"):
        world.render([(view, eye(0.0))])
    with pytest.raises(EdgeSegError, match="not whole"):
        Studio("no map", 0)
    plain = Display("p3tinydisplay", "", None, None, None)
    monkeypatch.setattr(studio, "open_display", lambda: plain)
    with pytest.raises(EdgeSegError, match="need OpenGL"):
        Studio(shipped_maps.text("Straight"), 0)


def test_a_studio_leaves_no_buffer_behind(world: Studio) -> None:
    before = open_display().engine.getNumWindows()
    with closing(Studio(shipped_maps.text("Straight"), 0)) as other:
        see(other, Weather(), [car(1, 0.0)], eye(0.0))
        assert open_display().engine.getNumWindows() > before
        other.close()
    assert open_display().engine.getNumWindows() == before
