"""What a running engine is: three calls a frame, on buffers allocated once.

session.preprocess(frame)   # uint8 BGR (H, W, 3) into the engine's input
session.infer()
ids = session.ids()         # uint8 (h, w), the engine's own buffer: copy to keep
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from edge_seg.preprocess import Frame, Mask

Options = Mapping[str, str | int | float | bool]
"""How a file is run: engine options, measured by the packer and kept in the manifest."""


class Session(Protocol):
    """A lowered model in its runtime. Not thread-safe: one session, one thread."""

    def preprocess(self, frame: Frame) -> None:
        """Bring a frame of any size into the engine's input buffer."""

    def infer(self) -> None:
        """Run the network on the input buffer."""

    def ids(self) -> Mask:
        """Return the class ids (h, w) uint8 as a view that the next `infer` overwrites."""

    def close(self) -> None:
        """Free the runtime's memory; the session is of no use afterwards."""
