"""COCO's two forms of a region: run-length codes and polygons.

    decode_rle((2, 3), [1, 2, 2, 1], where)          # [[0, 1, 0], [1, 0, 1]]
    decode_rle((2, 3), "122O", where)                # the same, compressed
    fill_polygon([1, 1, 4, 1, 4, 3, 1, 3], (6, 6), where)    # 3 x 2 pixels

Format: https://cocodataset.org/#format-data, and the words on LEB128 in MaskApi.m of
https://github.com/cocodataset/cocoapi.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_seg.errors import EdgeSegError
from edge_seg.frames.items import Size

Region = npt.NDArray[np.bool_]

EDGE = 1.0
"""Pixels that a polygon may lie out of the frame: rounding, on either side of it."""


def decode_rle(size: Size, counts: str | Sequence[int], where: str) -> Region:
    """Return the region (H, W) bool of runs that alternate, zeros first, down the columns.

    Raises `EdgeSegError` where the runs do not add up to height x width; ``where`` is what an
    error calls the code. Nothing is allocated before that is known.
    """
    runs = _decompress(counts, where) if isinstance(counts, str) else counts
    height, width = size
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise EdgeSegError(
            f"{where}: its runs add up to {sum(runs)} pixels, not to {height * width} "
            f"({width}x{height})"
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _decompress(text: str, where: str) -> list[int]:
    """Decode COCO's LEB128: six bits a character from "0" on, the lowest group first.

    Bit 5 of a group says that more follow, bit 4 of the last is the sign. From the fourth run on,
    the number is the difference to the run two before.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 60:
            raise EdgeSegError(f"{where}: {character!r} is no part of a run-length code")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise EdgeSegError(f"{where}: its run-length code is truncated")
    return runs


def fill_polygon(numbers: Sequence[float], size: Size, where: str) -> Region:
    """Return the region (H, W) bool of the pixels whose centres are inside x, y, x, y, ...

    By the even-odd rule, as COCO's own code counts. `cv2.fillPoly` would add the outline: a
    polygon of 40 pixels across becomes a fifth larger. Raises `EdgeSegError` for an odd count and
    for points more than `EDGE` out of the frame.
    """
    height, width = size
    if len(numbers) % 2:
        raise EdgeSegError(f"{where}: a polygon of {len(numbers)} numbers, which are no x, y pairs")
    xy = np.array(numbers, np.float64).reshape(-1, 2)
    if not ((xy >= -EDGE) & (xy <= (width + EDGE, height + EDGE))).all():
        raise EdgeSegError(f"{where}: a polygon leads out of the frame of {width}x{height}")
    ends = np.roll(xy, -1, axis=0)
    # An edge cuts the rows whose centres, at y + 0.5, are between its ends: there the region flips.
    ys = np.sort(np.stack([xy[:, 1], ends[:, 1]]), axis=0)
    first, last = np.clip(np.ceil(ys - 0.5), 0, height).astype(int)
    counts = last - first
    edge = np.repeat(np.arange(len(xy)), counts)
    rows = first[edge] + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    (x0, y0), (x1, y1) = xy[edge].T, ends[edge].T
    cuts = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    columns = np.clip(np.ceil(cuts - 0.5), 0, width).astype(int)
    flips = np.zeros((height, width + 1), np.bool_)
    np.logical_xor.at(flips, (rows, columns), True)
    if len(rows):
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        flips[box] = np.logical_xor.accumulate(flips[box], axis=1)
    return flips[:, :width]
