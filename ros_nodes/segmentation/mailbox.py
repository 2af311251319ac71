"""One frame waits, the newest: who comes too late takes the place of who came before.

    mailbox.put(arrival)             # True where an earlier one was thrown out
    arrival = mailbox.take(0.5)      # None where nothing came, or it is closed

A queue would only add its length to the latency (openpilot's modeld drops, too).
"""

from __future__ import annotations

from threading import Condition
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """A slot between two threads."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> bool:
        """Leave an item; return whether an earlier one was dropped for it."""
        with self._changed:
            dropped = self._item is not None
            self._item = item
            self._changed.notify()
        return dropped

    def take(self, timeout_s: float) -> Item | None:
        """Wait for an item and take it out."""
        with self._changed:
            if self._item is None and not self._closed:
                self._changed.wait(timeout_s)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Wake who waits; what is in the slot is gone."""
        with self._changed:
            self._closed = True
            self._item = None
            self._changed.notify_all()
