"""What happens to a frame before the network: declared once, run in one place.

A frame is a uint8 BGR image of any size (OpenCV's order). The network wants it at
``(height, width)``, normalised as ``(rgb / 255 - mean) / std``. The lowering folds the
channel order and the normalisation into the graph; what is left to the host, where the
engine does not do it faster itself, is `resize`.
"""

from __future__ import annotations

import functools

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
"""(H, W, 3) uint8, BGR."""
Mask = npt.NDArray[np.uint8]
"""(H, W) uint8 class ids."""


class InputSpec(msgspec.Struct, frozen=True):
    """What the network expects of a frame.

    ``mean`` and ``std`` are per RGB channel, in units of a frame scaled to 0..1.
    """

    height: int
    width: int
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


def resize(frame: Frame, spec: InputSpec, out: Frame | None = None) -> Frame:
    """Resize a frame bilinearly to the network's size, into ``out`` where given.

    Pixel centres are aligned at half a pixel (OpenCV's INTER_LINEAR), no antialiasing:
    the engines' in-graph resize does the same.
    """
    if frame.shape[:2] == (spec.height, spec.width):
        if out is None:
            return frame
        np.copyto(out, frame)
        return out
    size = (spec.width, spec.height)
    return np.asarray(cv2.resize(frame, size, dst=out, interpolation=cv2.INTER_LINEAR), np.uint8)


def resize_mask(mask: Mask, height: int, width: int) -> Mask:
    """Return a new mask of ``(height, width)``: for each pixel the id nearest to its centre.

    INTER_NEAREST_EXACT and not INTER_NEAREST, which takes ``floor(i * scale)`` and so shifts a
    mask by up to half a network pixel against `resize`: a point of IoU on thin markings. Columns
    first, then whole rows are copied: the same mask in two thirds of the time.
    """
    if mask.shape == (height, width):
        return mask.copy()
    wide = cv2.resize(mask, (width, mask.shape[0]), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(wide[_nearest_rows(mask.shape[0], height)], np.uint8)


@functools.lru_cache(maxsize=16)
def _nearest_rows(rows: int, height: int) -> npt.NDArray[np.intp]:
    """Return for each of ``height`` rows the nearest of ``rows``, as OpenCV picks it."""
    numbers = np.arange(rows, dtype=np.float32)[:, None]
    nearest = cv2.resize(numbers, (1, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return nearest.ravel().astype(np.intp)


def normalise(frame: Frame, spec: InputSpec) -> npt.NDArray[np.float32]:
    """Return the network's float input (1, 3, h, w) RGB for a uint8 BGR frame.

    The reference that the folded graphs are tested against; training uses it too.
    """
    rgb = resize(frame, spec)[:, :, ::-1].astype(np.float32) / 255.0
    scaled = (rgb - np.asarray(spec.mean, np.float32)) / np.asarray(spec.std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], dtype=np.float32)
