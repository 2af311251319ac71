"""One who listens to a stream, and what waits to be sent to it.

    subscriber = Subscriber(connection)        # non-blocking; closed by its thread
    subscriber.send((header, pixels))          # waits, `PATIENCE_S` at most, for room
    subscriber.offer((header, pixels))         # drops the oldest instead
    subscriber.close()

A message is written by whoever hands it over as far as the connection takes it at once, so that
messages of several streams leave in the order of the calls: CARLA's client, while it ticks in
`apply_batch_sync`, keeps Python's lock, and its threads (one a core) would wait for that with
images of a frame that it has not heard of.

On the wire a message is its size (u32, little endian) and its payload. A message that has begun
is sent to its end; only whole ones are dropped.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

Part: TypeAlias = "bytes | bytearray | memoryview"

MOST_WAITING = 64
"""Messages; where a tick is 50 ms, three seconds of them."""
MOST_WAITING_BYTES = 32 << 20
"""Sixteen images of 800x600, or the one that is larger."""
PATIENCE_S = 5.0
"""How long a tick waits for one slow reader; one that is slower loses messages from then on,
until it has read all that waits."""


class Subscriber:
    """A bounded queue; what the connection does not take at once, a thread sends."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._changed = threading.Condition()
        self._begun: list[memoryview] = []
        """What is left of the message that is being sent."""
        self._waiting: deque[tuple[Part, ...]] = deque()
        self._waiting_bytes = 0
        self._late = False
        self._closed = self._gone = False
        threading.Thread(target=self._run, name="subscriber", daemon=True).start()

    def send(self, parts: Sequence[Part]) -> None:
        """Take a message once there is room; after `PATIENCE_S`, as `offer` does."""
        with self._changed:
            if not self._late:
                self._late = not self._changed.wait_for(self._has_room, PATIENCE_S)
            self._put(parts)

    def offer(self, parts: Sequence[Part]) -> None:
        """Take a message in the place of the oldest ones where there is no room."""
        with self._changed:
            self._put(parts)

    def close(self) -> None:
        """End the thread and the connection; what waits is dropped."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        with contextlib.suppress(OSError):  # the thread may wait in the connection
            self._connection.shutdown(socket.SHUT_RDWR)

    def _has_room(self) -> bool:
        return (
            self._closed
            or self._gone
            or (len(self._waiting) < MOST_WAITING and self._waiting_bytes < MOST_WAITING_BYTES)
        )

    def _put(self, parts: Sequence[Part]) -> None:
        if self._closed or self._gone:
            return
        while not self._has_room():
            self._waiting_bytes -= _size(self._waiting.popleft())
        size = _size(parts)
        self._waiting.append((struct.pack("<I", size), *parts))
        self._waiting_bytes += size + 4
        if not self._begun:
            self._write()
            self._changed.notify_all()

    def _run(self) -> None:
        """Send on whenever the reader has made room."""
        writable = select.poll()
        writable.register(self._connection, select.POLLOUT)
        while not self._closed:
            with self._changed:
                self._changed.wait_for(lambda: self._begun or self._closed)
            writable.poll()
            with self._changed:
                self._write()
                self._changed.notify_all()
        # Here and nowhere else, when the lobby has let it go: another connection may get the
        # number of one that is closed.
        self._connection.close()

    def _write(self) -> None:
        """Send as much as the connection takes now."""
        try:
            while not self._closed and self._next_begun():
                sent = self._connection.sendmsg(self._begun)
                while self._begun and sent >= self._begun[0].nbytes:
                    sent -= self._begun.pop(0).nbytes
                if self._begun:
                    self._begun[0] = self._begun[0][sent:]
        except BlockingIOError:
            pass
        except OSError:  # the reader went; the lobby hears that, and calls `close`
            self._gone = True
            self._begun.clear()
            self._waiting.clear()

    def _next_begun(self) -> bool:
        """Begin the next message where one has ended; return whether there is any."""
        if not self._begun and self._waiting:
            message = self._waiting.popleft()
            self._waiting_bytes -= _size(message)
            self._begun = [memoryview(part).cast("B") for part in message]
        if not self._begun:
            self._late = False
        return bool(self._begun)


def _size(parts: Sequence[Part]) -> int:
    return sum(memoryview(part).nbytes for part in parts)
