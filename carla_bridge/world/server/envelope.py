"""The shapes of answers in CARLA's protocol, and the error that becomes a client's RuntimeError.

    value("0.9.16")            # [[1, "0.9.16"]]
    void()                     # [[False]]
    error("no such actor")     # [[0, ["no such actor"]]]
    raise CallError("no such actor 7")   # inside a call: the client raises RuntimeError(that text)

An answer holds either a value or an error text; the outer list is a structure of one member.
The client tells a void answer from a value by the method it called, so an error of a void
method has a shape of its own (`void_error`). The client raises ``std::bad_cast`` on a wrong one.
"""

from __future__ import annotations


class CallError(Exception):
    """A call that cannot be answered; its text becomes the client's RuntimeError, word for word."""


def value(content: object) -> list[object]:
    """Return the answer that carries a value."""
    return [[1, content]]


def error(text: str) -> list[object]:
    """Return the answer of a method with a value where it failed."""
    return [[0, [text]]]


def void() -> list[object]:
    """Return the answer of a method without a value: an optional error, absent."""
    return [[False]]


def void_error(text: str) -> list[object]:
    """Return the answer of a method without a value where it failed."""
    return [[True, [text]]]
