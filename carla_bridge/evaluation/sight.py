"""How right the masks are while driving, against the simulator's own of the same frame.

sight = Sight()
sight.add(mask, truth)            # mean IoU of road and lane marking in this frame, 0..1
sight.iou()                       # {"road": 97.1, "lane_marking": 61.0}, percent, of the run
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edge_seg.classes import LANE
from edge_seg.metrics import Confusion

Mask = npt.NDArray[np.uint8]


class Sight:
    """Counts over a run, as `edge_seg.metrics` counts over a frame set."""

    def __init__(self) -> None:
        self._total = Confusion(len(LANE))
        self.frames = 0

    def add(self, mask: Mask, truth: Mask) -> float | None:
        """Count a frame; return the mean IoU of road and marking in it, None where neither is."""
        frame = Confusion(len(LANE))
        frame.add(mask, truth)
        self._total.merge(frame)
        self.frames += 1
        scores = frame.iou()[1:]
        seen = scores[~np.isnan(scores)]
        return round(float(seen.mean()), 5) if len(seen) else None

    def iou(self) -> dict[str, float | None]:
        """Return the IoU of each class but the background over all frames, percent."""
        scores = zip(LANE.names[1:], self._total.iou()[1:], strict=True)
        return {
            name: None if math.isnan(score) else round(100.0 * float(score), 3)
            for name, score in scores
        }
