"""Reaching a server, and what its silence means, in one line each.

address = Address("127.0.0.1", 2000)
knock(address, timeout_s=10.0)                     # SimulatorError where nothing listens
with telling("a tick", address, timeout_s=10.0):   # the client's RuntimeError, told apart
    world.tick(10.0)
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any, NamedTuple

from carla_bridge.client.errors import SimulatorError
from edge_seg.errors import EdgeSegError, in_one_line

KNOCK_S = 1.0
WATCH_S = 2.5
"""How long a world found in synchronous mode is watched for somebody who ticks it."""


class Address(NamedTuple):
    """Where a server listens for calls."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def knock(address: Address, timeout_s: float) -> None:
    """Raise `SimulatorError` where nothing listens; CARLA's client would wait for the time-out."""
    try:
        with socket.create_connection(address, timeout=timeout_s):
            pass
    except (OSError, OverflowError) as error:  # OverflowError: a port above 65535
        why = getattr(error, "strerror", None) or error
        raise SimulatorError(
            f"no CARLA server at {address} ({why}): start CARLA, or the built-in world: "
            "edge-seg world"
        ) from error


@contextlib.contextmanager
def telling(what: str, address: Address, timeout_s: float) -> Iterator[None]:
    """Turn what CARLA's client raises into one line: no answer, or the server's own words.

    A `SimulatorError` says whether the server is gone or hangs; an `EdgeSegError` that it
    answered and refused ``what``.
    """
    try:
        yield
    except RuntimeError as error:
        said = in_one_line(error)
        if "time-out" not in said:
            raise EdgeSegError(f"CARLA refused {what}: {said}") from error
        check_there(address)
        raise SimulatorError(
            f"the CARLA server at {address} did not answer in {timeout_s:g} s ({what}): it hangs, "
            "is too slow, or is no CARLA server; restart it"
        ) from error


def check_there(address: Address) -> None:
    """Raise `SimulatorError` where a server that was there is not any more."""
    try:
        knock(address, KNOCK_S)
    except SimulatorError as error:
        raise SimulatorError(
            f"the CARLA server at {address} is gone: start it and run again"
        ) from error


def refuse_a_second_driver(world: Any, address: Address) -> None:
    """Raise `EdgeSegError` where a world is in synchronous mode and its frames come anyway.

    One that only stands still was left so by a driver who crashed, and is taken over.
    """
    if not world.get_settings().synchronous_mode:
        return
    seen: set[int] = set()
    deadline = monotonic() + WATCH_S
    while monotonic() < deadline:
        seen.add(int(world.get_snapshot().frame))
        if len(seen - {0}) > 1:  # one may be the last frame, sent to whoever comes late
            raise EdgeSegError(
                f"somebody else drives the world at {address}: it is in synchronous mode and "
                "being ticked; wait for them, or start another world (edge-seg world --port)"
            )
        sleep(0.02)
