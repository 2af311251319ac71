"""Lines from a child process, with a limit to its silence."""

from __future__ import annotations

import os
import selectors
from time import monotonic
from typing import IO


def next_line(pipe: IO[bytes], pending: bytes, silence_s: float) -> tuple[bytes | None, bytes]:
    """Return a pipe's next line without its end, and what came after it.

    ``pending`` is what the call before returned as that. The line is None where the pipe ended, or
    no whole line came in ``silence_s`` seconds.
    """
    end = monotonic() + silence_s
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while b"\n" not in pending:
            if not selector.select(max(0.0, end - monotonic())):
                return None, pending
            block = os.read(pipe.fileno(), 1 << 16)
            if not block:
                return None, pending
            pending += block
    line, _, rest = pending.partition(b"\n")
    return line, rest
