"""A session with a real server by the real client: clock, sensors, and no trace afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listening_proxy import listening_proxy

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

import carla

from carla_bridge.client.sensors import KINDS, check_camera
from carla_bridge.client.session import SensorError, Session, SimulatorError
from carla_bridge.client.weathers import WEATHERS
from carla_bridge.world.server.start import WorldProcess
from carla_bridge.world.tags import Tag
from edge_seg.errors import EdgeSegError

SIZE = (96, 64, 70.0)
ON_THE_ROOF = carla.Transform(carla.Location(x=1.3, z=1.6), carla.Rotation(pitch=-5.0))


@pytest.fixture(scope="module")
def world() -> Iterator[WorldProcess]:
    with WorldProcess(map="Straight") as process:
        yield process


def connect(world: WorldProcess, timeout_s: float = 10.0) -> Session:
    return Session.connect(world.host, world.port, timeout_s)


def start(session: Session, which: int = 0) -> Any:
    return session.map.get_spawn_points()[which]


def traces(world: WorldProcess) -> tuple[bool, float | None, list[str]]:
    """Return mode, step and actors of a world as another client sees them."""
    client = carla.Client(world.host, world.port)
    client.set_timeout(10.0)
    there = client.get_world()
    there.wait_for_tick(10.0)
    settings = there.get_settings()
    kinds = [actor.type_id for actor in there.get_actors()]
    spawned = sorted(kind for kind in kinds if kind.startswith(("vehicle.", "sensor.")))
    return settings.synchronous_mode, settings.fixed_delta_seconds, spawned


def test_the_world_moves_by_ticks_alone(world: WorldProcess) -> None:
    with connect(world) as session:
        session.synchronous(0.02)
        session.load("Straight")
        assert session.map_name == "Straight"
        first = session.tick()
        begun = session.world.get_snapshot().timestamp.elapsed_seconds
        time.sleep(0.2)
        assert [session.tick() for _ in range(3)] == [first + 1, first + 2, first + 3]
        passed = session.world.get_snapshot().timestamp.elapsed_seconds - begun
        assert passed == pytest.approx(3 * 0.02, abs=1e-6)


@pytest.mark.parametrize("ends", [None, ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_whichever_way_it_ends(
    world: WorldProcess, ends: type[BaseException] | None
) -> None:
    before = traces(world)
    assert before == (False, before[1], [])
    try:
        with connect(world) as session:
            session.synchronous()
            car = session.spawn_car(start(session))
            session.camera("rgb", *SIZE, ON_THE_ROOF, car)
            session.events("sensor.other.collision", car)
            session.tick()
            assert traces_synchronous(world)
            if ends is not None:
                raise ends("on purpose")
    except (ValueError, KeyboardInterrupt, SystemExit):
        assert ends is not None
    assert traces(world) == before


def traces_synchronous(world: WorldProcess) -> bool:
    client = carla.Client(world.host, world.port)
    client.set_timeout(10.0)
    return bool(client.get_world().get_settings().synchronous_mode)


def test_weather_is_given_back(world: WorldProcess) -> None:
    with connect(world) as session:
        found = session.world.get_weather()
        session.weather(WEATHERS["rain-night"])
        session.tick()
        assert session.world.get_weather().precipitation == 60.0
        assert session.world.get_weather().sun_altitude_angle == -30.0
    with connect(world) as session:
        assert session.world.get_weather() == found


def test_pictures_belong_to_their_tick(world: WorldProcess) -> None:
    with connect(world) as session:
        session.load("Straight")
        car = session.spawn_car(start(session))
        colours = session.camera("rgb", *SIZE, ON_THE_ROOF, car)
        tags = session.camera("semantic", *SIZE, ON_THE_ROOF, car)
        car.set_target_velocity(carla.Vector3D(10.0, 0.0, 0.0))
        for _ in range(5):
            frame = session.tick()
            picture, labels = colours.at(frame), tags.at(frame)
            assert (picture.shape, picture.dtype) == ((64, 96, 3), np.uint8)
            assert (labels.shape, labels.dtype) == ((64, 96), np.uint8)
            assert labels.flags.c_contiguous and labels.flags.owndata
            assert {Tag.ROAD, Tag.SKY} <= set(np.unique(labels))
        assert picture.std() > 5.0


def test_depth_and_instances(world: WorldProcess) -> None:
    with connect(world) as session:
        session.load("Straight")
        car = session.spawn_car(start(session))
        cameras = [session.camera(kind, *SIZE, ON_THE_ROOF, car) for kind in sorted(KINDS)]
        frame = session.tick()
        depth, instance, _, tags = (camera.at(frame) for camera in cameras)
        assert depth.dtype == np.float32
        assert depth[tags == Tag.SKY].min() > 900.0
        # A camera 1.6 m above level ground that looks 5 degrees down: 60 degrees under the
        # horizon nothing is seen, so the nearest road is a few metres away along the axis.
        assert 1.5 < depth[tags == Tag.ROAD].min() < 4.0
        np.testing.assert_array_equal(instance[:, :, 2], tags)


def test_a_picture_that_is_gone_or_not_yet_there_is_a_sensor_error(world: WorldProcess) -> None:
    with connect(world) as session:
        camera = session.camera("rgb", *SIZE, start(session), capacity=3)
        frames = [session.tick() for _ in range(6)]
        camera.at(frames[-1])
        with pytest.raises(SensorError, match=f"no picture of frame {frames[-1] + 1} in 0.2 s"):
            camera.at(frames[-1] + 1, timeout_s=0.2)
        frames = [session.tick() for _ in range(6)]
        with pytest.raises(SensorError, match=f"no picture of frame {frames[0]}:"):
            camera.at(frames[0])
        assert camera.at(frames[3]).shape == (64, 96, 3)


def test_events_are_taken_once(world: WorldProcess) -> None:
    with connect(world) as session:
        car = session.spawn_car(start(session))
        places = session.events("sensor.other.gnss", car)
        frames = [session.tick() for _ in range(4)]
        deadline = time.monotonic() + 5.0
        taken: list[Any] = []
        while len(taken) < 4 and time.monotonic() < deadline:
            taken += places.take()
        assert [event.frame for event in taken][-4:] == frames
        assert places.take() == []


def test_a_stopped_sensor_keeps_nothing_that_its_thread_could_drop_later(
    world: WorldProcess,
) -> None:
    # CARLA's client aborts a process whose Python ends before the last callback was dropped.
    with connect(world) as session:
        car = session.spawn_car(start(session))
        camera = session.camera("rgb", *SIZE, ON_THE_ROOF, car)
        session.tick()
        assert not camera._dropped.is_set()
    assert camera._dropped.is_set()


def test_what_the_server_has_not_is_one_line(world: WorldProcess) -> None:
    with connect(world) as session:
        with pytest.raises(EdgeSegError, match="no map 'Strait': did you mean 'Straight'"):
            session.load("Strait")
        with pytest.raises(EdgeSegError, match=r"did you mean 'vehicle\.tesla\.model3'"):
            session.spawn_car(start(session), "vehicle.tesla.model33")
        session.spawn_car(start(session))
        with pytest.raises(EdgeSegError, match=r"CARLA refused a vehicle\.tesla\.model3: "):
            session.spawn_car(start(session))
        with pytest.raises(EdgeSegError, match="not whole"):
            session.generate("<OpenDRIVE>")
        for dt_s in (0.0, -0.1, 0.2, float("nan")):
            with pytest.raises(EdgeSegError, match="a step of"):
                session.synchronous(dt_s)
        session.tick()


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        (("rgbb", 96, 64, 70.0), "did you mean 'rgb'"),
        (("rgb", 96, 0, 70.0), "96x0 pixels"),
        (("rgb", 100_000, 64, 70.0), "100000x64 pixels"),
        (("rgb", 96, 64, 0.0), "field of 0 degrees"),
        (("rgb", 96, 64, float("nan")), "field of nan degrees"),
    ],
)
def test_a_camera_that_cannot_be(camera: tuple[str, int, int, float], message: str) -> None:
    with pytest.raises(EdgeSegError, match=message):
        check_camera(*camera)


def test_an_absent_server_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(
        SimulatorError, match=f"no CARLA server at 127.0.0.1:{port}.*edge-seg world"
    ):
        Session.connect(port=port, timeout_s=30.0)
    assert time.monotonic() - begun < 5.0


def test_a_server_of_another_kind_is_told_in_time() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(SimulatorError, match="is no CARLA server"),
    ):
        Session.connect(port=mute.getsockname()[1], timeout_s=0.5)


def test_another_version_is_refused_before_its_world_is_touched(
    world: WorldProcess, tmp_path: Path
) -> None:
    with listening_proxy(world.port, tmp_path, version="0.9.15") as (port, calls):
        with pytest.raises(EdgeSegError, match=r"version 0\.9\.15 \(older\)"):
            Session.connect(port=port)
        assert calls() == {"version"}


DRIVER = """
import sys, time
import carla
client = carla.Client("127.0.0.1", int(sys.argv[1]))
client.set_timeout(10.0)
world = client.get_world()
settings = world.get_settings()
settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
world.apply_settings(settings)
print("drives", flush=True)
while True:
    world.tick()
    time.sleep(float(sys.argv[2]))
