"""Lanes that come as points: painted as lines into a mask.

    mask = paint([[(632, 240), (625, 250)]], (720, 1280), Path("label_data_0313.json"))

Lines go through the gaps of dashes and behind cars, as the data sets' points do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_seg.classes import ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.frames.datasets.dataset import Lane
from edge_seg.frames.items import Size
from edge_seg.preprocess import Mask

WIDTH = 16 / 1640
"""A line's width over the frame's: CULane's ``laneseg_label_w16`` has 16 pixels in 1640."""

CLASSES = ClassMap(("background", "lane"), ((0, 0, 0), (255, 210, 0)))
LANE = Lane("lane_only", {"lane": "lane_marking"})

Point = tuple[float, float]


def paint(lanes: Iterable[Sequence[Point]], size: Size, path: Path) -> Mask:
    """Return a mask (H, W) uint8: 1 on the lanes, which are points (x, y) in pixels, else 0.

    Lanes leave the frame at its edges; a point more than a frame away is refused.
    """
    height, width = size
    mask = np.zeros(size, np.uint8)
    for lane in lanes:
        for x, y in lane:
            if not (-width <= x <= 2 * width and -height <= y <= 2 * height):  # NaN, too
                raise EdgeSegError(
                    f"{path}: the point ({x:g}, {y:g}) is far out of a frame of {width}x{height}"
                )
        points = np.round(np.array(lane, np.float64).reshape(-1, 1, 2)).astype(np.int32)
        if len(points) > 1:
            cv2.polylines(mask, [points], False, 1, max(1, round(WIDTH * width)))
    return mask
