"""Bytes, structures and geometry of the server, by hand and against the client's own classes."""

from __future__ import annotations

import math
import random
import struct

import pytest

pytest.importorskip("carla")
pytest.importorskip("panda3d")

import carla

from carla_bridge.world.server import world_message as wm
from carla_bridge.world.server.actors import Actor, Box
from carla_bridge.world.server.arguments import number, read_pose, read_vector, whole, write_pose
from carla_bridge.world.server.blueprints import BLUEPRINTS, definitions, described
from carla_bridge.world.server.collisions import (
    FRICTION,
    RESTITUTION,
    Footprint,
    Obstacles,
    against,
    between,
    bounce,
    touch,
)
from carla_bridge.world.server.envelope import CallError
from carla_bridge.world.server.poses import Pose, attached, rotation, turned, turned_back
from carla_bridge.world.server.sensors import make_sensor
from carla_bridge.world.server.sensors.imu import compass
from carla_bridge.world.server.settings import Settings, read_settings
from carla_bridge.world.server.weather import read_weather, write_weather
from carla_bridge.world.studio import Weather

MOMENT = wm.Moment(frame=7, time_s=0.35)
POSE = Pose(1.0, -2.0, 3.0, 4.0, 5.0, 6.0)


# The world message.


def test_a_sensors_header_is_48_bytes() -> None:
    header = wm.sensor_header(13, MOMENT, POSE)
    assert len(header) == 48
    assert struct.unpack_from("<QQ", header) == (13, 7)
    assert struct.unpack_from("<d", header, 16) == (0.35,)
    assert struct.unpack_from("<6f", header, 24) == tuple(POSE)


