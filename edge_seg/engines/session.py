"""What a running engine is: three calls a frame, on buffers allocated once.

session.preprocess(frame)   # uint8 BGR (H, W, 3) into the engine's input
session.infer()
ids = session.ids()         # uint8 (h, w), the engine's own buffer: copy to keep
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame, InputSpec, Mask

OptionValue = str | int | float | bool
Options = Mapping[str, OptionValue]
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


def check_ends(found: Sequence[tuple[str, tuple[int, ...]]], spec: InputSpec) -> None:
    """Refuse a model whose input and output, as (type, shape), are not the frame and the ids.

    The engines are handed bare buffers of these sizes.
    """
    height, width = spec.height, spec.width
    wanted = [("uint8", (1, height, width, 3)), ("uint8", (1, 1, height, width))]
    if list(found) != wanted:
        ends = [" to ".join(f"{kind} {shape}" for kind, shape in ends) for ends in (found, wanted)]
        raise EdgeSegError(
            f"the model goes from {ends[0]}, its bundle says {ends[1]}: pack the model again"
        )
