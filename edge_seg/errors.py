"""The one family of errors: each says what happened, where, and what to do next.

The command line prints ``str(error)`` as one line and exits with ``error.exit_code``:
2 for bad input, 3 when the accuracy gate is missed. Anything that is not an
`EdgeSegError` is a fault of this project and exits with 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EdgeSegError(Exception):
    """Bad input, or a machine that lacks something; the message names the way out."""

    exit_code = 2


class GateMissedError(EdgeSegError):
    """No candidate held the accuracy gate."""

    exit_code = 3


class MissingRuntimeError(EdgeSegError):
    """An engine's runtime is not installed; the message names the extra that brings it."""


class NoSpaceError(EdgeSegError):
    """The disk is full: nothing else that is tried on it can go well."""


def in_one_line(error: BaseException, limit: int = 300) -> str:
    """Return the first line of an error's message, or its kind where it has none.

    >>> in_one_line(ValueError("no such kernel\\nand more"))
    'no such kernel'
    >>> in_one_line(KeyError())
    'KeyError'
    """
    lines = str(error).strip().splitlines()
    return lines[0][:limit] if lines else type(error).__name__


def closest(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the closest known one, and the whole list.

    >>> closest("lane-unt", ["lane-unet", "deeplab"])
    "did you mean 'lane-unet'? known: deeplab, lane-unet"
    """
    names = sorted(known)
    match = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{match[0]}'? " if match else ""
    return f"{hint}known: {', '.join(names) if names else 'none'}"
