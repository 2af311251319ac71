"""What the server refused, said once per kind, on stderr.

    refusals = Refusals()
    refusals.say("no MessagePack", "from 127.0.0.1:40123")
    # refused: no MessagePack (from 127.0.0.1:40123); more of this kind will not be reported

A client may send millions of bad messages; neither the log nor the memory grows with them. What a
client wrote is shown escaped and short, so that it cannot speak to the terminal.
"""

from __future__ import annotations

import contextlib
import sys
import threading

MOST_KINDS = 1000
LONGEST = 160


class Refusals:
    """Says each kind once."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def say(self, kind: str, detail: str) -> None:
        """Report a refusal unless one of its kind was reported before."""
        with self._lock:
            if kind in self._known or len(self._known) >= MOST_KINDS:
                return
            self._known.add(kind)
        line = f"refused: {kind} ({shown(detail)}); more of this kind will not be reported"
        with contextlib.suppress(OSError, ValueError):  # nobody reads stderr any more
            print(line, file=sys.stderr, flush=True)


def shown(text: str) -> str:
    """Return a foreign text in printable ASCII, cut where it is long.

    >>> shown("naïve\\x1b[2J")
    'na\\\\xefve\\\\x1b[2J'
    """
    return ascii(text[:LONGEST])[1:-1]
