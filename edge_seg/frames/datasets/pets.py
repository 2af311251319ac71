"""Oxford-IIIT Pet: a cat or a dog, and what is behind it.

    images/Abyssinian_100.jpg
    annotations/trimaps/Abyssinian_100.png       1 pet, 2 background, 3 not classified (the border)
    annotations/{trainval,test}.txt              NAME CLASS SPECIES BREED

Layout and ids: annotations/README of https://www.robots.ox.ac.uk/~vgg/data/pets/. Some of the
.jpg files are PNG or GIF files; the GIFs become PNG.
"""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

from edge_seg.classes import IGNORE, ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.frames.datasets.dataset import Dataset, Samples
from edge_seg.frames.datasets.files import find_root, map_ids, read_list
from edge_seg.frames.images import MAX_PIXELS, quiet_opencv, read_bytes, read_mask
from edge_seg.frames.items import Item, Picture, Size, as_png, clean, inside, read_picture
from edge_seg.preprocess import Mask

LAYOUT = (
    "Oxford-IIIT Pet is published as images/*.jpg, annotations/trimaps/*.png and "
    "annotations/test.txt"
)
CLASSES = ClassMap(("background", "pet"), ((0, 0, 0), (128, 0, 0)))
TRIMAP = {1: 1, 2: 0, 3: IGNORE}


def read(folder: Path, split: str) -> Samples:
    """Find the frames of a list in ``annotations``; comments in it begin with #."""
    root = find_root(folder, ("", "oxford-iiit-pet"), "annotations", LAYOUT)
    list_file = root / f"annotations/{split}.txt"
    names = [words[0] for words in read_list(list_file, LAYOUT) if words[0][0] != "#"]
    items = [
        Item(
            clean(name),
            inside(root / "images", f"{name}.jpg", list_file),
            inside(root / "annotations/trimaps", f"{name}.png", list_file),
            _picture,
            _mask,
        )
        for name in names
    ]
    return Samples(items, CLASSES)


def _mask(path: Path, size: Size) -> Mask:
    return map_ids(read_mask(path), TRIMAP, path)


def _picture(path: Path) -> Picture:
    payload = read_bytes(path)
    if payload[:4] != b"GIF8":
        return read_picture(path)
    width, height = struct.unpack_from("<HH", payload.ljust(10, b"\0"), 6)  # GIF89a, section 18
    frame = None
    if width * height <= MAX_PIXELS:
        try:
            with quiet_opencv():
                frame = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            pass
    if frame is None:
        raise EdgeSegError(
            f"cannot decode {path}, a GIF file: save it as JPEG, or take its line out of the list"
        )
    return as_png(np.asarray(frame, np.uint8))


DATASET = Dataset(
    "Oxford-IIIT Pet",
    "https://www.robots.ox.ac.uk/~vgg/data/pets/",
    LAYOUT,
    "CC BY-SA 4.0 (https://www.robots.ox.ac.uk/~vgg/data/pets/)",
    ("test", "trainval"),
    read,
)
