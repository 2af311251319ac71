"""Masks as pictures: class ids, or depths, in colours, alone or over the frame.

    picture = overlay(frame, segmenter(frame), LANE)
    cv2.imwrite("overlay.jpg", picture)

Light enough for every frame of a video: one table look-up and one blend, both in OpenCV.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_seg.classes import IGNORE, ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame, Mask

NO_CLASS = (128, 128, 128)
"""Colour of ids that the class map does not name, unlabelled pixels among them."""
LEGEND_DEPTHS = 5
"""Distances that a legend names, the nearest and the farthest among them."""


def colour_mask(mask: Mask, classes: ClassMap) -> Frame:
    """Return the (H, W, 3) uint8 BGR picture of an (H, W) mask of class ids.

    Ids that ``classes`` does not name are grey.
    """
    return cv2.applyColorMap(mask, _table(classes))  # type: ignore[return-value]


def overlay(frame: Frame, mask: Mask, classes: ClassMap, alpha: float = 0.5) -> Frame:
    """Return ``frame`` with the mask's colours blended over it; the frame is left as it was.

    A pixel becomes ``(1 - alpha) * frame + alpha * colour``. Classes whose colour is black
    (the background, by custom) and unlabelled pixels show the frame itself.
    Raises `EdgeSegError` when the mask is not of the frame's size.
    """
    if mask.shape != frame.shape[:2]:
        raise EdgeSegError(
            f"a mask of {mask.shape[1]}x{mask.shape[0]} pixels does not fit a frame of "
            f"{frame.shape[1]}x{frame.shape[0]}: resize the mask first (edge_seg.preprocess)"
        )
    blended = cv2.addWeighted(frame, 1.0 - alpha, colour_mask(mask, classes), alpha, 0.0)
    drawn = np.any(_table(classes), axis=2).astype(np.uint8)
    drawn[IGNORE] = 0
    where = np.asarray(cv2.LUT(mask, drawn))
    return cv2.copyTo(blended, where, frame.copy())  # type: ignore[return-value]


def legend(classes: ClassMap) -> list[tuple[str, tuple[int, int, int]]]:
    """Return (name, RGB) of what overlays draw: black is left out, it shows the frame itself."""
    if classes.depth is None:
        return [(n, c) for n, c in zip(classes.names, classes.palette, strict=True) if any(c)]
    values = np.linspace(0, IGNORE - 1, LEGEND_DEPTHS).astype(np.uint8)
    metres, colours = classes.depth.metres(values), _table(classes)[values, 0, ::-1]
    return [
        (f"{distance:.3g} m", (int(red), int(green), int(blue)))
        for distance, (red, green, blue) in zip(metres, colours, strict=True)
    ]


def _table(classes: ClassMap) -> npt.NDArray[np.uint8]:
    """Return the (256, 1, 3) BGR colour of every possible value: near is red, far is violet."""
    table = np.full((256, 1, 3), NO_CLASS, np.uint8)
    if classes.depth is not None:
        shades = np.linspace(255, 0, IGNORE).round().astype(np.uint8)
        table[:IGNORE] = cv2.applyColorMap(shades, cv2.COLORMAP_TURBO).reshape(-1, 1, 3)
        return table
    table[: len(classes), 0] = np.array(classes.palette, np.uint8)[:, ::-1]
    return table
