"""The same seed and the same controls give the same bytes, of every image and world message."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgpack
import pytest

pytest.importorskip("carla")
pytest.importorskip("panda3d")

import carla
from live_world import SHARED_SEED, drive, fresh_world, listening, shared_process, spawn

from carla_bridge.world.server.start import WorldProcess

PLATFORM_TIME = slice(56, 64)
"""Of a world message: the wall clock."""


class Messages:
    """What the world's own stream says, byte by byte."""

    def __init__(self, process: WorldProcess) -> None:
        with socket.create_connection((process.host, process.port)) as calls:
            calls.sendall(msgpack.packb([0, 1, "get_episode_info", [[False]]]))
            [_, _, _, [[_, [_, [token]]]]] = msgpack.unpackb(calls.recv(65536))
        stream, port = struct.unpack_from("<IH", token)
        self._socket = socket.create_connection((process.host, port))
        self._socket.sendall(struct.pack("<I", stream))
        self.payloads: list[bytes] = []
        self._greeted = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._greeted.wait(5.0)

    def _read(self) -> None:
        with self._socket.makefile("rb") as file:
            while len(size := file.read(4)) == 4:
                payload = bytearray(file.read(struct.unpack("<I", size)[0]))
                payload[PLATFORM_TIME] = bytes(8)
                self.payloads.append(bytes(payload))
                self._greeted.set()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5.0)
        self._socket.close()


@contextmanager
def messages_of(process: WorldProcess) -> Iterator[Messages]:
    messages = Messages(process)
    try:
        yield messages
    finally:
        messages.close()


def story(
    process: WorldProcess, ticks: int, map: str = "Straight"
) -> tuple[dict[int, bytes], list[str]]:
    """Return the world messages by frame and the digests of all images of one short drive."""
    world = fresh_world(process, map)
    digests: list[str] = []
    with messages_of(process) as messages:
        car = spawn(world)
        world.tick()
        with (
            listening(world, car, "camera.rgb") as rgb,
            listening(world, car, "camera.depth") as depth,
            listening(world, car, "other.imu", noise_accel_stddev_x=0.1) as imu,
        ):
            for tick in range(ticks):
                if tick == ticks // 2:
                    world.set_weather(carla.WeatherParameters.WetCloudySunset)
                frame = drive(world, car, 1, throttle=0.7, steer=0.1 if tick % 20 < 10 else -0.1)
                for image in (rgb.at(frame), depth.at(frame)):
                    digests.append(hashlib.sha256(image.raw_data).hexdigest())
                digests.append(str(imu.at(frame).accelerometer))
    by_frame = {
        struct.unpack_from("<Q", payload, 8)[0]: payload[:48]
        + payload[56:]  # less the episode's id
        for payload in messages.payloads
    }
    return {frame: by_frame[frame] for frame in range(2, ticks)}, digests


def test_another_process_and_another_episode_give_the_same_bytes() -> None:
    first = story(shared_process(), 10)
    assert story(shared_process(), 10) == first
    with WorldProcess("Straight", seed=SHARED_SEED) as process:
        assert story(process, 10) == first


@pytest.mark.slow
def test_with_traffic_too_and_another_seed_gives_others() -> None:
    with WorldProcess("Town", seed=5, traffic=6) as process:
        first = story(process, 40, "Town")
        assert story(process, 40, "Town") == first
    with WorldProcess("Town", seed=5, traffic=6) as process:
        assert story(process, 40, "Town") == first
    with WorldProcess("Town", seed=6, traffic=6) as process:
        messages, images = story(process, 5, "Town")
    assert messages[3] != first[0][3]
    assert images[0] != first[1][0]
