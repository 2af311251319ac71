"""What readers share: folders that must be there, lists, JSON, ids and colours of masks.

root = find_root(folder, ("", "VOC2012"), "ImageSets", LAYOUT)
names = read_list(root / "ImageSets/Segmentation/val.txt", LAYOUT)
mask = map_ids(read_mask(path), {0: 255, 7: 0}, path)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_seg.classes import IGNORE
from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.frames.images import read_bytes
from edge_seg.frames.sources import list_images
from edge_seg.preprocess import Frame, Mask

Colour = tuple[int, int, int]
"""Red, green, blue: 0..255."""

ODD_COLOURS = 0.01
"""Share of a mask's pixels that may have a colour of no class, and become 255: edges that an
editor blurred. With more, it is not this data set's mask. The project's choice."""


def missing(path: Path, layout: str) -> EdgeSegError:
    """Return the error for a path that is not there: what was looked for, and what is published."""
    return EdgeSegError(f"there is no {path}: {layout}")


def find_root(folder: Path, inner: Iterable[str], marker: str, layout: str) -> Path:
    """Return the first of ``folder / inner`` that holds ``marker``."""
    for name in inner:
        if (folder / name / marker).exists():
            return folder / name
    raise missing(folder / marker, layout)


def read_text(path: Path, layout: str) -> str:
    """Read a text file that the layout has."""
    if not path.is_file():
        raise missing(path, layout)
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise EdgeSegError(f"{path} is no text: copy it again") from None


def read_list(path: Path, layout: str) -> list[list[str]]:
    """Return the words of every line that has any."""
    return [words for line in read_text(path, layout).splitlines() if (words := line.split())]


def decode_json(payload: bytes, kind: Any, where: str) -> Any:
    """Decode JSON as ``kind``, a msgspec type; ``where`` is what an error calls it."""
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EdgeSegError(f"{where} is broken: {in_one_line(error)}; copy it again") from None


def pair(
    images: Path, labels: Path, key: Callable[[str], str], layout: str
) -> list[tuple[Path, Path]]:
    """Return the images of a folder, each with the label of the same key in the other.

    ``key`` takes a file's name without its ending. Raises `EdgeSegError` for a missing folder, a
    file without its partner, and two of one key.
    """
    for folder in (images, labels):
        if not folder.is_dir():
            raise missing(folder, layout)
    pictures, masks = (_by_key(folder, key) for folder in (images, labels))
    for alone, other in ((pictures, masks), (masks, pictures)):
        lonely = sorted(alone.keys() - other.keys())
        if lonely:
            folder = labels if alone is pictures else images
            raise EdgeSegError(f"{alone[lonely[0]]} has no partner in {folder}: {layout}")
    return [(picture, masks[name]) for name, picture in pictures.items()]


def _by_key(folder: Path, key: Callable[[str], str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in list_images(folder)[0]:
        name = key(path.stem)
        if name in found:
            raise EdgeSegError(f"{path} and {found[name].name} are one frame: leave one of them")
        found[name] = path
    return found


def map_ids(mask: Mask, ids: Mapping[int, int], path: Path) -> Mask:
    """Replace the ids in a mask (H, W) uint8 by others; refuse one that ``ids`` lacks."""
    table = np.full(IGNORE + 1, -1, np.int16)
    for old, new in ids.items():
        table[old] = new
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=IGNORE + 1))
    foreign = [int(id) for id in present if table[id] < 0]
    if foreign:
        raise EdgeSegError(f"{path} holds the ids {foreign[:5]}, which the data set does not have")
    return table[mask].astype(np.uint8)


def ids_of_colours(picture: Frame, colours: Mapping[Colour, int], path: Path) -> Mask:
    """Return the ids (H, W) uint8 of a coloured mask (H, W, 3) uint8 BGR."""
    pairs = sorted((r << 16 | g << 8 | b, id) for (r, g, b), id in colours.items())
    known, ids = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
    blue, green, red = (picture[:, :, channel].astype(np.int32) for channel in range(3))
    codes = red << 16 | green << 8 | blue
    found = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    odd = known[found] != codes
    if odd.mean() > ODD_COLOURS:
        code = int(codes[odd][0])
        raise EdgeSegError(
            f"{path}: {odd.mean():.0%} of its pixels have colours of no class, such as "
            f"{(code >> 16, code >> 8 & 255, code & 255)}: is it a mask of this data set?"
        )
    return np.where(odd, IGNORE, ids[found]).astype(np.uint8)


def dense(count: int, first: int = 0) -> dict[int, int]:
    """Return {first: 0, first + 1: 1, ...}, and 255 for 255.

    >>> dense(2, first=1)
    {255: 255, 1: 0, 2: 1}
    """
    return {IGNORE: IGNORE, **{first + index: index for index in range(count)}}


def bit_palette(count: int) -> Sequence[Colour]:
    """Return PASCAL VOC's colours of the ids 0..count-1: the id's bits, dealt to r, g and b.

    Source: VOClabelcolormap.m of the VOC2012 development kit,
    http://host.robots.ox.ac.uk/pascal/VOC/voc2012/. Bit 3k + c of the id is bit 7 - k of channel c.

    >>> bit_palette(3)
    [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    """

    def channel(id: int, first: int) -> int:
        return sum((id >> 3 * k + first & 1) << 7 - k for k in range(3))

    return [(channel(id, 0), channel(id, 1), channel(id, 2)) for id in range(count)]
