"""The socket of calls: MessagePack-RPC, a thread for each client.

    server = RpcServer("127.0.0.1", 2000)      # bound, so that a taken port is told at once
    server.start(calls.bound_to(world))        # whoever connected meanwhile is answered from now on
    server.close()

A client can send what it likes: bytes that are no request end its connection, arguments that a
call cannot use are answered as an error, and both are said once per kind (`refusals`).
"""

from __future__ import annotations

import os
import socket
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgpack

from carla_bridge.world.server import envelope
from carla_bridge.world.server.call_table import Call
from carla_bridge.world.server.messages import RefusedError, Request, Requests, arguments_of
from carla_bridge.world.server.refusals import Refusals, shown
from carla_bridge.world.server.sockets import listen, shut, tune
from edge_seg.errors import EdgeSegError, in_one_line

MOST_CONNECTIONS = 32
MOST_LARGE = 2
"""Messages beyond `LARGE_BYTES` that may be on their way at once, of all clients together."""
LARGE_BYTES = 4 << 20
CHUNK_BYTES = 1 << 16
MESSAGE_TIME_S = 30.0
"""A message that began must go on; between messages a client may be silent for ever."""
CLOSE_TIME_S = 5.0


class RpcServer:
    """Answers the calls of all clients; each connection has a thread."""

    def __init__(self, host: str, port: int) -> None:
        self._listener = listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        self._calls: Mapping[str, Call] = {}
        self._refusals = Refusals()
        self._large = threading.BoundedSemaphore(MOST_LARGE)
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._closed = False

    def start(self, calls: Mapping[str, Call]) -> None:
        """Answer with these calls from now on."""
        self._calls = calls
        threading.Thread(target=self._accept, name="rpc-accept", daemon=True).start()

    def close(self) -> None:
        """End all connections and their threads."""
        with self._lock:
            self._closed = True
            connections = dict(self._connections)
        shut(self._listener)
        for connection in connections:
            shut(connection)
        deadline = time.monotonic() + CLOSE_TIME_S
        for thread in connections.values():
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, address = self._listener.accept()
            except OSError:  # closed, or no file descriptors left: those who left free some
                time.sleep(0.05)
                continue
            client = f"from {address[0]}:{address[1]}"
            thread = threading.Thread(
                target=self._serve, args=(connection, client), name="rpc", daemon=True
            )
            with self._lock:
                accepted = not self._closed and len(self._connections) < MOST_CONNECTIONS
                if accepted:
                    self._connections[connection] = thread
                    thread.start()
            if not accepted:
                self._refusals.say(f"a connection beyond {MOST_CONNECTIONS}", client)
                shut(connection)

    def _serve(self, connection: socket.socket, client: str) -> None:
        """Answer one client until it goes, or sends what is no request."""
        try:
            tune(connection)
            for request in self._requests(connection):
                connection.sendall(self._answer(request))
        except RefusedError as refusal:
            self._refusals.say(str(refusal), client)
        except OSError:  # the client went, or `close` was called
            pass
        finally:
            shut(connection)
            with self._lock:
                self._connections.pop(connection, None)

    def _requests(self, connection: socket.socket) -> Iterator[Request]:
        """Yield what comes, with a bound on how much of it waits to be whole."""
        requests = Requests()
        while chunk := _received(connection, requests.within_one):
            yield from requests.of(chunk)
            if requests.within_one > LARGE_BYTES:
                with self._room_for_large():
                    while requests.within_one > LARGE_BYTES:
                        if not (chunk := _received(connection, requests.within_one)):
                            return
                        yield from requests.of(chunk)

    @contextmanager
    def _room_for_large(self) -> Iterator[None]:
        if not self._large.acquire(blocking=False):
            raise RefusedError(f"a large message while {MOST_LARGE} others come")
        try:
            yield
        finally:
            self._large.release()

    def _answer(self, request: Request) -> bytes:
        """Return the packed reply; whatever a call does, there is one."""
        call = self._calls.get(request.method)
        if call is None:
            self._refusals.say("an unknown method", request.method)
            text = f"this world does not answer '{shown(request.method)}'"
            return _reply(request, envelope.error(text))
        try:
            arguments = arguments_of(request)
            return _reply(request, call.answer(call.function(*arguments)))
        except (envelope.CallError, EdgeSegError) as error:
            return _reply(request, call.failure(str(error)))
        except Exception as error:  # arguments of any shape meet calls that expect theirs
            if os.environ.get("EDGE_SEG_DEBUG"):
                traceback.print_exc()
            text = f"{request.method} cannot use these arguments: {in_one_line(error)}"
            self._refusals.say(f"{request.method}, {type(error).__name__}", in_one_line(error))
            return _reply(request, call.failure(text))


def _received(connection: socket.socket, within_one: int) -> bytes:
    """Return some bytes, none at the end; OSError where a message stops in its middle."""
    connection.settimeout(MESSAGE_TIME_S if within_one else None)
    return connection.recv(CHUNK_BYTES)


def _reply(request: Request, answer: list[object]) -> bytes:
    packed: bytes = msgpack.packb([1, request.id, None, answer])
    return packed
