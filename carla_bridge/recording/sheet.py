"""A contact sheet: frames of a set side by side, half of each with its mask over it.

sheet = contact_sheet(frames, labels)        # one (H, W, 3) uint8 BGR picture
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge_seg.draw import overlay
from edge_seg.frames import FrameSet
from edge_seg.preprocess import Frame

TILE_WIDTH = 240
COLUMNS, MOST_ROWS = 6, 8
GAP = 4
LABEL_HEIGHT = 16
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.35
PAPER, INK = 245, (40, 40, 40)


def contact_sheet(frames: FrameSet, labels: Sequence[str]) -> Frame:
    """Return frames spread evenly over the set, 48 at most, with a label under each."""
    count = min(len(frames), COLUMNS * MOST_ROWS)
    chosen = [round(k * (len(frames) - 1) / max(1, count - 1)) for k in range(count)]
    tiles = [_tile(frames, index, labels[index]) for index in chosen]
    height, width = tiles[0].shape[:2]
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    sheet = np.full(
        (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), PAPER, np.uint8
    )
    for k, tile in enumerate(tiles):
        top = GAP + k // columns * (height + GAP)
        left = GAP + k % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def _tile(frames: FrameSet, index: int, label: str) -> Frame:
    """Return one frame, its right half with the mask's colours, over its label."""
    image, mask = frames.image(index), frames.mask(index)
    if mask is not None:
        half = image.shape[1] // 2
        image = np.hstack((image[:, :half], overlay(image, mask, frames.classes)[:, half:]))
    height = max(1, round(image.shape[0] * TILE_WIDTH / image.shape[1]))
    small = cv2.resize(image, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA)
    strip = np.full((LABEL_HEIGHT, TILE_WIDTH, 3), PAPER, np.uint8)
    cv2.putText(strip, label, (2, LABEL_HEIGHT - 5), FONT, FONT_SCALE, INK, 1, cv2.LINE_AA)
    return np.vstack((np.asarray(small, np.uint8), strip))
