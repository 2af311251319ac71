"""NYU Depth V2, rooms: 40 classes (Gupta et al. 2013), 13 (Couprie et al. 2013), or depths.

The published ``nyu_depth_v2_labeled.mat`` is HDF5 and is not read here; people export it in one
of three layouts, and the first that fits is taken (N is 40 or 13):

- ``test/rgb/0001.png``, ``test/labels_N/0001.png`` (https://github.com/TUI-NICR/ESANet);
- ``image/test/00001.png``, ``segN/test/00001.png``
  (https://github.com/VainF/nyuv2-python-toolkit);
- ``nyu_test_rgb/nyu_rgb_0001.png``, ``test_labels_N/new_nyu_classN_0001.png``
  (https://github.com/ankurhanda/nyuv2-meta-data, 13 classes).

In all of them 0 is unlabelled (255 here) and classes begin with 1. Frames and labels go together
by the number that ends their names. Depths are beside the labels of the first two layouts, in
``test/depth/`` and ``depth/test/``: 16-bit PNG in millimetres, 0 where the sensor saw nothing.
Data set: https://cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edge_seg.classes import IGNORE, ClassMap, DepthScale
from edge_seg.errors import EdgeSegError
from edge_seg.frames.datasets.dataset import Dataset, Samples
from edge_seg.frames.datasets.files import bit_palette, dense, map_ids, missing, pair
from edge_seg.frames.images import read_depth, read_mask
from edge_seg.frames.items import Item, Size, clean
from edge_seg.preprocess import Mask

LAYOUT = (
    "NYUv2 is exported as SPLIT/rgb/*.png with SPLIT/labels_40/*.png (or labels_13), as "
    "image/SPLIT/*.png with seg40/SPLIT/*.png, or as nyu_SPLIT_rgb/ with SPLIT_labels_13/"
)
DEPTH_LAYOUT = (
    "NYUv2's depths are exported as SPLIT/rgb/*.png with SPLIT/depth/*.png, or as "
    "image/SPLIT/*.png with depth/SPLIT/*.png: 16-bit grey, in millimetres"
)
ROOM = ClassMap(("depth",), ((255, 255, 255),), DepthScale(near_m=0.5, far_m=10.0))
"""The sensor of NYU Depth V2, a Kinect, sees 0.5 to 10 m (Silberman et al. 2012)."""
PAGE = "https://cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html"
FORTY = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf",
    "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror",
    "floor mat", "clothes", "ceiling", "books", "refridgerator", "television", "paper", "towel",
    "shower curtain", "box", "whiteboard", "person", "night stand", "toilet", "sink", "lamp",
    "bathtub", "bag", "otherstructure", "otherfurniture", "otherprop",
)  # fmt: skip
THIRTEEN = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa",
    "table", "tv", "wall", "window",
)  # fmt: skip


def read(names: tuple[str, ...], folder: Path, split: str) -> Samples:
    """Find the frames of a split with the labels of so many classes."""
    layouts = (
        (f"{split}/rgb", f"{split}/labels_{len(names)}"),
        (f"image/{split}", f"seg{len(names)}/{split}"),
        (f"nyu_{split}_rgb", f"{split}_labels_{len(names)}"),
    )
    there = [layout for layout in layouts if (folder / layout[0]).is_dir()]
    if not there:
        raise _nothing(folder, layouts[0][0])
    images, labels = there[0]
    ids = {**dense(len(names), first=1), 0: IGNORE}
    items = [
        Item(clean(image.stem), image, label, read_mask=partial(_mask, ids))
        for image, label in pair(folder / images, folder / labels, _number, LAYOUT)
    ]
    return Samples(items, ClassMap(names, tuple(bit_palette(len(names) + 1)[1:])))


def read_depths(folder: Path, split: str) -> Samples:
    """Find the frames of a split with their depths."""
    layouts = ((f"{split}/rgb", f"{split}/depth"), (f"image/{split}", f"depth/{split}"))
    there = [layout for layout in layouts if (folder / layout[0]).is_dir()]
    if not there:
        raise _nothing(folder, layouts[0][0])
    images, depths = there[0]
    items = [
        Item(clean(image.stem), image, depth, read_mask=_depth)
        for image, depth in pair(folder / images, folder / depths, _number, DEPTH_LAYOUT)
    ]
    return Samples(items, ROOM)


def _depth(path: Path, size: Size) -> Mask:
    assert ROOM.depth is not None
    return ROOM.depth.codes(read_depth(path))


def _nothing(folder: Path, wanted: str) -> EdgeSegError:
    published = folder / "nyu_depth_v2_labeled.mat"
    if published.exists():
        return EdgeSegError(f"{published} is HDF5 and not read: export it first; {LAYOUT}")
    return missing(folder / wanted, LAYOUT)


def _number(stem: str) -> str:
    digits = re.search(r"\d+$", stem)
    return digits[0].lstrip("0") if digits else stem


def _mask(ids: dict[int, int], path: Path, size: Size) -> Mask:
    return map_ids(read_mask(path), ids, path)


def _dataset(title: str, layout: str, reader: Callable[[Path, str], Samples]) -> Dataset:
    licence = f"no licence is stated; cite Silberman et al., ECCV 2012 ({PAGE})"
    return Dataset(title, PAGE, layout, licence, ("test", "train"), reader)


DATASET = _dataset("NYU Depth V2, 40 classes", LAYOUT, partial(read, FORTY))
DATASET_13 = _dataset("NYU Depth V2, 13 classes", LAYOUT, partial(read, THIRTEEN))
DATASET_DEPTH = _dataset("NYU Depth V2, depths", DEPTH_LAYOUT, read_depths)
