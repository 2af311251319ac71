"""PASCAL VOC 2012, semantic segmentation: 20 things and the background.

    VOCdevkit/VOC2012/JPEGImages/2007_000033.jpg
    VOCdevkit/VOC2012/SegmentationClass/2007_000033.png       a palette: the index is the class
    VOCdevkit/VOC2012/ImageSets/Segmentation/{train,val,trainval}.txt

Classes, lists and the "void" border (index 255): section 2.3 of the development kit,
http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/index.html. Masks are read by their
published colours, or by their ids where somebody saved them as 8-bit grey.
"""

from __future__ import annotations

from pathlib import Path

from edge_seg.classes import IGNORE, ClassMap
from edge_seg.frames.datasets.dataset import Dataset, Samples
from edge_seg.frames.datasets.files import (
    bit_palette,
    dense,
    find_root,
    ids_of_colours,
    map_ids,
    read_list,
)
from edge_seg.frames.images import decode_image, decode_mask, read_bytes
from edge_seg.frames.items import Item, Size, clean, inside
from edge_seg.preprocess import Mask

LAYOUT = (
    "VOC 2012 is published as VOCdevkit/VOC2012 with JPEGImages/, SegmentationClass/ and "
    "ImageSets/Segmentation/val.txt"
)
NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
CLASSES = ClassMap(NAMES, tuple(bit_palette(len(NAMES))))
VOID = (224, 224, 192)
"""Index 255 of the palette: borders, and things too difficult to say."""
_COLOURS = {**{colour: id for id, colour in enumerate(CLASSES.palette)}, VOID: IGNORE}


def read(folder: Path, split: str) -> Samples:
    """Find the frames of a list in ``ImageSets/Segmentation``."""
    inner = ("", "VOC2012", "VOCdevkit/VOC2012")
    root = find_root(folder, inner, "ImageSets/Segmentation", LAYOUT)
    list_file = root / f"ImageSets/Segmentation/{split}.txt"
    names = [words[0] for words in read_list(list_file, LAYOUT)]
    items = [
        Item(
            clean(name),
            inside(root / "JPEGImages", f"{name}.jpg", list_file),
            inside(root / "SegmentationClass", f"{name}.png", list_file),
            read_mask=_mask,
        )
        for name in names
    ]
    return Samples(items, CLASSES)


def _mask(path: Path, size: Size) -> Mask:
    payload = read_bytes(path)
    # Byte 25 of a PNG is its colour type, 0 is grey. OpenCV turns a palette into its colours.
    if payload[:4] == b"\x89PNG" and payload[25:26] == b"\0":
        return map_ids(decode_mask(payload, path), dense(len(CLASSES)), path)
    return ids_of_colours(decode_image(payload, path), _COLOURS, path)


DATASET = Dataset(
    "PASCAL VOC 2012",
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    LAYOUT,
    "images from flickr, under flickr's terms of use "
    "(http://host.robots.ox.ac.uk/pascal/VOC/voc2012/)",
    ("val", "train", "trainval"),
    read,
)
