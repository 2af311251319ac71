"""A world that serves CARLA's clients until it is told to end.

    serve("Town", "127.0.0.1", 2000, seed=0, traffic=10, ready=print)

The main thread simulates and renders, because a renderer belongs to the thread that made it. The
ports are taken first: a port in use is told at once, and clients that come early wait.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from carla_bridge.world.server.rpc import RpcServer
from carla_bridge.world.server.sockets import PortInUseError
from carla_bridge.world.server.streams import Streams

ATTEMPTS = 20
"""To find two free ports in a row."""


@dataclass(frozen=True)
class Ready:
    """What a world says when it can be connected to."""

    host: str
    port: int
    stream_port: int
    map: str
    seed: int
    traffic: int
    pid: int


class _Stopped(BaseException):
    """SIGTERM or ctrl-C came; no handler of errors takes it for one."""


def serve(
    map: str, host: str, port: int, seed: int, traffic: int, ready: Callable[[Ready], None]
) -> None:
    """Serve a shipped map, or an OpenDRIVE file, until SIGTERM or ctrl-C.

    Raises `EdgeSegError` where a port is in use or the map cannot be read.
    """
    os.environ.setdefault("HOME", tempfile.gettempdir())  # `import carla` crashes without one
    with contextlib.suppress(_Stopped), _signals_stop(), contextlib.ExitStack() as ends:
        rpc, streams = open_ports(host, port)
        ends.callback(streams.close)
        ends.callback(rpc.close)
        from carla_bridge.world.server.calls import CALLS
        from carla_bridge.world.server.episode import World

        world = World(map, streams, seed=seed, traffic=traffic)
        ends.callback(world.close)
        rpc.start(CALLS.bound_to(world))
        ready(Ready(host, rpc.port, streams.port, map, seed, traffic, os.getpid()))
        world.run()


def open_ports(host: str, port: int) -> tuple[RpcServer, Streams]:
    """Return the two servers at ``port`` and ``port + 1``; 0 takes two free ports in a row."""
    for _ in range(ATTEMPTS if port == 0 else 1):
        rpc = RpcServer(host, port)
        try:
            return rpc, Streams(host, rpc.port + 1)
        except PortInUseError as error:
            rpc.close()
            in_use = error
        except BaseException:
            rpc.close()
            raise
    raise in_use


@contextlib.contextmanager
def _signals_stop() -> Iterator[None]:
    """Have SIGTERM and SIGINT raise `_Stopped` in here; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        for known in before:
            signal.signal(known, signal.SIG_DFL)
        raise _Stopped

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
