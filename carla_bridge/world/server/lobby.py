"""Where subscribers arrive: a thread that hears which stream each wants, and sees them go.

    lobby = Lobby(listener, subscribe, unsubscribe)    # called with (stream, subscriber)
    lobby.close()                                      # ends all connections

On the wire a subscriber sends one u32, little endian, and never anything else; it goes by
closing the connection.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable

from carla_bridge.world.server.sockets import shut, tune
from carla_bridge.world.server.subscriber import Subscriber

MOST_SUBSCRIBERS = 128
GREETING_TIME_S = 10.0
"""Who has not said by then what to subscribe to is let go."""


class Lobby:
    """The connections of all streams."""

    def __init__(
        self,
        listener: socket.socket,
        subscribe: Callable[[int, Subscriber], None],
        unsubscribe: Callable[[int, Subscriber], None],
    ) -> None:
        self._listener = listener
        self._subscribe, self._unsubscribe = subscribe, unsubscribe
        self._selector = selectors.DefaultSelector()
        self._wanted: dict[socket.socket, tuple[bytes, float]] = {}
        self._placed: dict[socket.socket, tuple[int, Subscriber]] = {}
        self._waker, self._wake = socket.socketpair()
        self._selector.register(self._waker, selectors.EVENT_READ)
        self._selector.register(listener, selectors.EVENT_READ)
        self._accepting = True
        self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and all connections."""
        self._wake.close()
        self._thread.join()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(timeout=1.0 if self._wanted else None):
                if key.fileobj is self._waker:
                    self._end()
                    return
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._hear(key.fileobj)
            now = time.monotonic()
            for connection, (_, deadline) in list(self._wanted.items()):
                if deadline < now:
                    self._leave(connection)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            tune(connection)
        except OSError:  # gone again, or no file descriptors left: those who leave free some
            time.sleep(0.01)
            return
        self._selector.register(connection, selectors.EVENT_READ)
        self._wanted[connection] = (b"", time.monotonic() + GREETING_TIME_S)
        if len(self._wanted) + len(self._placed) >= MOST_SUBSCRIBERS:
            self._selector.unregister(self._listener)
            self._accepting = False

    def _hear(self, connection: socket.socket) -> None:
        """Read a stream's number; what comes after it means nothing."""
        try:
            data = connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._leave(connection)
        elif connection in self._wanted:
            data = self._wanted[connection][0] + data
            if len(data) < 4:
                self._wanted[connection] = (data, self._wanted[connection][1])
                return
            del self._wanted[connection]
            stream = int.from_bytes(data[:4], "little")
            subscriber = Subscriber(connection)
            self._placed[connection] = (stream, subscriber)
            self._subscribe(stream, subscriber)

    def _leave(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        self._wanted.pop(connection, None)
        placed = self._placed.pop(connection, None)
        if placed is None:
            shut(connection)
        else:
            self._unsubscribe(*placed)
            placed[1].close()
        if not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._accepting = True

    def _end(self) -> None:
        for connection in [*self._wanted, *self._placed]:
            self._leave(connection)
        self._selector.close()
        self._waker.close()
