"""When the next frame is due: on a fixed schedule, so that one frame's delay moves no other.

    pace = Pace(20.0)
    while pace.wait(stopped):      # a threading.Event; False when it is set meanwhile
        publish(frame)

A source that falls behind by whole frames goes on with the schedule from where it is: what is
late is not sent in a bunch. Law: the n-th wait ends no sooner than n / rate_hz after the first.
"""

from __future__ import annotations

import threading
from time import monotonic


class Pace:
    """A schedule of ``rate_hz``, from the first call on."""

    def __init__(self, rate_hz: float) -> None:
        self.period_s = 1.0 / rate_hz
        self.late = 0
        """Times of the schedule at which there was no frame."""
        self._due: float | None = None

    def wait(self, stopped: threading.Event) -> bool:
        """Sleep until the next frame is due; return False where ``stopped`` was set."""
        now = monotonic()
        if self._due is None:
            self._due = now
        self._skip(now)
        if stopped.wait(max(self._due - now, 0.0)):
            return False
        self._due += self.period_s
        return True

    def due(self) -> bool:
        """Return whether a frame that is there now is wanted, for cameras that do not wait."""
        now = monotonic()
        if self._due is None:
            self._due = now
        # A camera of the same rate comes now a little before its time, now a little after.
        if now < self._due - 0.5 * self.period_s:
            return False
        self._skip(now)
        self._due += self.period_s
        return True

    def _skip(self, now: float) -> None:
        assert self._due is not None
        missed = int((now - self._due) / self.period_s)
        if missed > 0:
            self.late += missed
            self._due += missed * self.period_s