def test_a_world_message_is_48_and_36_and_119_bytes_an_actor() -> None:
    car = wm.car_state(
        0.5, -0.25, 0.125, hand_brake=True, reverse=False, manual=True, gear=-1, speed_limit_kmh=50
    )
    records = [
        wm.record(9, POSE, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), (7.0, 8.0, 9.0), car),
        wm.record(258, Pose()),
    ]
    payload = wm.world_message(MOMENT, records, episode=2**40, platform_s=1.5, delta_s=0.05)
    assert len(payload) == 48 + 36 + 2 * 119
    assert struct.unpack_from("<Q", payload) == (17,)  # 16 or 18 crashes the client
    episode, platform = struct.unpack_from("<Qd", payload, 48)
    assert (episode, platform) == (2**40, 1.5)
    assert payload[64:68] == struct.pack("<f", 0.05)
    assert payload[68:84] == bytes(16)
    first = payload[84 : 84 + 119]
    assert struct.unpack_from("<IB", first) == (9, 1)
    assert struct.unpack_from("<6f", first, 5) == tuple(POSE)
    assert struct.unpack_from("<9f", first, 29) == (1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert struct.unpack_from("<3f", first, 65) == (0.5, -0.25, 0.125)
    assert first[77:80] == bytes([1, 0, 1])
    assert struct.unpack_from("<if", first, 80) == (-1, 50.0)
    assert first[88] == 2  # green, as where no light governs
    assert first[89:] == bytes(30)
    assert payload[84 + 119 : 84 + 119 + 4] == bytes([2, 1, 0, 0])


def test_the_bit_for_a_changed_map_is_the_first() -> None:
    payload = wm.world_message(
        MOMENT, [], episode=1, platform_s=0.0, delta_s=0.05, map_changed=True
    )
    assert struct.unpack_from("<I", payload, 80) == (1,)


def test_states_of_lights_and_walkers_are_laid_out_as_in_the_facts() -> None:
    light = wm.light_state("signal-17", 1, frozen=True, pole=3)
    assert len(light) == 54
    assert light[:9] == b"signal-17" and light[9:32] == bytes(23)
    assert struct.unpack_from("<4fI", light, 32) == (10.0, 3.0, 2.0, 0.0, 3)
    assert light[52:] == bytes([1, 1])
    walker = wm.walker_state((0.0, 1.0, 0.0), 1.5, True)
    assert walker == struct.pack("<4fB", 0.0, 1.0, 0.0, 1.5, 1)
    assert len(wm.light_state("ä" * 40, 0, frozen=False)) == 54


def test_an_actor_is_a_structure_of_six() -> None:
    car = Actor(5, "vehicle.audi.tt", {**_values("vehicle.audi.tt"), "color": "1,2,3"}, POSE)
    car.box = Box(2.0, 0.9, 0.7)
    number_, parent, (_, kind, values), box, tags, token = car.to_wire(b"t" * 24)
    assert (number_, parent, kind, tags, token) == (5, 0, "vehicle.audi.tt", b"\0", b"t" * 24)
    assert ["color", 5, "1,2,3"] in values
    assert box == [[0.0, 0.0, 0.7], [2.0, 0.9, 0.7], [0.0, 0.0, 0.0], 5]
    camera = Actor(6, "sensor.other.lane_invasion", {"role_name": "x"}, Pose(), car)
    assert camera.to_wire()[1] == 5


def _values(kind: str) -> dict[str, str]:
    return {name: a.value for name, a in BLUEPRINTS[kind].attributes.items()}


# Poses, against the client's own transforms.


def _transform(pose: Pose) -> carla.Transform:
    return carla.Transform(carla.Location(*pose[:3]), carla.Rotation(*pose[3:]))


@pytest.mark.parametrize("seed", range(20))
def test_a_point_is_turned_as_carlas_transform_turns_it(seed: int) -> None:
    dice = random.Random(seed)
    pose = Pose(*(dice.uniform(-50, 50) for _ in range(3)), *(dice.uniform(-80, 80) for _ in "abc"))
    point = tuple(dice.uniform(-5, 5) for _ in range(3))
    theirs = _transform(pose).transform(carla.Location(*point))
    turned_point = turned(rotation(pose), point)  # type: ignore[arg-type]
    ours = [a + b for a, b in zip(turned_point, pose, strict=False)]
    assert ours == pytest.approx([theirs.x, theirs.y, theirs.z], abs=1e-3)
    assert turned_back(rotation(pose), turned_point) == pytest.approx(point)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_attached_goes_where_both_transforms_put_it(seed: int) -> None:
    dice = random.Random(100 + seed)

    def pose() -> Pose:
        angles = (dice.uniform(-80, 80), dice.uniform(-180, 180), dice.uniform(-170, 170))
        return Pose(*(dice.uniform(-50, 50) for _ in range(3)), *angles)

    parent, relative = pose(), pose()
    point = carla.Location(1.0, 2.0, 3.0)
    inner = _transform(relative).transform(point)
    theirs = _transform(parent).transform(carla.Location(inner.x, inner.y, inner.z))
    ours = _transform(attached(parent, relative)).transform(carla.Location(1.0, 2.0, 3.0))
    assert [ours.x, ours.y, ours.z] == pytest.approx([theirs.x, theirs.y, theirs.z], abs=2e-3)


def test_a_camera_ahead_of_a_car_that_looks_south() -> None:
    where = attached(Pose(10.0, 0.0, 0.5, yaw=90.0), Pose(x=1.5, z=2.0))
    assert where == pytest.approx((10.0, 1.5, 2.5, 0.0, 90.0, 0.0))
    straight_up = attached(Pose(), Pose(pitch=90.0, yaw=30.0))
    assert straight_up.pitch == pytest.approx(90.0)


def test_the_compass_is_zero_to_the_north() -> None:
    assert compass(0.0) == pytest.approx(math.pi / 2.0)  # east
    assert compass(-90.0) == pytest.approx(0.0)
    assert compass(90.0) == pytest.approx(math.pi)
    assert compass(180.0) == pytest.approx(1.5 * math.pi)


# Arguments from anywhere.


def test_poses_and_vectors_are_read_and_written() -> None:
    wire = [[1, 2.5, 3], [4, 5, 6]]
    assert read_pose(wire) == (1.0, 2.5, 3.0, 4.0, 5.0, 6.0)
    assert write_pose(read_pose(wire)) == [[1.0, 2.5, 3.0], [4.0, 5.0, 6.0]]
    assert read_vector([1, 2, 3, "ignored"]) == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("bad", [None, [], [[1, 2], [3, 4, 5]], [[1, 2, 1e8], [0, 0, 0]], "x", 3])
def test_what_is_no_pose_is_refused(bad: object) -> None:
    with pytest.raises(CallError):
        read_pose(bad)


@pytest.mark.parametrize("bad", [True, "1", None, 10**400, -(10**400), [1]])
def test_what_is_no_number_is_refused(bad: object) -> None:
    with pytest.raises(CallError):
        number(bad, "it")


@pytest.mark.parametrize("bad", [True, -1, 1.0, 2**64, "1"])
def test_what_is_no_id_is_refused(bad: object) -> None:
    with pytest.raises(CallError):
        whole(bad, "it")


def test_settings_survive_the_wire() -> None:
    wire = [True, True, [True, 0.1], False, 0.02, 5, 100.0, False, 1.0, 2.0, False]
    settings = read_settings(wire)
    assert (settings.synchronous, settings.no_rendering, settings.fixed_delta_s) == (
        True,
        True,
        0.1,
    )
    assert settings.to_wire() == wire
    assert read_settings([]) == Settings()
    assert read_settings([False, False, [True, 0.0]]).fixed_delta_s is None
    assert len(Settings().to_wire()) == 11


@pytest.mark.parametrize("delta", [-0.1, 5.0, 1e-9, "fast"])
def test_a_step_that_no_simulation_takes_is_refused(delta: object) -> None:
    with pytest.raises(CallError, match="fixed_delta_seconds"):
        read_settings([True, False, [True, delta]])


def test_weather_is_carlas_14_numbers() -> None:
    theirs = carla.WeatherParameters.HardRainSunset
    names = [
        "cloudiness",
        "precipitation",
        "precipitation_deposits",
        "wind_intensity",
        "sun_azimuth_angle",
        "sun_altitude_angle",
        "fog_density",
        "fog_distance",
        "fog_falloff",
        "wetness",
        "scattering_intensity",
        "mie_scattering_scale",
        "rayleigh_scattering_scale",
        "dust_storm",
    ]
    wire = [getattr(theirs, name) for name in names]
    weather = read_weather(wire)
    assert [getattr(weather, name) for name in names] == wire
    assert write_weather(weather) == wire
    assert read_weather([400.0]).cloudiness == 100.0
    assert read_weather([1.0] * 5).fog_density == Weather().fog_density
    with pytest.raises(CallError):
        read_weather([])


# Blueprints.


def test_every_blueprint_is_a_definition_with_its_attributes() -> None:
    wire = definitions()
    assert [row[1] for row in wire] == list(BLUEPRINTS)
    assert [row[0] for row in wire] == list(range(1, len(BLUEPRINTS) + 1))
    for _, _, tags, attributes in wire:
        assert isinstance(tags, str)
        for name, kind, value, recommended, modifiable, restricted in attributes:
            assert isinstance(name, str) and isinstance(value, str) and kind in (1, 2, 3, 4, 5)
            assert all(isinstance(item, str) for item in recommended)
            assert isinstance(modifiable, bool) and isinstance(restricted, bool)


def test_a_description_overrides_what_may_be_changed() -> None:
    given = [["color", 5, "9,9,9"], ["base_type", 4, "tank"], ["unheard", 4, "of"]]
    blueprint, values = described([3, "vehicle.audi.tt", given])
    assert blueprint.id == "vehicle.audi.tt"
    assert values["color"] == "9,9,9" and values["base_type"] == "car"
    assert "unheard" not in values
    with pytest.raises(CallError, match=r"did you mean 'vehicle.audi.tt'"):
        described([3, "vehicle.audi.t", []])


@pytest.mark.parametrize(
    ("attribute", "value", "why"),
    [
        ("image_size_x", "99999", "16 to 4096"),
        ("image_size_x", "wide", "no finite number"),
        ("image_size_y", "10.5", "no whole number"),
        ("fov", "0", "1 to 170"),
        ("fov", "nan", "no finite number"),
    ],
)
def test_a_camera_that_cannot_be_drawn_is_refused(attribute: str, value: str, why: str) -> None:
    values = _values("sensor.camera.rgb") | {attribute: value}
    with pytest.raises(CallError, match=why):
        make_sensor(1, "sensor.camera.rgb", values, Pose(), None)


@pytest.mark.parametrize(("tick", "every"), [("0.0", 1), ("0.05", 1), ("0.1", 2), ("0.12", 3)])
def test_sensor_tick_says_how_often_to_measure(tick: str, every: int) -> None:
    values = _values("sensor.other.gnss") | {"sensor_tick": tick}
    sensor = make_sensor(1, "sensor.other.gnss", values, Pose(), None)
    due = [frame for frame in range(40) if sensor.due(3.0 + 0.05 * frame)]
    if tick == "0.12":  # no multiple of the step: as often on average
        assert len(due) == pytest.approx(40 * 0.05 / 0.12, abs=1.0)
    else:
        assert due == list(range(0, 40, every))


# Collisions.


def box(owner: int, x: float, y: float, yaw: float = 0.0, z: float = 0.0) -> Footprint:
    return Footprint(owner, x, y, z, half_length=2.0, half_width=1.0, yaw_deg=yaw)


def test_boxes_touch_along_the_axis_of_least_overlap() -> None:
    contact = touch(box(1, 0.0, 0.0), box(2, 3.5, 0.5))
    assert contact is not None
    assert contact.normal == pytest.approx((-1.0, 0.0)) and contact.depth == pytest.approx(0.5)
    sideways = touch(box(1, 0.0, 0.0), box(2, 0.0, -1.8))
    assert sideways is not None
    assert sideways.normal == pytest.approx((0.0, 1.0)) and sideways.depth == pytest.approx(0.2)


def test_turned_boxes_may_be_nearer_than_their_circles() -> None:
    assert touch(box(1, 0.0, 0.0), box(2, 0.0, 2.5)) is None
    turned_box = touch(box(1, 0.0, 0.0), box(2, 0.0, 2.5, yaw=90.0))
    assert turned_box is not None and turned_box.depth == pytest.approx(0.5)
    # At 45 degrees the corner reaches (2 + 1) / sqrt(2) = 2.12 m: 2 m beside and 0.2 m short.
    assert touch(box(1, 0.0, 0.0), box(2, 0.0, 3.2, yaw=45.0)) is None
    assert touch(box(1, 0.0, 0.0), box(2, 0.0, 3.0, yaw=45.0)) is not None


def test_after_the_depth_along_the_normal_boxes_are_apart() -> None:
    dice = random.Random(5)
    for _ in range(300):
        first = box(1, dice.uniform(-3, 3), dice.uniform(-3, 3), dice.uniform(0, 360))
        second = box(2, 0.0, 0.0, dice.uniform(0, 360))
        contact = touch(first, second)
        if contact is None:
            assert touch(second, first) is None
            continue
        x = first.x + contact.normal[0] * (contact.depth + 1e-6)
        y = first.y + contact.normal[1] * (contact.depth + 1e-6)
        assert touch(box(1, x, y, first.yaw_deg), second) is None


def test_pairs_on_different_levels_do_not_meet() -> None:
    assert list(between([box(1, 0, 0), box(2, 1, 0, z=5.0)])) == []
    assert [(c.first, c.second) for c in between([box(1, 0, 0), box(2, 1, 0)])] == [(1, 2)]


def test_what_is_on_rails_meets_only_what_is_not() -> None:
    rails = [box(n, 0.0, 0.0)._replace(on_rails=True) for n in (1, 2)]
    wall = Obstacles([[0.0, 0.0, 5.0, 0.1, 0.0, 0.0]])
    assert list(between(rails)) == [] and list(against(rails, wall)) == []
    assert len(list(between([*rails, box(3, 0.0, 0.0)]))) == 2


def test_obstacles_come_in_the_maps_coordinates() -> None:
    # A wall 10 m long along x, 0.2 m wide, at y = 5 in the map: -5 in CARLA's.
    obstacles = Obstacles(
        [[100.0, 5.0, 5.0, 0.1, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0, math.pi / 4, 0.0]]
    )
    hits = list(against([box(7, 104.0, -5.5)], obstacles))
    assert [(c.first, c.second) for c in hits] == [(7, -1)]
    assert hits[0].normal == pytest.approx((0.0, -1.0))
    assert hits[0].depth == pytest.approx(0.6)
    assert list(against([box(7, 104.0, 5.5)], obstacles)) == []
    assert list(against([box(7, 104.0, -5.5, z=8.0)], obstacles)) == []  # on a bridge over it
    # A heading of 45 degrees to the left is a yaw of 45 to the other side.
    assert obstacles.near(box(1, 0.0, 0.0))[0].yaw_deg == pytest.approx(-45.0)


def test_a_hit_stops_what_comes_and_leaves_alone_what_goes() -> None:
    mass = 1000.0
    push = bounce((10.0, 0.0), (0.0, 0.0), (-1.0, 0.0), mass)
    assert push == pytest.approx((-(1.0 + RESTITUTION) * 10.0 * mass, 0.0))
    assert bounce((-1.0, 0.0), (0.0, 0.0), (-1.0, 0.0), mass) == (0.0, 0.0)
    assert bounce((5.0, 0.0), (5.0, 0.0), (-1.0, 0.0), mass) == (0.0, 0.0)


def test_friction_slows_a_slide_and_never_turns_it_round() -> None:
    mass = 1000.0
    along, _ = bounce((20.0, 1.0), (0.0, 0.0), (0.0, -1.0), mass)
    assert along == pytest.approx(-FRICTION * (1.0 + RESTITUTION) * 1.0 * mass)
    slow, _ = bounce((0.1, 10.0), (0.0, 0.0), (0.0, -1.0), mass)
    assert slow == pytest.approx(-0.1 * mass)
