"""Requests out of a stream of bytes from anywhere, in bounded memory.

    requests = Requests()
    for request in requests.of(chunk):          # as many as are whole by now
        request.id, request.method, request.arguments
    requests.within_one                         # bytes of a message that is not whole yet

MessagePack-RPC: https://github.com/msgpack-rpc/msgpack-rpc/blob/master/spec.md . CARLA's client
adds one argument before all others, a structure of one truth value: whether it waits.

The unpacker goes on where the last chunk ended and keeps only a text that is not whole, so what a
message can cost has two bounds: its bytes, and those of them that are structure. A list of nothing
takes one byte on the wire and 64 in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

MOST_BYTES = 128 << 20
"""Of one message; the OpenDRIVE texts of towns have tens of megabytes."""
MOST_STRUCTURE_BYTES = 1 << 20
"""Of one message, texts beyond a chunk left out; a batch of a thousand spawns has 400 kB."""
MOST_ELEMENTS = 1 << 14
"""Of one list; the unpacker makes room for all of them as soon as it reads their number."""
DEEPEST = 16
"""A batch that spawns and does something after nests 10 deep."""
LARGEST_ID = 2**32 - 1


class RefusedError(Exception):
    """Bytes that are no request of this protocol; its text names the kind."""


@dataclass(frozen=True)
class Request:
    """A method to call; the arguments are those after CARLA's own first one."""

    id: int
    method: str
    arguments: list[Any]


class Requests:
    """Puts the chunks of one connection together into requests."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=False,
            max_buffer_size=MOST_BYTES,
            max_array_len=MOST_ELEMENTS,
            max_map_len=MOST_ELEMENTS,
        )
        self._fed = self._start = self._structure = 0

    @property
    def within_one(self) -> int:
        """How many bytes of a message that is not whole yet have come."""
        return self._fed - self._start

    def of(self, chunk: bytes) -> Iterator[Request]:
        """Yield the requests that are whole with this chunk.

        Raises `RefusedError` at what is none; nothing after it can be understood.
        """
        before = self._unpacker.tell()
        self._fed += len(chunk)
        if self.within_one > MOST_BYTES:
            raise RefusedError(f"a message of more than {MOST_BYTES >> 20} MB")
        try:
            self._unpacker.feed(chunk)
            for message in self._unpacker:
                self._start = before = self._unpacker.tell()
                self._structure = 0
                yield checked(message)
        except (ValueError, msgpack.UnpackException, msgpack.BufferFull, RecursionError) as error:
            raise RefusedError(f"no MessagePack ({type(error).__name__})") from error
        self._structure += min(self._unpacker.tell() - before, len(chunk))
        if self._structure > MOST_STRUCTURE_BYTES:
            raise RefusedError("a message of too many small parts")


def checked(message: object) -> Request:
    """Return a message as the request it is; `RefusedError` where it has not that shape."""
    if not isinstance(message, list) or len(message) != 4 or message[0] != 0:
        raise RefusedError("a message that is no request")
    _, number, method, parameters = message
    if type(number) is not int or not 0 <= number <= LARGEST_ID or not isinstance(method, str):
        raise RefusedError("a request without a number and a method's name")
    if not isinstance(parameters, list):
        raise RefusedError("a request without a list of arguments")
    return Request(number, method, parameters)


def arguments_of(request: Request) -> list[Any]:
    """Return the arguments after CARLA's own; `ValueError` in one line where they are unusable."""
    first, *others = request.arguments or [None]
    if not (isinstance(first, list) and len(first) == 1 and isinstance(first[0], bool)):
        raise ValueError("the first argument must say whether the client waits")
    require_sane(others)
    return others


def require_sane(part: object, depth: int = 0) -> None:
    """Raise `ValueError` where numbers are not finite, or lists nest deeper than any call needs."""
    if isinstance(part, float):
        if not math.isfinite(part):
            raise ValueError("a number is not finite")
    elif isinstance(part, list):
        if depth == DEEPEST:
            raise ValueError(f"arguments nest deeper than {DEEPEST}")
        for element in part:
            require_sane(element, depth + 1)
    elif not isinstance(part, (int, str, bytes, type(None))):
        raise ValueError(f"an argument is a {type(part).__name__}")
