"""TuSimple lanes: up to five lines of a motorway, given as points.

    label_data_0313.json       a frame a line: {"raw_file": "clips/...", "lanes": [[x, ...], ...],
                               "h_samples": [y, ...]}
    clips/0313-1/6040/20.jpg   the last of a clip's 20 frames is the labelled one

Format: https://github.com/TuSimple/tusimple-benchmark, doc/lane_detection/readme.md; x is -2 where
a lane is not at that height. The files lie as unpacked, in ``train_set/`` and ``test_set/``, or all
in one folder. Published are a train and a test set; which training file serves for validation
is custom (LaneATT, CLRNet): ``label_data_0531.json``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from edge_seg.errors import EdgeSegError
from edge_seg.frames.datasets import lines
from edge_seg.frames.datasets.dataset import Dataset, Samples
from edge_seg.frames.datasets.files import decode_json, missing, read_text
from edge_seg.frames.items import Item, Size, clean, inside
from edge_seg.preprocess import Mask

LAYOUT = (
    "TuSimple is published as train_set/label_data_0313.json, _0531 and _0601, "
    "test_set/test_label.json, and clips/ beside them"
)
FILES = {
    "val": ("label_data_0531.json",),
    "train": ("label_data_0313.json", "label_data_0601.json"),
    "trainval": ("label_data_0313.json", "label_data_0531.json", "label_data_0601.json"),
    "test": ("test_label.json",),
}


class Label(msgspec.Struct, frozen=True):
    """One line of a label file: every lane has an x for every y in ``h_samples``."""

    raw_file: str
    lanes: list[list[float]]
    h_samples: list[float]


def read(folder: Path, split: str) -> Samples:
    """Find the labelled frames of a split."""
    items = [item for name in FILES[split] for item in _items(_find(folder, name))]
    return Samples(items, lines.CLASSES, lines.LANE)


def _find(folder: Path, name: str) -> Path:
    for inner in ("", "train_set", "test_set", "TUSimple/train_set", "TUSimple/test_set"):
        if (folder / inner / name).is_file():
            return folder / inner / name
    raise missing(folder / name, LAYOUT)


def _items(path: Path) -> list[Item]:
    # Where test_label.json was put beside train_set/ and test_set/, its clips are in test_set/.
    base = path.parent
    if not (base / "clips").is_dir() and (base / "test_set/clips").is_dir():
        base /= "test_set"
    items = []
    for number, line in enumerate(read_text(path, LAYOUT).split("\n"), 1):
        if line.strip():
            label: Label = decode_json(line.encode(), Label, f"{path}: line {number}")
            if any(len(lane) != len(label.h_samples) for lane in label.lanes):
                raise EdgeSegError(f"{path}: line {number}: a lane is not as long as h_samples")
            name = label.raw_file
            image = inside(base, name, path)
            id = clean(name.removeprefix("clips/").removesuffix(".jpg").replace("/", "_"))
            items.append(Item(id, image, path, read_mask=partial(_mask, label)))
    return items


def _mask(label: Label, path: Path, size: Size) -> Mask:
    lanes = [
        [(x, y) for x, y in zip(lane, label.h_samples, strict=True) if x >= 0]
        for lane in label.lanes
    ]
    return lines.paint(lanes, size, path)


DATASET = Dataset(
    "TuSimple lanes",
    "https://github.com/TuSimple/tusimple-benchmark",
    LAYOUT,
    "Apache-2.0 in the benchmark's repository, which names no other terms for the images "
    "(https://github.com/TuSimple/tusimple-benchmark/blob/master/LICENSE)",
    tuple(FILES),
    read,
)