"""


def test_a_second_driver_is_refused_and_an_abandoned_world_is_taken(world: WorldProcess) -> None:
    command = [sys.executable, "-c", DRIVER, str(world.port), "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "drives\n"
        try:
            with pytest.raises(EdgeSegError, match="somebody else drives the world at"):
                connect(world)
        finally:
            other.kill()
    with connect(world) as session:  # it stands still since its driver was killed
        first = session.tick()
        assert session.tick() == first + 1
        settings = session.world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = False, None
        session.world.apply_settings(settings)
        session._found = settings


def test_a_tick_by_somebody_else_is_noticed(world: WorldProcess) -> None:
    with connect(world) as session:
        session.tick()
        intruder = carla.Client(world.host, world.port)
        intruder.set_timeout(10.0)
        intruder.get_world().tick()
        with pytest.raises(SimulatorError, match="somebody else ticks this world too"):
            session.tick()


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGSTOP, "did not answer in 3 s"), (signal.SIGKILL, "is gone")]
)
def test_a_server_that_hangs_or_dies_is_told_apart_and_left_quickly(
    number: signal.Signals, words: str
) -> None:
    with WorldProcess(map="Straight") as world, connect(world, 3.0) as session:
        car = session.spawn_car(start(session))
        camera = session.camera("rgb", *SIZE, ON_THE_ROOF, car)
        os.kill(world.pid, number)
        begun = time.monotonic()
        with pytest.raises(SimulatorError, match=words):
            session.tick()
        kind = SensorError if number == signal.SIGSTOP else SimulatorError
        with pytest.raises(kind):
            camera.at(2**31, timeout_s=0.1)
        session.close()
        assert time.monotonic() - begun < 15.0
        world.kill()
