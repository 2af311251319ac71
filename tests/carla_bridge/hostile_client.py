"""Requests of CARLA's real client, recorded on the wire, and what a hostile one makes of them.

recorded = record(world.host, world.port)       # bytes of one request each
for message in mutations(recorded, count=10_000, seed=1): ...
"""

from __future__ import annotations

import contextlib
import copy
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import msgpack

TOUR = """
import queue, sys
import carla

client = carla.Client(sys.argv[1], int(sys.argv[2]))
client.set_timeout(20)
client.get_server_version(), client.get_available_maps()
world = client.get_world()
before = world.get_settings()
settings = world.get_settings()
settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
world.apply_settings(settings)
town = world.get_map()
place, other_place = town.get_spawn_points()[:2]
library = world.get_blueprint_library()
car = world.spawn_actor(library.find("vehicle.tesla.model3"), place)
images, sensors = queue.Queue(), []
for kind in ("camera.rgb", "camera.semantic_segmentation", "other.imu", "other.gnss",
             "other.collision"):
    blueprint = library.find("sensor." + kind)
    if kind.startswith("camera"):
        blueprint.set_attribute("image_size_x", "64")
        blueprint.set_attribute("image_size_y", "48")
    at = carla.Transform(carla.Location(1.5, 0, 2.0))
    sensors.append(world.spawn_actor(blueprint, at, attach_to=car))
    sensors[-1].listen(images.put)
world.tick()
car.apply_control(carla.VehicleControl(0.5, 0.1))
car.apply_ackermann_control(carla.VehicleAckermannControl(speed=5.0))
car.set_transform(other_place)
car.set_location(place.location)
car.set_target_velocity(carla.Vector3D(1, 0, 0))
car.apply_physics_control(car.get_physics_control())
car.set_light_state(carla.VehicleLightState.LowBeam)
car.bounding_box, world.get_spectator().get_transform(), list(world.get_actors())
weather = world.get_weather()
weather.sun_altitude_angle = 20
world.set_weather(weather)
world.debug.draw_box(carla.BoundingBox(place.location, carla.Vector3D(1, 1, 1)), place.rotation)
spawn = carla.command.SpawnActor(library.find("vehicle.audi.tt"), other_place)
(spawned,) = client.apply_batch_sync([spawn], False)
world.tick()
client.apply_batch_sync([
    carla.command.ApplyVehicleControl(spawned.actor_id, carla.VehicleControl(0.3)),
    carla.command.ApplyTransform(spawned.actor_id, other_place),
    carla.command.DestroyActor(spawned.actor_id)], False)
world.tick()
for sensor in sensors:
    sensor.stop()
    sensor.destroy()
car.destroy()
world.apply_settings(before)
world = client.load_world(town.name)
client.generate_opendrive_world(town.to_opendrive())
client.load_world(town.name)
"""


def record(host: str, port: int) -> list[bytes]:
    """Return what the real client sends on a tour of what the world can do, request by request."""
    with socket.create_server((host, 0)) as listener:
        command = [sys.executable, "-c", TOUR, host, str(listener.getsockname()[1])]
        client = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            listener.settimeout(30)
            near, _ = listener.accept()
            with near, socket.create_connection((host, port)) as far:
                back = threading.Thread(target=_pump, args=(far, near), daemon=True)
                back.start()
                sent = _pump(near, far)
            _, complaints = client.communicate(timeout=60)
        finally:
            client.kill()
    assert client.returncode == 0, complaints
    return [msgpack.packb(message) for message in msgpack.Unpacker(_Bytes(sent))]


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, size: int) -> bytes:
        part, self._content = self._content[:size], self._content[size:]
        return part


def _pump(source: socket.socket, goal: socket.socket) -> bytes:
    """Pass bytes on until the source ends; return them."""
    seen = bytearray()
    try:
        for interface in (source, goal):
            interface.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while chunk := source.recv(1 << 16):
            seen += chunk
            goal.sendall(chunk)
        goal.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    return bytes(seen)


@contextlib.contextmanager
def populated(host: str, port: int, recorded: list[bytes]) -> Iterator[list[int]]:
    """Load the map and spawn the recorded actors again; yield their ids, and read their streams."""
    living: list[int] = []
    readers: list[socket.socket] = []
    with socket.create_connection((host, port), timeout=30) as client:
        requests = [msgpack.unpackb(message) for message in recorded]
        ask(client, next(request for request in requests if request[2] == "load_new_episode"))
        for request in requests:
            if not request[2].startswith("spawn_actor"):
                continue
            if request[2] == "spawn_actor_with_parent":
                request[3][3] = living[0]
            actor = ask(client, request)[0][1]
            living.append(actor[0])
            if token := actor[5]:
                readers.append(socket.create_connection((host, port + 1), timeout=30))
                readers[-1].sendall(token[:4])
                threading.Thread(target=_drain, args=(readers[-1],), daemon=True).start()
    try:
        yield living
    finally:
        for reader in readers:
            with contextlib.suppress(OSError):
                reader.shutdown(socket.SHUT_RDWR)


