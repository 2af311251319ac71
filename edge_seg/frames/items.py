"""`Item`: one frame that is to be imported, and `write_items`, the one way into a frame set.

    items = [Item("0001", Path("a.jpg"), Path("a.png"))]
    with FrameSetWriter("street", name="street") as writer:
        write_items(writer, items)

An item names its files and how they are read; nothing is read before it is written. What finds
items is `edge_seg.frames.importers` (folders) and `edge_seg.frames.datasets` (published sets).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from edge_seg.errors import EdgeSegError
from edge_seg.frames import images
from edge_seg.frames.headers import read_header
from edge_seg.frames.images import decode_image, encode_image, read_bytes
from edge_seg.frames.writer import FrameSetWriter
from edge_seg.preprocess import Frame, Mask

Progress = Callable[[int, int | None], None]
"""Called with (frames done, frames in all, or None where nobody knows)."""

Size = tuple[int, int]
"""(height, width) in pixels."""


class Picture(NamedTuple):
    """The bytes of a file to store, their ending without a dot, and the frame in them."""

    payload: bytes
    suffix: str
    frame: Frame


def read_picture(path: Path) -> Picture:
    """Read an image file: JPEG and PNG byte for byte, what is neither as PNG."""
    payload = read_bytes(path)
    frame = decode_image(payload, path)
    header = read_header(payload)
    suffix = {"jpeg": "jpg", "png": "png"}.get(header.format if header else "")
    return Picture(payload, suffix, frame) if suffix else as_png(frame)


def as_png(frame: Frame) -> Picture:
    """Return a frame (H, W, 3) uint8 BGR as a picture, bit-exact."""
    return Picture(encode_image(frame, "png"), "png", frame)


def read_mask(path: Path, size: Size) -> Mask:
    """Read a mask file as it is; its size is compared later."""
    return images.read_mask(path)


class Item(NamedTuple):
    """A frame to import: its id, its files, and how they are read.

    ``read_mask`` is called with the mask's file and the frame's size. Several items may share a
    file: the pages of a stack, the annotations of a whole set.
    """

    id: str
    image: Path
    mask: Path | None
    read_image: Callable[[Path], Picture] = read_picture
    read_mask: Callable[[Path, Size], Mask] = read_mask


def write_items(
    writer: FrameSetWriter, items: Sequence[Item], progress: Progress | None = None
) -> None:
    """Read every item and add it. Raises `EdgeSegError` for what is broken, with its file."""
    for index, item in enumerate(items):
        picture = item.read_image(item.image)
        mask = _mask(item, picture.frame)
        try:
            writer.add_encoded(picture.payload, picture.suffix, picture.frame, mask, item.id)
        except EdgeSegError as error:
            raise EdgeSegError(f"{item.mask or item.image}: {error}") from None
        if progress is not None:
            progress(index + 1, len(items))


def clean(text: str) -> str:
    """Return what a frame may be called for a text: letters, digits and ``. _ + -``.

    >>> clean("f 1 (copy)")
    'f_1__copy_'
    """
    return re.sub(r"[^A-Za-z0-9_]", "_", text[:1]) + re.sub(r"[^A-Za-z0-9_.+-]", "_", text[1:120])


def inside(folder: Path, name: str, where: Path) -> Path:
    """Return a path that the file ``where`` names; refuse one that leads out of the folder."""
    pure = PurePosixPath(name)
    if not pure.name:
        raise EdgeSegError(f"{where}: {name[:80]!r} names no file: refused")
    if pure.is_absolute() or ".." in pure.parts or "\0" in name:
        raise EdgeSegError(f"{where}: {name[:80]!r} leads out of the folder: refused")
    return folder / pure


def _mask(item: Item, frame: Frame) -> Mask | None:
    if item.mask is None:
        return None
    height, width = frame.shape[:2]
    mask = item.read_mask(item.mask, (height, width))
    if mask.shape != (height, width):
        raise EdgeSegError(
            f"{item.mask} is {mask.shape[1]}x{mask.shape[0]}, but its image {item.image.name} is "
            f"{width}x{height}: masks must have the image's size"
        )
    return mask
