"""What is sent while a map loads, byte by byte: CARLA's client crashes where it is too much."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest

pytest.importorskip("carla", reason="needs the extra carla")
pytest.importorskip("panda3d", reason="needs the extra carla")

from hostile_client import ask
from live_world import shared_process

from carla_bridge.world.server.world_message import EPISODE, HEADER, MAP_CHANGED

QUIET_S = 0.3
SYNCHRONOUS = [True, False, 0.05, True, 0.01, 10, 0.0, True, 3000.0, 2000.0, False]
FREE = [False, *SYNCHRONOUS[1:]]


def told(stream: socket.socket) -> tuple[int, int, bool]:
    """Return the next message's episode and frame, and whether it says that the map changed."""
    size = struct.unpack("<I", stream.recv(4, socket.MSG_WAITALL))[0]
    message = stream.recv(size, socket.MSG_WAITALL)
    _, frame, *_ = HEADER.unpack_from(message)
    episode, *_, flags = EPISODE.unpack_from(message, HEADER.size)
    return episode, frame, bool(flags & MAP_CHANGED)


def is_quiet(stream: socket.socket) -> bool:
    stream.settimeout(QUIET_S)
    try:
        return not stream.recv(1)
    except TimeoutError:
        return True
    finally:
        stream.settimeout(10.0)


@pytest.fixture
def calls() -> Iterator[socket.socket]:
    """A connection that has put the world into synchronous mode."""
    process = shared_process()
    with closing(socket.create_connection((process.host, process.port), timeout=30.0)) as calls:
        ask(calls, [0, 1, "set_episode_settings", [[False], SYNCHRONOUS]])
        yield calls
        ask(calls, [0, 1, "set_episode_settings", [[False], FREE]])


def where(calls: socket.socket) -> tuple[int, int]:
    """Return the episode's number, and the number of its stream."""
    number, (token,) = ask(calls, [0, 2, "get_episode_info", [[False]]])[0][1]
    return number, struct.unpack_from("<I", token)[0]


def listening(stream: int) -> socket.socket:
    process = shared_process()
    there = socket.create_connection((process.host, process.port + 1), timeout=10.0)
    there.sendall(struct.pack("<I", stream))
    return there


def test_nobody_hears_of_a_new_world_before_its_next_tick(calls: socket.socket) -> None:
    _, before = where(calls)
    with listening(before) as stayed:
        told(stayed)  # the greeting
        ask(calls, [0, 3, "load_new_episode", [[False], "Straight", False, 0]])
        episode, now = where(calls)
        assert now != before, "who leaves the old stream late would close the new one"
        assert is_quiet(stayed)
        with listening(now) as came:
            assert told(came) == (episode, 1, True)
            ask(calls, [0, 4, "tick_cue", [[False]]])
            assert told(came)[:2] == (episode, 2)
            assert told(stayed) == (episode, 2, True)
            ask(calls, [0, 5, "tick_cue", [[False]]])
            assert told(came) == told(stayed) == (episode, 3, False)


def test_streams_that_nobody_listens_to_are_forgotten(calls: socket.socket) -> None:
    _, first = where(calls)
    for _ in range(3):
        ask(calls, [0, 3, "load_new_episode", [[False], "Straight", False, 0]])
    with listening(first) as late:
        ask(calls, [0, 4, "tick_cue", [[False]]])
        assert is_quiet(late)
