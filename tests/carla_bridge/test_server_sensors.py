"""What the sensors of a live world say, held against what is known of the world."""

from __future__ import annotations

import math
import queue
import time

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("carla")
pytest.importorskip("panda3d")

import carla
from live_world import DELTA_S, drive, fresh_world, listening, set_free, shared_process, spawn

from carla_bridge.world.tags import Tag

Pixels = npt.NDArray[np.uint8]
LEVEL = carla.Transform(carla.Location(x=1.0, z=2.0))
"""A camera 2 m above the road that looks straight ahead."""


@pytest.fixture
def world() -> carla.World:
    return fresh_world(shared_process())


def pixels(image: carla.Image) -> Pixels:
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)


# Cameras.


def test_cameras_at_one_place_see_one_scene(world: carla.World) -> None:
    car = spawn(world)
    world.tick()
    with (
        listening(world, car, "camera.rgb", LEVEL) as rgb,
        listening(world, car, "camera.semantic_segmentation", LEVEL) as semantic,
        listening(world, car, "camera.depth", LEVEL) as depth,
        listening(world, car, "camera.instance_segmentation", LEVEL) as instance,
    ):
        frame = world.tick()
        images = [inbox.at(frame) for inbox in (rgb, semantic, depth, instance)]
        now = world.get_snapshot().timestamp.elapsed_seconds
    where = car.get_transform()
    for image in images:
        assert (image.width, image.height, image.fov) == (160, 120, 90.0)
        assert len(image.raw_data) == 160 * 120 * 4
        assert image.timestamp == pytest.approx(now)
        assert image.transform.location.z == pytest.approx(where.location.z + 2.0, abs=1e-3)
        assert image.transform.location.x == pytest.approx(where.location.x + 1.0, abs=1e-3)
    colours, tags, metres, things = (pixels(image) for image in images)
    assert colours[..., :3].std() > 20.0
    assert (tags[..., :2] == 0).all()
    assert tags[110, 80, 2] == Tag.ROAD
    assert {Tag.ROAD, Tag.ROAD_LINE, Tag.SKY} <= set(np.unique(tags[..., 2]))
    assert (things[..., 2] == tags[..., 2]).all()
    # Level, 90 degrees across: a row r below the middle sees the road 2 m / tan(angle) ahead.
    focal = 80.0
    for row in (80, 100, 115):
        expected = 2.0 * focal / (row + 0.5 - 60.0)
        blue, green, red = (int(value) for value in metres[row, 80, :3])
        seen = (red + 256 * green + 65536 * blue) / (2**24 - 1) * 1000.0
        assert seen == pytest.approx(expected, rel=0.02)


def test_an_actor_is_seen_under_its_own_number(world: carla.World) -> None:
    points = world.get_map().get_spawn_points()
    car, other = spawn(world), spawn(world, "vehicle.carlamotors.carlacola", at=1)
    assert points[0].location.distance(points[1].location) < 60.0
    world.tick()
    with listening(world, car, "camera.instance_segmentation", LEVEL, fov=40) as inbox:
        seen = pixels(inbox.at(world.tick()))
    truck = seen[..., 2] == Tag.TRUCK
    assert truck.sum() > 20
    numbers = seen[..., 1].astype(int) + 256 * seen[..., 0].astype(int)
    assert set(np.unique(numbers[truck])) == {other.id}
    rows, columns = np.nonzero(truck)
    assert abs(columns.mean() - 80.0) < 12.0 and rows.max() > 60


def test_the_weather_reaches_the_picture(world: carla.World) -> None:
    car = spawn(world)
    world.tick()
    brightness = {}
    with listening(world, car, "camera.rgb") as inbox:
        for name, weather in {
            "noon": carla.WeatherParameters(sun_altitude_angle=60.0),
            "night": carla.WeatherParameters(sun_altitude_angle=-60.0),
            "fog": carla.WeatherParameters(sun_altitude_angle=60.0, fog_density=90.0),
        }.items():
            world.set_weather(weather)
            picture = pixels(inbox.at(world.tick()))[..., :3].astype(float)
            brightness[name] = (picture.mean(), picture[:60].std())
    assert brightness["night"][0] < 0.5 * brightness["noon"][0]
    assert brightness["fog"][1] < 0.8 * brightness["noon"][1]


