"""From a network's answers to masks, and how much two masks agree: as the task has it.

    masks = to_masks(logits, LANE)       # (N, classes, h, w) float -> (N, h, w) uint8
    agreeing(masks[0], masks[1], LANE)  # percent of pixels

The engines' files do the same inside (`quantize.class_ids`); this is what they are held to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_seg.classes import IGNORE, ClassMap
from edge_seg.preprocess import Mask

FARTHEST = float(IGNORE - 1)
"""The mask value of a depth network's answer 1; 0 is 0."""


def to_masks(logits: npt.NDArray[Any], classes: ClassMap) -> npt.NDArray[np.uint8]:
    """Return masks (N, h, w) uint8 of answers (N, classes, h, w): the best class, or the depth.

    A depth network answers 0 for the scale's near end, 1 for the far one; what is beyond is drawn
    in.
    """
    if classes.depth is None:
        return np.asarray(logits.argmax(1), np.uint8)
    return np.clip(np.rint(logits[:, 0] * FARTHEST), 0, FARTHEST).astype(np.uint8)


def agreeing(one: Mask, other: Mask, classes: ClassMap) -> float:
    """Return the percent of pixels on which two masks (H, W) say the same.

    Of a depth the next value is the same: where an answer lies between two, the last bit of a
    float decides.
    """
    if classes.depth is None:
        return float(100 * np.mean(one == other))
    return float(100 * np.mean(np.abs(one.astype(np.int16) - other) <= 1))
