"""ISBI 2012, membranes in electron micrographs of a fly's nerve cord: two stacks of 30 sections.

    train-volume.tif, train-labels.tif     30 pages of 512x512, 8-bit grey; labels 0 and 255
    test-volume.tif                        no labels are public

Labels are white inside cells and black for the rest, "mostly membranes":
http://brainiac2.mit.edu/isbi_challenge/.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2

from edge_seg.classes import ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.frames.datasets.dataset import Dataset, Samples
from edge_seg.frames.datasets.files import map_ids, missing
from edge_seg.frames.datasets.tiff import page_sizes, read_page
from edge_seg.frames.items import Item, Picture, Size, as_png
from edge_seg.preprocess import Mask

LAYOUT = (
    "ISBI 2012 is published as train-volume.tif, train-labels.tif and test-volume.tif, stacks of "
    "30 pages"
)
CLASSES = ClassMap(("membrane", "cell"), ((0, 0, 0), (255, 255, 255)))


def read(folder: Path, split: str) -> Samples:
    """Find the pages of a stack; they are called train-00, train-01, ..."""
    volume, labels = folder / f"{split}-volume.tif", folder / f"{split}-labels.tif"
    if not volume.is_file():
        raise missing(volume, LAYOUT)
    pages = page_sizes(volume)
    if split == "test":
        return Samples([_item(volume, None, split, index) for index in range(len(pages))], CLASSES)
    if not labels.is_file():
        raise missing(labels, LAYOUT)
    label_pages = page_sizes(labels)
    if label_pages != pages:
        raise EdgeSegError(
            f"{labels} has {len(label_pages)} pages, {volume.name} {len(pages)}, or their sizes "
            "differ: they must be of the same sections"
        )
    return Samples([_item(volume, labels, split, index) for index in range(len(pages))], CLASSES)


def _item(volume: Path, labels: Path | None, split: str, index: int) -> Item:
    return Item(
        f"{split}-{index:02d}", volume, labels, partial(_picture, index), partial(_mask, index)
    )


def _picture(index: int, path: Path) -> Picture:
    return as_png(read_page(path, index, cv2.IMREAD_COLOR))


def _mask(index: int, path: Path, size: Size) -> Mask:
    return map_ids(read_page(path, index, cv2.IMREAD_GRAYSCALE), {0: 0, 255: 1}, path)


DATASET = Dataset(
    "ISBI 2012 EM segmentation",
    "http://brainiac2.mit.edu/isbi_challenge/",
    LAYOUT,
    "for generating or testing non-commercial image segmentation software; cite TrakEM2 and "
    "Cardona et al. 2010, doi:10.1371/journal.pbio.1000502 "
    "(http://brainiac2.mit.edu/isbi_challenge/)",
    ("train", "test"),
    read,
)
