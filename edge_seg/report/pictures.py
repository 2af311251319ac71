"""Frames and masks side by side, small enough to live inside the page.

strips = sample_strips(data.samples, data.classes)
strips[0].tiles[0].uri  # "data:image/jpeg;base64,..."
"""

from __future__ import annotations

import base64

import cv2
import msgspec
import numpy as np

from edge_seg.classes import ClassMap
from edge_seg.draw import overlay
from edge_seg.preprocess import Frame, resize_mask
from edge_seg.report.record import Sample

BUDGET = 900_000
"""Characters that all pictures together may take, so that a page stays under 1.5 MB."""
WIDTHS = (384, 320, 256, 192)
"""Widths in pixels to try, the largest first: a tile is about 210 wide on a desktop screen."""
DIFFERENCE_BGR = (110, 0, 255)
"""The strong colour of pixels on which the float and the int8 mask differ."""


class Tile(msgspec.Struct, frozen=True):
    """One picture: what it shows, the words for who cannot see it, and its data URI."""

    caption: str
    alt: str
    uri: str
    width: int
    height: int


class Strip(msgspec.Struct, frozen=True):
    """The pictures of one sample; ``differ`` is the percent of pixels not alike."""

    name: str
    differ: float
    tiles: list[Tile]


def sample_strips(samples: list[Sample], classes: ClassMap, budget: int = BUDGET) -> list[Strip]:
    """Return the strips at the largest width that fits ``budget`` characters.

    Where even the smallest is too large, only the first samples that fit are returned.
    """
    strips: list[Strip] = []
    for width in WIDTHS:
        strips = [_strip(sample, classes, width) for sample in samples]
        if sum(map(_weight, strips)) <= budget:
            return strips
    kept = []
    for strip in strips:
        budget -= _weight(strip)
        if budget < 0:
            break
        kept.append(strip)
    return kept


def difference(sample: Sample) -> tuple[Frame, float]:
    """Return the grey frame with differing pixels in `DIFFERENCE_BGR`, and their percent."""
    height, width = sample.frame.shape[:2]
    float_mask = resize_mask(sample.float_mask, height, width)
    differs = float_mask != resize_mask(sample.int8_mask, height, width)
    grey = cv2.cvtColor(sample.frame, cv2.COLOR_BGR2GRAY)
    picture = cv2.cvtColor(cv2.convertScaleAbs(grey, alpha=0.6), cv2.COLOR_GRAY2BGR)
    # One pixel wider all round: a thin line would vanish when the picture is made smaller.
    drawn = cv2.dilate(differs.astype(np.uint8), np.ones((3, 3), np.uint8))
    picture[drawn > 0] = DIFFERENCE_BGR
    return picture, 100.0 * float(differs.mean())  # type: ignore[return-value]


def _strip(sample: Sample, classes: ClassMap, width: int) -> Strip:
    height = sample.frame.shape[0], sample.frame.shape[1]
    pictures = {"frame": sample.frame}
    masks = {"truth": sample.truth, "float": sample.float_mask, "int8": sample.int8_mask}
    for caption, mask in masks.items():
        if mask is not None:
            pictures[caption] = overlay(sample.frame, resize_mask(mask, *height), classes, 0.65)
    pictures["difference"], differ = difference(sample)
    words = {
        "frame": f"The frame {sample.name}",
        "truth": f"The labels of {sample.name} over the frame",
        "float": f"The float model's mask of {sample.name} over the frame",
        "int8": f"The int8 mask of {sample.name} over the frame",
        "difference": f"Where float and int8 differ on {sample.name}: {differ:.2f} % of pixels",
    }
    tiles = [tile(name, words[name], image, width) for name, image in pictures.items()]
    return Strip(sample.name, differ, tiles)


def tile(caption: str, alt: str, picture: Frame, width: int) -> Tile:
    """Return a picture (h, w, 3) uint8 BGR as a JPEG, no wider than ``width`` pixels."""
    height, full = picture.shape[:2]
    width = min(width, full)
    height = max(1, round(height * width / full))
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    _, payload = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 82])
    text = base64.b64encode(payload.tobytes()).decode("ascii")
    return Tile(caption, alt, f"data:image/jpeg;base64,{text}", width, height)


def _weight(strip: Strip) -> int:
    return sum(len(tile.uri) for tile in strip.tiles)
