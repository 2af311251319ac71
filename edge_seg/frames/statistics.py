"""Numbers that tell a road picture from noise, from darkness and from another picture.

image_statistics(frame).verdict        # "fine", "noise", "dark", "bright" or "low-contrast"
hamming(difference_hash(a), difference_hash(b)) <= NEAR_DUPLICATE_BITS
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge_seg.preprocess import Frame

NOISE_CORRELATION = 0.5
"""Neighbouring pixels of pictures correlate at 0.9 and more (Kretzmer, "Statistics of television
signals", Bell System Technical Journal 1952; Field, "Relations between the statistics of natural
images and the response properties of cortical cells", JOSA A 1987), those of noise at 0. The
statistics of pictures are the same at every scale (Field), so a quarter of the size is looked at:
there noise that was enlarged or smoothed by JPEG is noise still."""

DARK_LEVEL = 12.0
BRIGHT_LEVEL = 243.0
"""A frame whose 99th percentile is under, or whose 1st is over, has nothing but sensor floor or
saturation: within 5 % of the ends of 0..255."""

LOW_CONTRAST_LEVELS = 16.0
"""Grey levels between the 1st and the 99th percentile below which a frame is one colour: fewer
than a sixteenth of the range, under 4 of 8 bits."""

NEAR_DUPLICATE_BITS = 2
"""Difference hashes this close show the same picture.

Measured: forty frames of a street under sensor noise of 5 grey levels, or as JPEG of quality 20
to 98, make one or two pictures. The nearest two roads of lane-mini differ in 13 bits; in CamVid,
one frame a second, half of the frames differ from their nearest by 13 or more. The limit are
scenes without texture, fog and plain skies: where a row of cells is of one grey, noise decides.
"""

_LONGEST_SIDE = 640
_COARSE = 4

Verdict = Literal["fine", "noise", "dark", "bright", "low-contrast"]


class ImageStatistics(NamedTuple):
    """1st and 99th percentile of grey, 0..255, and the correlation of neighbouring pixels."""

    low: float
    high: float
    correlation: float

    @property
    def verdict(self) -> Verdict:
        """What the picture is, first match of: dark, bright, low-contrast, noise, fine."""
        if self.high < DARK_LEVEL:
            return "dark"
        if self.low > BRIGHT_LEVEL:
            return "bright"
        if self.high - self.low < LOW_CONTRAST_LEVELS:
            return "low-contrast"
        return "noise" if self.correlation < NOISE_CORRELATION else "fine"


def image_statistics(frame: Frame) -> ImageStatistics:
    """Measure a frame (H, W, 3) uint8 BGR; of a large one, its middle 640x640 pixels."""
    top, left = (max(0, (side - _LONGEST_SIDE) // 2) for side in frame.shape[:2])
    middle = frame[top : top + _LONGEST_SIDE, left : left + _LONGEST_SIDE]
    grey = np.asarray(cv2.cvtColor(middle, cv2.COLOR_BGR2GRAY), np.uint8)
    cumulative = np.cumsum(np.bincount(grey.ravel(), minlength=256)) / grey.size
    low, high = np.searchsorted(cumulative, (0.01, 0.99))
    coarse = _shrink(grey)
    across = _correlation(coarse[:, :-1], coarse[:, 1:])
    down = _correlation(coarse[:-1], coarse[1:])
    return ImageStatistics(float(low), float(high), max(across, down))


def difference_hash(frame: Frame) -> int:
    """Return the 64-bit difference hash of a frame: is each of 8x8 cells brighter than its left?

    Krawetz, "Kind of Like That" (2013): grey, shrunk to 9x8, neighbours in a row compared.
    """
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    small = np.asarray(cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA))
    bits = np.packbits(small[:, 1:] > small[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")


def hamming(a: int, b: int) -> int:
    """Return in how many bits two hashes differ."""
    return (a ^ b).bit_count()


def _shrink(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = grey.shape
    if min(height, width) < 8 * _COARSE:
        return grey
    size = (width // _COARSE, height // _COARSE)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _correlation(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Pearson's correlation; 1 where either side is constant, which noise never is."""
    x = a.astype(np.float32).ravel()
    y = b.astype(np.float32).ravel()
    x -= x.mean() if x.size else 0
    y -= y.mean() if y.size else 0
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale else 1.0
