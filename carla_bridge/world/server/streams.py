"""The socket of streams: what sensors see and where all actors are, sent to whoever subscribed.

    streams = Streams("127.0.0.1", 2001)
    camera = streams.open()                    # the number that clients subscribe to
    streams.token(camera)                      # 24 bytes for an actor, or for get_sensor_token
    streams.expect(camera)                     # get_sensor_token was asked: a subscriber comes soon
    streams.wait_expected()                    # before a tick, and without its lock
    if streams.has_subscriber(camera):
        streams.send(camera, header, pixels)   # synchronous mode: waits, bounded, for slow readers
        streams.offer(camera, header, pixels)  # asynchronous mode: slow readers miss the oldest
    streams.greet(world, lambda: last_message) # what a new subscriber gets first; None: nothing
    streams.forget(camera)                     # its sensor is gone
    streams.close()

The parts of a payload are any bytes-like objects, and must not change once they are handed over.
The source given to `greet` is called under this object's lock: it must take no lock itself.

A subscriber that is turned away comes again at once, a thousand times a second; so nobody is:
who asks for a stream that does not exist (or no more) stays connected and hears nothing, and
where all places are taken, the next one waits to be accepted.
"""

from __future__ import annotations

import itertools
import struct
import threading
import time
from collections.abc import Callable

from carla_bridge.world.server.lobby import Lobby
from carla_bridge.world.server.sockets import listen, shut
from carla_bridge.world.server.subscriber import Part, Subscriber

EXPECTED_TIME_S = 0.5
"""How long a tick waits for a subscriber that asked where to connect. Measured with CARLA's
client: without, it misses the first image of 30 ticks in 100."""
MOST_EXPECTED = 32
"""Of one stream; a client that only asks makes no list grow."""

TOKEN = struct.Struct("<IHBB16x")
"""Stream, port, protocol, kind of address, address."""
TCP = 1
CLIENTS_OWN_HOST = 0
"""The kind of address that has a client connect to the host that it was given."""


class Streams:
    """All streams of a world, and their subscribers; one thread accepts, one sends to each."""

    def __init__(self, host: str, port: int) -> None:
        self._listener = listen(host, port)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._subscribers: dict[int, list[Subscriber]] = {}
        self._greetings: dict[int, Callable[[], bytes | None]] = {}
        self._expected: dict[int, list[float]] = {}
        self._lobby = Lobby(self._listener, self._subscribe, self._unsubscribe)

    def open(self) -> int:
        """Return the number of a new stream."""
        with self._changed:
            number = next(self._numbers)
            self._subscribers[number] = []
            return number

    def forget(self, stream: int) -> None:
        """Send nothing more to this stream's subscribers; they stay connected."""
        with self._changed:
            self._subscribers.pop(stream, None)
            self._greetings.pop(stream, None)
            self._expected.pop(stream, None)
            self._changed.notify_all()

    def token(self, stream: int) -> bytes:
        """Return where to subscribe to a stream, as CARLA's client reads it (24 bytes)."""
        return TOKEN.pack(stream, self.port, TCP, CLIENTS_OWN_HOST)

    def expect(self, stream: int) -> None:
        """Remember that somebody asked where this stream is, and will connect."""
        with self._changed:
            deadlines = self._expected.setdefault(stream, [])
            if stream in self._subscribers and len(deadlines) < MOST_EXPECTED:
                deadlines.append(time.monotonic() + EXPECTED_TIME_S)

    def wait_expected(self) -> None:
        """Wait until all who are expected have connected, for each `EXPECTED_TIME_S` at most."""
        with self._changed:
            while waited_for := self._still_expected():
                self._changed.wait(min(waited_for) - time.monotonic())

    def has_subscriber(self, stream: int) -> bool:
        """Return whether anybody listens: what nobody sees need not be rendered."""
        return bool(self._subscribers.get(stream))

    def greet(self, stream: int, source: Callable[[], bytes | None]) -> None:
        """Have each new subscriber get what ``source`` returns first, unless it returns None."""
        with self._changed:
            self._greetings[stream] = source

    def send(self, stream: int, *parts: Part) -> None:
        """Hand a payload to all subscribers; wait where one is behind, but not for ever."""
        for subscriber in self._listening(stream):
            subscriber.send(parts)

    def offer(self, stream: int, *parts: Part) -> None:
        """Hand a payload to all subscribers; who is behind loses the oldest that is waiting."""
        for subscriber in self._listening(stream):
            subscriber.offer(parts)

    def close(self) -> None:
        """Close all connections and end their threads."""
        self._lobby.close()
        shut(self._listener)

    def _listening(self, stream: int) -> list[Subscriber]:
        with self._changed:
            return list(self._subscribers.get(stream, ()))

    def _subscribe(self, stream: int, subscriber: Subscriber) -> None:
        with self._changed:
            if stream not in self._subscribers:
                return
            source = self._greetings.get(stream)
            greeting = source() if source is not None else None
            if greeting is not None:
                subscriber.offer((greeting,))
            self._subscribers[stream].append(subscriber)
            if self._expected.get(stream):
                self._expected[stream].pop(0)
            self._changed.notify_all()

    def _unsubscribe(self, stream: int, subscriber: Subscriber) -> None:
        with self._changed:
            if subscriber in self._subscribers.get(stream, ()):
                self._subscribers[stream].remove(subscriber)

    def _still_expected(self) -> list[float]:
        """Return until when to wait for each who is expected, having dropped those overdue."""
        now = time.monotonic()
        for stream, deadlines in list(self._expected.items()):
            self._expected[stream] = [deadline for deadline in deadlines if deadline > now]
            if not self._expected[stream]:
                del self._expected[stream]
        return [deadline for deadlines in self._expected.values() for deadline in deadlines]
