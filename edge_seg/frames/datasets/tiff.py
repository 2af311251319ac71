"""Stacks: the pages of a TIFF file, their sizes looked at before anything is decoded.

    sizes = page_sizes(Path("train-volume.tif"))      # [(512, 512), (512, 512), ...]
    page = read_page(Path("train-volume.tif"), 3, cv2.IMREAD_COLOR)

Source: TIFF 6.0, section 2: a file header, and a chain of directories ("IFD"), one a page.
"""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_seg.errors import EdgeSegError
from edge_seg.frames.images import MAX_PIXELS, quiet_opencv, read_bytes
from edge_seg.frames.items import Size

MAX_PAGES = 10_000
"""More are no stack of sections but a file that is made to take long. The project's choice."""
MAX_TAGS = 1000
"""TIFF 6.0 has 74 tags: a page with so many is damaged."""


def page_sizes(path: Path) -> list[Size]:
    """Return (height, width) of every page.

    Raises `EdgeSegError` where the file is no TIFF, is truncated, or its pages are too many or
    too large.
    """
    payload = read_bytes(path)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(payload[:4])
    if order is None:
        raise EdgeSegError(f"{path} is no TIFF stack: copy it again")
    sizes: list[Size] = []
    seen: set[int] = set()
    try:
        (directory,) = struct.unpack_from(order + "I", payload, 4)
        while directory and directory not in seen:
            seen.add(directory)
            size, directory = _directory(payload, order, directory)
            sizes.append(size)
            if len(sizes) > MAX_PAGES or size[0] * size[1] > MAX_PIXELS:
                raise EdgeSegError(
                    f"{path}: page {len(sizes)} is {size[1]}x{size[0]}: refused above "
                    f"{MAX_PAGES} pages or {MAX_PIXELS // 1_000_000} megapixels"
                )
    except (struct.error, KeyError):
        raise EdgeSegError(f"cannot decode {path}: it is truncated; copy it again") from None
    if directory:
        raise EdgeSegError(f"cannot decode {path}: its pages go round in a circle; copy it again")
    return sizes


def read_page(path: Path, index: int, flags: int) -> npt.NDArray[np.uint8]:
    """Decode one page as OpenCV does with ``flags``, or raise `EdgeSegError`."""
    try:
        with quiet_opencv():
            _, pages = cv2.imreadmulti(str(path), index, 1, flags=flags)
    except cv2.error:
        pages = ()
    if len(pages) != 1 or pages[0].dtype != np.uint8:
        raise EdgeSegError(f"cannot decode page {index + 1} of {path}: it is damaged, or not 8-bit")
    return np.asarray(pages[0], np.uint8)


def _directory(payload: bytes, order: str, start: int) -> tuple[Size, int]:
    """Return a page's size, and where the next directory is; 0 ends the chain."""
    (count,) = struct.unpack_from(order + "H", payload, start)
    if count > MAX_TAGS:
        raise struct.error
    values = {}
    for index in range(count):
        entry = start + 2 + 12 * index
        tag, kind = struct.unpack_from(order + "HH", payload, entry)
        if tag in (256, 257):  # ImageWidth, ImageLength: SHORT or LONG
            (values[tag],) = struct.unpack_from(order + "HI"[kind != 3], payload, entry + 8)
    (after,) = struct.unpack_from(order + "I", payload, start + 2 + 12 * count)
    return (values[257], values[256]), after
