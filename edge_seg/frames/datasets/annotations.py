"""COCO's files of annotations: what is read of them, and that they are in order.

    loaded = load(Path("annotations/instances_val2017.json"), layout)
    loaded.by_image[139][0].segmentation

Format: https://cocodataset.org/#format-data. Sizes and ids in a file are claims: nothing is
allocated by them, and a size is compared with the image's before it is used.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from edge_seg.errors import EdgeSegError
from edge_seg.frames.datasets.files import decode_json, missing
from edge_seg.frames.images import read_bytes

Pixels = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
"""A number that no image goes beyond; JSON's may have thousands of digits."""


class Rle(msgspec.Struct, frozen=True):
    """A run-length code; ``size`` is (height, width)."""

    size: tuple[Pixels, Pixels]
    counts: str | list[Pixels]


class Image(msgspec.Struct, frozen=True):
    """A frame, as the file claims it."""

    id: int
    file_name: str
    height: Pixels
    width: Pixels


class Category(msgspec.Struct, frozen=True):
    """A class; ids have gaps."""

    id: int
    name: str


class Annotation(msgspec.Struct, frozen=True):
    """A region of an image: polygons [x, y, x, y, ...] that are one, or a run-length code."""

    id: int
    image_id: int
    category_id: int
    segmentation: list[list[float]] | Rle
    iscrowd: int = 0


class File(msgspec.Struct, frozen=True):
    """What is read of an annotation file."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


class Loaded(NamedTuple):
    """A file, and its annotations by image."""

    path: Path
    file: File
    by_image: dict[int, list[Annotation]]


def load(path: Path, layout: str) -> Loaded:
    """Read a file and check that its ids are unique, and that what they name is there."""
    if not path.is_file():
        raise missing(path, layout)
    file: File = decode_json(read_bytes(path), File, str(path))
    for what, ids in (
        ("image", Counter(image.id for image in file.images)),
        ("annotation", Counter(annotation.id for annotation in file.annotations)),
        ("category", Counter(category.id for category in file.categories)),
    ):
        id, times = next(iter(ids.most_common(1)), (0, 0))
        if times > 1:
            raise EdgeSegError(f"{path}: the {what} id {id} occurs {times} times")
    images, categories = {i.id for i in file.images}, {c.id for c in file.categories}
    by_image: dict[int, list[Annotation]] = defaultdict(list)
    for annotation in file.annotations:
        if annotation.image_id not in images or annotation.category_id not in categories:
            raise EdgeSegError(
                f"{path}: annotation {annotation.id} is of image {annotation.image_id} and "
                f"category {annotation.category_id}, and the file does not have both"
            )
        by_image[annotation.image_id].append(annotation)
    return Loaded(path, file, by_image)