def ask(client: socket.socket, request: list[Any]) -> Any:
    """Return the result of one request."""
    client.sendall(msgpack.packb(request))
    answers = msgpack.Unpacker(max_buffer_size=1 << 28)
    while (answer := next(answers, None)) is None:
        chunk = client.recv(1 << 16)
        assert chunk, "the world ended the connection"
        answers.feed(chunk)
    return answer[3]


def _drain(source: socket.socket) -> None:
    with source, contextlib.suppress(OSError):
        source.settimeout(None)
        while source.recv(1 << 16):
            pass


NASTY: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**32 - 1, 2**63, -(2**63), 2**64 - 1,
    0.0, -0.0, 0.5, 1e-300, 1e30, -1e300, float("inf"), float("-inf"), float("nan"),
    "", "a", "\x00", "../../etc/passwd", "%s%n{0}", "é" * 1000, b"", b"\xff" * 24,
    [], [[]], [None] * 100, [1] * 3, ["x"] * 20, {}, {"a": 1},
    "vehicle.tesla.model3", "sensor.camera.rgb", "image_size_x", "99999999", "-1", "nan", "1e9",
)  # fmt: skip

SLOW = ("copy_opendrive_to_file", "load_new_episode")
"""Methods that take a second where they succeed; one at the end is enough."""
MOST_SLOW = 1
BATCH = 5
OF_AN_ACTOR = ("apply_", "set_actor", "set_vehicle", "get_physics", "get_actor_bounding")
"""How the methods begin whose first argument is an actor."""


def mutations(
    recorded: list[bytes], living: list[int], count: int, seed: int
) -> Iterator[list[bytes]]:
    """Yield seeded messages, ``count`` of them: requests with other values in batches, and alone
    what may take all after it along, requests with other bytes and plain noise."""
    draw = random.Random(seed)
    requests = [msgpack.unpackb(message) for message in recorded]
    quick = sorted({request[2] for request in requests} - set(SLOW))
    while count > 0:
        batch = []
        for _ in range(min(count, BATCH)):
            # The living actors end with the first map that is loaded.
            method = draw.choice(quick if count > MOST_SLOW else SLOW)
            request = draw.choice([request for request in requests if request[2] == method])
            batch.append(_as_values(copy.deepcopy(request), living, draw))
        *batch, last = batch
        yield batch
        yield [
            draw.randbytes(draw.randrange(1, 200)) if draw.random() < 0.2 else _as_bytes(last, draw)
        ]
        count -= len(batch) + 1


def _as_values(request: list[Any], living: list[int], draw: random.Random) -> bytes:
    """Return a request with up to three of its values replaced, left out or doubled."""
    arguments = request[3]
    if request[2].startswith(OF_AN_ACTOR) and len(arguments) > 1 and draw.random() < 0.9:
        arguments[1] = draw.choice(living)
    for _ in range(draw.randint(0, 3)):
        place = draw.choice([*_lists(arguments), arguments[1:]])
        index = draw.randrange(len(place)) if place else 0
        kind = draw.random()
        if kind < 0.1:
            place.insert(index, copy.deepcopy(draw.choice(NASTY)))
        elif place and kind < 0.2:
            del place[index]
        elif place and kind < 0.5 and type(place[index]) in (int, float):
            place[index] *= draw.choice((-1.0, 0.0, 0.5, 3.0, 1000.0, 1e9))
        elif place:
            place[index] = copy.deepcopy(draw.choice(NASTY))
    if draw.random() < 0.9 and arguments:
        arguments[0] = [False]  # so that most get beyond the first check
    packed: bytes = msgpack.packb(request)
    return packed


def _lists(part: Any) -> Iterator[list[Any]]:
    if isinstance(part, list):
        yield part
        for element in part:
            yield from _lists(element)


def _as_bytes(message: bytes, draw: random.Random) -> bytes:
    """Return a request with some bytes changed, cut or put in."""
    changed = bytearray(message)
    for _ in range(draw.randint(1, 8)):
        place = draw.randrange(len(changed))
        match draw.randrange(3):
            case 0:
                changed[place] = draw.randrange(256)
            case 1:
                changed[place:place] = draw.randbytes(draw.randint(1, 8))
            case _ if len(changed) > 4:
                del changed[place : place + draw.randint(1, 8)]
        if not changed:
            return b"\xc1"
    return bytes(changed)
