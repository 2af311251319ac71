"""CULane: up to four lane lines of Beijing's streets and motorways.

    driver_23_30frame/05151649_0422.MP4/00000.jpg
    driver_23_30frame/05151649_0422.MP4/00000.lines.txt            a lane a line: x y x y ...
    laneseg_label_w16/driver_23_30frame/05151649_0422.MP4/00000.png          0, and 1..4
    list/train_gt.txt         /IMAGE.jpg /laneseg_label_w16/LABEL.png 1 1 1 1
    list/test.txt, list/test_split/test0_normal.txt                /IMAGE.jpg

Layout: https://xingangpan.github.io/projects/CULane.html and
https://github.com/XingangPan/SCNN. Lanes 1 to 4 are counted from the left; the car is between 2
and 3. Where a split's first frame has no label in ``laneseg_label_w16`` (the test splits'), the
lines are painted, and are of one class: the points do not say which of the four a lane is.
"""

from __future__ import annotations

from pathlib import Path

from edge_seg.classes import ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.frames.datasets import lines
from edge_seg.frames.datasets.dataset import Dataset, Lane, Samples
from edge_seg.frames.datasets.files import dense, find_root, map_ids, read_list, read_text
from edge_seg.frames.images import read_mask
from edge_seg.frames.items import Item, Size, clean, inside
from edge_seg.preprocess import Mask

LAYOUT = (
    "CULane is published as driver_*/*/*.jpg with *.lines.txt beside them, laneseg_label_w16/ and "
    "list/val_gt.txt"
)
CLASSES = ClassMap(
    ("background", "lane_1", "lane_2", "lane_3", "lane_4"),
    ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)),
)
LANE = Lane("lane_only", dict.fromkeys(CLASSES.names[1:], "lane_marking"))
_SCENES = (
    "test0_normal", "test1_crowd", "test2_hlight", "test3_shadow", "test4_noline", "test5_arrow",
    "test6_curve", "test7_cross", "test8_night",
)  # fmt: skip
LISTS = {
    "val": "list/val_gt.txt",
    "train": "list/train_gt.txt",
    "test": "list/test.txt",
    **{scene: f"list/test_split/{scene}.txt" for scene in _SCENES},
}


def read(folder: Path, split: str) -> Samples:
    """Find the frames of a list, with labels where the first has one, else with lines."""
    root = find_root(folder, ("", "CULane"), "list", LAYOUT)
    list_file = root / LISTS[split]
    names = [words[0].lstrip("/") for words in read_list(list_file, LAYOUT)]
    images = [inside(root, name, list_file) for name in names]
    ids = [clean(name.removesuffix(".jpg").replace("/", "_")) for name in names]
    labels = [(root / "laneseg_label_w16" / name).with_suffix(".png") for name in names]
    if labels and labels[0].exists():
        rows = zip(ids, images, labels, strict=True)
        return Samples([Item(*row, read_mask=_mask) for row in rows], CLASSES, LANE)
    points = [image.with_suffix(".lines.txt") for image in images]
    rows = zip(ids, images, points, strict=True)
    return Samples([Item(*row, read_mask=_painted) for row in rows], lines.CLASSES, lines.LANE)


def _mask(path: Path, size: Size) -> Mask:
    return map_ids(read_mask(path), dense(len(CLASSES)), path)


def _painted(path: Path, size: Size) -> Mask:
    lanes = []
    for number, line in enumerate(read_text(path, LAYOUT).splitlines(), 1):
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            raise EdgeSegError(f"{path}: line {number} is not x y x y ...") from None
        if len(values) % 2:
            raise EdgeSegError(f"{path}: line {number} has {len(values)} numbers, not x y pairs")
        lanes.append(list(zip(values[::2], values[1::2], strict=True)))
    return lines.paint(lanes, size, path)


DATASET = Dataset(
    "CULane",
    "https://xingangpan.github.io/projects/CULane.html",
    LAYOUT,
    "non-commercial research; cite Pan et al., AAAI 2018 "
    "(https://xingangpan.github.io/projects/CULane.html)",
    tuple(LISTS),
    read,
)
