"""How long work tells how far it is, without knowing who watches.

A `Track` wraps an iterable and passes its items on: the command line gives one that
draws a bar (``rich.progress``), everything else uses `silent`.

    for frame in track(frames, "collecting ranges", len(frames)):
        ...
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Track(Protocol):
    """Pass on ``items`` while showing ``description`` and how many of ``total`` are done."""

    def __call__(self, items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
        """Pass on the items."""


def silent(items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
    """Show nothing."""
    return items