def test_sensor_tick_is_honoured(world: carla.World) -> None:
    car = spawn(world)
    world.tick()
    with (
        listening(world, car, "camera.semantic_segmentation", sensor_tick=0.15) as slow,
        listening(world, car, "other.imu", sensor_tick=0.1) as imu,
    ):
        for _ in range(12):
            world.tick()
        time.sleep(0.2)
        frames = [image.frame for image in slow.all()]
        assert len(frames) == 4 and set(np.diff(frames)) == {3}
        assert set(np.diff([measurement.frame for measurement in imu.all()])) == {2}


def test_without_rendering_there_are_no_pictures(world: carla.World) -> None:
    car = spawn(world)
    settings = world.get_settings()
    settings.no_rendering_mode = True
    world.apply_settings(settings)
    with listening(world, car, "camera.rgb") as rgb, listening(world, car, "other.imu") as imu:
        imu.at(world.tick())
        time.sleep(0.1)
        assert not rgb.all()
        settings.no_rendering_mode = False
        world.apply_settings(settings)
        rgb.at(world.tick())


def test_a_free_running_world_sends_pictures_by_itself() -> None:
    world = set_free(shared_process())
    car = spawn(world, at=20)
    world.wait_for_tick()
    camera = world.get_blueprint_library().find("sensor.camera.semantic_segmentation")
    camera.set_attribute("image_size_x", "32")
    camera.set_attribute("image_size_y", "32")
    sensor = world.spawn_actor(camera, LEVEL, attach_to=car)
    images: queue.Queue[carla.Image] = queue.Queue()
    sensor.listen(images.put)
    taken = [images.get(timeout=10.0) for _ in range(10)]
    sensor.stop()
    frames = [image.frame for image in taken]
    assert frames == sorted(set(frames))
    times = np.diff([image.timestamp for image in taken])
    assert (times > 0.0).all() and times.max() < 1.0


def test_a_camera_moves_on_its_car(world: carla.World) -> None:
    car = spawn(world)
    world.tick()
    blueprint = world.get_blueprint_library().find("sensor.camera.semantic_segmentation")
    camera = world.spawn_actor(blueprint, LEVEL, attach_to=car)
    world.tick()
    camera.set_transform(carla.Transform(carla.Location(x=-3.0, z=5.0)))
    world.tick()
    assert camera.get_location().x == pytest.approx(car.get_location().x - 3.0, abs=1e-3)
    assert camera.get_location().z == pytest.approx(car.get_location().z + 5.0, abs=1e-3)


# Collisions.


def test_a_car_does_not_go_through_another(world: carla.World) -> None:
    car, other = spawn(world), spawn(world, "vehicle.audi.tt", at=2)
    world.tick()
    gap = other.get_location().x - car.get_location().x
    assert 0 < gap < 80
    with (
        listening(world, car, "other.collision") as own,
        listening(world, other, "other.collision") as theirs,
    ):
        for _ in range(200):
            drive(world, car, 1, throttle=1.0)
            if own.messages.qsize():
                break
        drive(world, car, 20, throttle=1.0)
        lengths = car.bounding_box.extent.x + other.bounding_box.extent.x
        apart = other.get_location().x - car.get_location().x
        assert apart > lengths - 0.05
        time.sleep(0.1)
        events, mirrored = own.all(), theirs.all()
    first = events[0]
    assert first.actor.id == car.id and first.other_actor.id == other.id
    assert first.other_actor.type_id == "vehicle.audi.tt"
    assert first.normal_impulse.x < -1000.0  # pushed back
    assert mirrored[0].other_actor.id == car.id
    assert mirrored[0].normal_impulse.x == pytest.approx(-first.normal_impulse.x)
    assert other.get_velocity().x > 0.5  # pushed on
    frames = [event.frame for event in events]
    assert len(frames) == len(set(frames))  # one a pair and frame


