"""COCO: 80 things, or 80 things and 91 kinds of stuff, from the JSON files of annotations.

    annotations/instances_val2017.json      things: polygons, or run-length codes of crowds
    annotations/stuff_val2017.json          stuff, and "other" where things are
    val2017/000000000139.jpg                or images/val2017/

Format: https://cocodataset.org/#format-data; stuff: https://github.com/nightrome/cocostuff. Class
ids are dense, in the order of the categories' ids. ``coco`` has the background as class 0;
``coco-stuff`` has none, and what is neither thing nor stuff is 255. So are pixels that
annotations of two classes claim, as in torchvision's reference training, and crowds, whose
outlines are loose.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_seg.classes import IGNORE, ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.frames.datasets.annotations import Annotation, Image, Loaded, Rle, load
from edge_seg.frames.datasets.dataset import Dataset, Samples
from edge_seg.frames.datasets.shapes import Region, decode_rle, fill_polygon
from edge_seg.frames.items import Item, Size, clean, inside
from edge_seg.models.class_maps import generic_classes
from edge_seg.preprocess import Mask

LAYOUT = (
    "COCO is published as annotations/instances_val2017.json (and stuff_val2017.json) with the "
    "images in val2017/"
)
NOTHING = 254
"""What nobody has annotated, while a mask is painted; classes end with 253."""
OTHER = "other"
"""The stuff file's class for all things."""


class Layer(NamedTuple):
    """An image's annotations from one file, and the class of each category; None: dropped."""

    path: Path
    annotations: list[Annotation]
    ids: dict[int, int | None]


def read_things(folder: Path, split: str) -> Samples:
    """Find the frames of a split with their things; what is no thing is background."""
    things = load(folder / f"annotations/instances_{_year(split)}.json", LAYOUT)
    names = ["background", *_names(things)]
    return _samples(folder, split, [things], names, 0)


def read_stuff(folder: Path, split: str) -> Samples:
    """Find the frames of a split with their things, and stuff where there are none."""
    things = load(folder / f"annotations/instances_{_year(split)}.json", LAYOUT)
    stuff = load(folder / f"annotations/stuff_{_year(split)}.json", LAYOUT)
    names = [*_names(things), *(name for name in _names(stuff) if name != OTHER)]
    return _samples(folder, split, [things, stuff], names, IGNORE)


def _names(loaded: Loaded) -> list[str]:
    return [c.name for c in sorted(loaded.file.categories, key=lambda category: category.id)]


def _samples(folder: Path, split: str, files: list[Loaded], names: list[str], rest: int) -> Samples:
    if len(set(names)) < len(names) or len(names) >= NOTHING:
        raise EdgeSegError(
            f"{files[0].path}: {len(names)} classes, or two of one name: at most {NOTHING - 1} fit"
        )
    classes: ClassMap = generic_classes(len(names), tuple(names))
    place = {name: id for id, name in enumerate(names)}
    ids = [{c.id: place.get(c.name) for c in loaded.file.categories} for loaded in files]
    images = folder / _year(split)
    if not images.is_dir() and (folder / "images" / _year(split)).is_dir():
        images = folder / "images" / _year(split)
    items = []
    for image in files[0].file.images:
        layers = [
            Layer(loaded.path, loaded.by_image.get(image.id, []), known)
            for loaded, known in zip(files, ids, strict=True)
        ]
        path = inside(images, image.file_name, files[0].path)
        mask = partial(_mask, image, layers, rest)
        items.append(Item(clean(Path(image.file_name).stem), path, files[0].path, read_mask=mask))
    return Samples(items, classes)


def _mask(image: Image, layers: list[Layer], rest: int, path: Path, size: Size) -> Mask:
    if (image.height, image.width) != size:
        raise EdgeSegError(
            f"{path}: image {image.file_name} is {image.width}x{image.height} there, but the file "
            f"is {size[1]}x{size[0]}"
        )
    mask = np.full(size, NOTHING, np.uint8)
    for layer in layers:
        mask = np.where(mask == NOTHING, _paint(layer, size), mask)
    return np.where(mask == NOTHING, rest, mask).astype(np.uint8)


def _paint(layer: Layer, size: Size) -> Mask:
    """Return the mask of a layer: a class, 255 where two claim it or a crowd is, or `NOTHING`."""
    mask = np.full(size, NOTHING, np.uint8)
    crowd = np.zeros(size, bool)
    for annotation in layer.annotations:
        id = layer.ids[annotation.category_id]
        if id is None:
            continue
        region = _region(annotation, size, f"{layer.path}: annotation {annotation.id}")
        if annotation.iscrowd:
            crowd |= region
            continue
        claimed = region & (mask != NOTHING) & (mask != id)
        mask[region] = id
        mask[claimed] = IGNORE
    mask[crowd & (mask == NOTHING)] = IGNORE
    return mask


def _region(annotation: Annotation, size: Size, where: str) -> Region:
    shape = annotation.segmentation
    if isinstance(shape, Rle):
        if shape.size != size:
            raise EdgeSegError(
                f"{where} has a code of {shape.size[1]}x{shape.size[0]}, its image is "
                f"{size[1]}x{size[0]}"
            )
        return decode_rle(size, shape.counts, where)
    return _union((fill_polygon(polygon, size, where) for polygon in shape), size)


def _union(regions: Iterable[Region], size: Size) -> Region:
    union = np.zeros(size, bool)
    for region in regions:
        union |= region
    return union


def _year(split: str) -> str:
    return split if split[-1].isdigit() else f"{split}2017"


LICENCE = (
    "annotations CC BY 4.0 (COCO Consortium); images under flickr's terms of use "
    "(https://cocodataset.org/#termsofuse)"
)
SPLITS = ("val", "train", "val2014", "train2014")
DATASET = Dataset("COCO", "https://cocodataset.org/", LAYOUT, LICENCE, SPLITS, read_things)
STUFF = Dataset(
    "COCO-Stuff", "https://github.com/nightrome/cocostuff", LAYOUT, LICENCE, SPLITS[:2], read_stuff
)
