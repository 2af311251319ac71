"""Cars that follow lanes by themselves, seen through the real client."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator

import msgpack
import pytest

pytest.importorskip("carla")
pytest.importorskip("panda3d")

import carla
from live_world import drive, fresh_world, listening, spawn

from carla_bridge.world.server.start import WorldProcess

TRAFFIC = 8


@pytest.fixture(scope="module")
def process() -> Iterator[WorldProcess]:
    with WorldProcess("Town", seed=2, traffic=TRAFFIC) as process:
        yield process


@pytest.fixture
def world(process: WorldProcess) -> carla.World:
    world = fresh_world(process, "Town")
    world.tick()
    return world


def traffic_of(world: carla.World) -> list[carla.Vehicle]:
    return [
        car
        for car in world.get_actors().filter("vehicle.*")
        if car.attributes["role_name"] == "autopilot"
    ]


def test_traffic_follows_lanes_at_a_speed(world: carla.World) -> None:
    cars, town = traffic_of(world), world.get_map()
    assert len(cars) == TRAFFIC
    before = {car.id: car.get_location() for car in cars}
    for tick in range(300):
        world.tick()
        if tick % 30:
            continue
        for car in cars:
            place = car.get_location()
            lane = town.get_waypoint(place)
            assert place.distance(lane.transform.location) < 0.5
            facing = car.get_transform().get_forward_vector()
            assert facing.dot(lane.transform.get_forward_vector()) > 0.8
            speed = car.get_velocity().length()
            assert speed * 3.6 < car.get_speed_limit() * 1.1 + 1.0
    moved = [before[car.id].distance(car.get_location()) for car in cars]
    assert sum(distance > 20.0 for distance in moved) >= TRAFFIC // 2


def test_velocities_are_what_places_gain(world: carla.World) -> None:
    cars = traffic_of(world)
    for _ in range(40):
        world.tick()
    before = {car.id: car.get_location() for car in cars}
    world.tick()
    for car in cars:
        step = car.get_location() - before[car.id]
        velocity = car.get_velocity()
        assert step.x / 0.05 == pytest.approx(velocity.x, abs=0.5)
        assert step.y / 0.05 == pytest.approx(velocity.y, abs=0.5)


def test_the_first_spawn_points_are_free(world: carla.World) -> None:
    points = world.get_map().get_spawn_points()
    assert all(spawn(world, "vehicle.audi.tt", at=i) for i in range(min(10, len(points) // 2)))


def test_traffic_does_not_run_into_a_standing_car(world: carla.World) -> None:
    cars = traffic_of(world)
    for _ in range(40):
        world.tick()
    fastest = max(cars, key=lambda car: car.get_velocity().length())
    ahead = world.get_map().get_waypoint(fastest.get_location()).next(30.0)[0].transform
    ahead.location.z += 0.3
    obstacle = spawn(world, "vehicle.carlamotors.carlacola", at=ahead)
    with listening(world, obstacle, "other.collision") as hits:
        drive(world, obstacle, 200, brake=1.0)
        assert not hits.all()


def test_traffic_stands_in_a_new_episode_as_in_the_first(process: WorldProcess) -> None:
    def places() -> list[tuple[str, float, float]]:
        world = fresh_world(process, "Town")
        world.tick()
        found = [(c.type_id, c.get_location().x, c.get_location().y) for c in traffic_of(world)]
        return sorted(found)

    assert places() == places()


def call(process: WorldProcess, method: str, *arguments: object) -> object:
    """Return what the world answers to one call."""
    with socket.create_connection((process.host, process.port)) as calls:
        calls.sendall(msgpack.packb([0, 1, method, [[False], *arguments]]))
        return msgpack.unpackb(calls.recv(65536))[3]


def test_a_car_is_handed_over_and_taken_back(process: WorldProcess, world: carla.World) -> None:
    car, town = spawn(world), world.get_map()
    world.tick()
    assert call(process, "set_actor_autopilot", car.id, True) == [[False]]
    for _ in range(200):
        world.tick()
    place = car.get_location()
    assert place.distance(town.get_spawn_points()[0].location) > 20.0
    assert place.distance(town.get_waypoint(place).transform.location) < 0.5
    speed = car.get_velocity().length()
    assert call(process, "set_actor_autopilot", car.id, False) == [[False]]
    drive(world, car, 1)
    assert car.get_velocity().length() == pytest.approx(speed, abs=0.5)
    drive(world, car, 100, brake=1.0)
    assert car.get_velocity().length() < 0.1


def test_the_clients_own_traffic_manager_is_refused_with_the_way_out(world: carla.World) -> None:
    with pytest.raises(RuntimeError, match="edge-seg world --traffic"):
        spawn(world).set_autopilot(True)


def test_a_car_that_is_run_into_stops_and_goes_on(world: carla.World) -> None:
    cars = traffic_of(world)
    for _ in range(60):
        world.tick()
    target = max(cars, key=lambda car: car.get_velocity().length())
    place = target.get_transform()
    forward = place.get_forward_vector()
    rammer = carla.Transform(
        place.location - carla.Location(9.0 * forward.x, 9.0 * forward.y, -0.3), place.rotation
    )
    car = spawn(world, "vehicle.audi.tt", at=rammer)
    car.set_target_velocity(carla.Vector3D(30.0 * forward.x, 30.0 * forward.y, 0.0))
    with listening(world, car, "other.collision") as hits:
        for _ in range(40):
            drive(world, car, 1, throttle=1.0)
            if hits.messages.qsize():
                break
        assert hits.messages.get(timeout=5.0).other_actor.id == target.id
        apart = car.get_location().distance(target.get_location())
        assert apart > 0.9 * (car.bounding_box.extent.x + target.bounding_box.extent.x)
        drive(world, car, 60, brake=1.0)
    assert target.get_velocity().length() > 1.0
    assert math.isfinite(car.get_location().x)