def test_a_car_is_stopped_by_what_stands_beside_the_road(world: carla.World) -> None:
    """Wherever it leaves the road, within 100 m there is something in its way."""
    points = world.get_map().get_spawn_points()
    for at in range(0, 12, 3):
        place = points[at]
        place.rotation.yaw += 40.0  # to the right, off the road
        car = spawn(world, "vehicle.audi.tt", at=place)
        with listening(world, car, "other.collision") as inbox:
            for _ in range(160):
                drive(world, car, 1, throttle=0.5)
                if inbox.messages.qsize():
                    event = inbox.messages.get()
                    assert event.other_actor.type_id.startswith("static.")
                    assert event.other_actor.id == 0
                    before = car.get_location()
                    drive(world, car, 30, throttle=1.0)
                    slid = car.get_location().distance(before)
                    assert slid < 15.0  # 30 ticks of full throttle are 10 m and more when free
                    return
        car.destroy()
    pytest.fail("there was nothing beside the road in four places")


def test_a_walker_can_be_run_into(world: carla.World) -> None:
    points = world.get_map().get_spawn_points()
    place = carla.Transform(points[0].location + carla.Location(x=15.0), points[0].rotation)
    car, walker = spawn(world), spawn(world, "walker.pedestrian.0001", at=place)
    world.tick()
    with listening(world, car, "other.collision") as inbox:
        for _ in range(120):
            drive(world, car, 1, throttle=0.8)
            if inbox.messages.qsize():
                break
        assert inbox.messages.get(timeout=5.0).other_actor.id == walker.id


# Satellites and inertia.


def test_gnss_is_where_the_clients_own_map_has_the_car(world: carla.World) -> None:
    car = spawn(world)
    world.tick()
    with listening(world, car, "other.gnss", carla.Transform()) as inbox:
        for _ in range(3):
            frame = drive(world, car, 10, throttle=1.0)
            fix = inbox.at(frame)
            expected = world.get_map().transform_to_geolocation(car.get_location())
            assert fix.latitude == pytest.approx(expected.latitude, abs=1e-7)
            assert fix.longitude == pytest.approx(expected.longitude, abs=1e-7)
            assert fix.altitude == pytest.approx(expected.altitude, abs=1e-3)


def test_gnss_noise_has_the_bias_and_the_spread_that_were_asked_for(world: carla.World) -> None:
    car = spawn(world)
    drive(world, car, 1, brake=1.0)
    noise = {"noise_alt_bias": 5.0, "noise_alt_stddev": 0.5, "noise_seed": 4}
    with listening(world, car, "other.gnss", carla.Transform(), **noise) as inbox:
        drive(world, car, 60, brake=1.0)
        time.sleep(0.2)
        heights = np.array([fix.altitude for fix in inbox.all()]) - car.get_location().z
    assert heights.mean() == pytest.approx(5.0, abs=0.3)
    assert 0.3 < heights.std() < 0.7


def test_an_imu_at_rest_feels_its_weight_and_east(world: carla.World) -> None:
    car = spawn(world)
    drive(world, car, 10, brake=1.0)
    with listening(world, car, "other.imu", carla.Transform()) as inbox:
        rest = inbox.at(drive(world, car, 2, brake=1.0))
    feels = rest.accelerometer
    assert [feels.x, feels.y, feels.z] == pytest.approx([0.0, 0.0, 9.81], abs=0.02)
    assert rest.gyroscope.length() < 1e-3
    yaw = math.radians(car.get_transform().rotation.yaw)
    assert rest.compass == pytest.approx((yaw + math.pi / 2.0) % math.tau, abs=1e-3)


def test_an_imu_feels_pedals_and_wheel(world: carla.World) -> None:
    car = spawn(world)
    world.tick()
    with listening(world, car, "other.imu", carla.Transform()) as inbox:
        speeding = inbox.at(drive(world, car, 40, throttle=0.8))
        assert speeding.accelerometer.x > 1.0
        turning = inbox.at(drive(world, car, 10, throttle=0.3, steer=0.3))
        assert turning.gyroscope.z > 0.05 and turning.accelerometer.y > 0.3  # to the right
        rate = math.radians(car.get_angular_velocity().z)
        assert turning.gyroscope.z == pytest.approx(rate, abs=1e-3)
        braking = inbox.at(drive(world, car, 10, brake=0.6))
        assert braking.accelerometer.x < -2.0


def test_acceleration_is_what_the_speed_gains(world: carla.World) -> None:
    car = spawn(world)
    drive(world, car, 20, throttle=0.7)
    before = car.get_velocity().x
    drive(world, car, 1, throttle=0.7)
    gained = (car.get_velocity().x - before) / DELTA_S
    assert car.get_acceleration().x == pytest.approx(gained, abs=0.02)
