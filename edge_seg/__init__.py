"""edge-seg: quantize a lane-segmentation model, prove it on its own runtime, run it.

    from edge_seg import Segmenter

    with Segmenter("lane.edgeseg") as segmenter:
        mask = segmenter(frame)  # (H, W, 3) uint8 BGR -> (H, W) uint8 class ids

Importing this package loads neither a runtime nor numpy; the names below load what
they need when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["ClassMap", "EdgeSegError", "FrameSet", "Segmenter", "__version__"]

if TYPE_CHECKING:
    from edge_seg.classes import ClassMap
    from edge_seg.errors import EdgeSegError
    from edge_seg.frames import FrameSet
    from edge_seg.segmenter import Segmenter

_HOMES = {
    "ClassMap": "edge_seg.classes",
    "EdgeSegError": "edge_seg.errors",
    "FrameSet": "edge_seg.frames",
    "Segmenter": "edge_seg.segmenter",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'edge_seg' has no attribute {name!r}")
