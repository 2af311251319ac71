"""Stopping in order: SIGTERM and Ctrl-C end a training after the step that is running.

    with Stop() as stop:
        for ...:
            stop.check()  # raises StoppedError once a signal came; keep the checkpoint then

A second signal of the same kind does what it always does, in case the first one is too slow.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from edge_seg.errors import EdgeSegError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StoppedError(EdgeSegError):
    """A signal ended the work; the exit code is a shell's, 128 and the signal's number."""

    def __init__(self, number: int, where: str = "") -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} {where}".rstrip())
        self.number = number
        self.exit_code = 128 + number


class Stop:
    """Remembers a signal while it is open; outside the main thread it hears none."""

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def check(self) -> None:
        """Raise `StoppedError` where a signal came."""
        if self.number:
            raise StoppedError(self.number)

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        self._give_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
