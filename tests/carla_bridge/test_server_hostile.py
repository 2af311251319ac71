"""A hostile client: ten thousand random and mutated messages, and the world goes on."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from collections.abc import Iterator

import msgpack
import psutil
import pytest

pytest.importorskip("carla")
pytest.importorskip("panda3d")

from hostile_client import mutations, populated, record

from carla_bridge.world.server.start import WorldProcess

ROUND = 500
MOST_GROWTH_BYTES = 300e6
ANSWER_TIME_S = 20.0

CLIENT = """
import queue, sys
import carla

client = carla.Client(sys.argv[1], int(sys.argv[2]))
client.set_timeout(20)
world = client.get_world()
settings = world.get_settings()
settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
world.apply_settings(settings)
client.apply_batch_sync([carla.command.DestroyActor(actor) for actor in world.get_actors()
                         if actor.type_id.startswith(("vehicle", "sensor"))], True)
library = world.get_blueprint_library()
blueprint = library.find("sensor.camera.rgb")
blueprint.set_attribute("image_size_x", "64")
blueprint.set_attribute("image_size_y", "48")
place = world.get_map().get_spawn_points()[0]
car = world.spawn_actor(library.find("vehicle.tesla.model3"), place)
camera = world.spawn_actor(blueprint, carla.Transform(carla.Location(1.5, 0, 2)), attach_to=car)
images = queue.Queue()
camera.listen(images.put)
car.apply_control(carla.VehicleControl(throttle=0.5))
frames = [world.tick() for _ in range(20)]
assert [images.get(timeout=20).frame for _ in frames] == frames
assert car.get_velocity().length() > 0.1
camera.stop()  # a stream left open at the exit may abort the client (CARLA 0.9.16)
camera.destroy()
car.destroy()
settings.synchronous_mode = False
world.apply_settings(settings)
print("drove")
"""


@pytest.fixture(scope="module")
def world() -> Iterator[WorldProcess]:
    with WorldProcess(traffic=2) as world:
        yield world


@pytest.fixture(scope="module")
def recorded(world: WorldProcess) -> list[bytes]:
    """What the real client sends, recorded while nobody else's actors are about."""
    return record(world.host, world.port)


def send(world: WorldProcess, batch: list[bytes]) -> int:
    """Send messages over a connection of their own; return how many were answered."""
    with socket.create_connection((world.host, world.port), timeout=ANSWER_TIME_S) as client:
        answers = msgpack.Unpacker(max_buffer_size=1 << 28, strict_map_key=False)
        try:
            client.sendall(b"".join(batch))
            client.shutdown(socket.SHUT_WR)  # a text that a message begins must not wait for more
            while chunk := client.recv(1 << 16):
                answers.feed(chunk)
        except ConnectionError:
            pass  # thrown out
        return sum(1 for _ in answers)


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_messages_and_the_world_goes_on(
    world: WorldProcess, recorded: list[bytes], count: int
) -> None:
    process = psutil.Process(world.pid)
    assert len({msgpack.unpackb(message)[2] for message in recorded}) > 30
    before = process.memory_info().rss
    answered = 0
    for start in range(0, count, ROUND):
        # Now and then a message succeeds in destroying what the others are about.
        with populated(world.host, world.port, recorded) as living:
            for batch in mutations(recorded, living, ROUND, seed=start):
                answered += send(world, batch)
    assert world.alive(), world.said
    assert count * 0.7 < answered < count
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, world.host, str(world.port)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "drove\n"), done.stderr + world.said
    assert process.memory_info().rss - before < MOST_GROWTH_BYTES
    assert "refused: " in world.said and "Traceback" not in world.said


def test_noise_on_the_stream_port_does_not_disturb(world: WorldProcess) -> None:
    noise = random.Random(3)
    for _ in range(300):
        with socket.create_connection((world.host, world.port + 1), timeout=5) as client:
            client.sendall(noise.randbytes(noise.randrange(1, 64)))
    with socket.create_connection((world.host, world.port), timeout=5) as client:
        client.sendall(msgpack.packb([0, 1, "version", [[False]]]))
        assert msgpack.unpackb(client.recv(100)) == [1, 1, None, [[1, "0.9.16"]]]
