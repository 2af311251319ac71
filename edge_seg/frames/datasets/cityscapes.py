"""Cityscapes, fine annotations: the 19 classes that the benchmark evaluates.

    leftImg8bit/val/lindau/lindau_000000_000019_leftImg8bit.png
    gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png         as published
    gtFine/val/lindau/lindau_000000_000019_gtFine_labelTrainIds.png    what the scripts make of it

Layout, ids and colours: https://github.com/mcordts/cityscapesScripts, README and
``cityscapesscripts/helpers/labels.py``. What the benchmark ignores is 255 here, so that both files
give the same frame set. The test split's labels are not public: its frames come without masks.

No class is paint: a lane's marking is labelled as the road it is on, so that with ``--map-to lane``
the masks judge the road alone.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edge_seg.classes import IGNORE, ClassMap
from edge_seg.frames.datasets.dataset import Dataset, Lane, Samples
from edge_seg.frames.datasets.files import dense, find_root, map_ids, missing
from edge_seg.frames.images import read_mask
from edge_seg.frames.items import Item, Size, clean
from edge_seg.preprocess import Mask

LAYOUT = (
    "Cityscapes is published as leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and "
    "gtFine/SPLIT/CITY/*_gtFine_labelIds.png"
)
_TRAINED = (  # (id in labelIds, name, colour); the place in this list is the trainId
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
CLASSES = ClassMap(tuple(row[1] for row in _TRAINED), tuple(row[2] for row in _TRAINED))
LABEL_IDS = {
    **dict.fromkeys((*range(34), IGNORE), IGNORE),  # 255: a licence plate, -1 in the polygons
    **{row[0]: index for index, row in enumerate(_TRAINED)},
}
LANE = Lane("road_only", {"road": "road"})


def read(folder: Path, split: str) -> Samples:
    """Find the frames of all cities of a split."""
    root = find_root(folder, ("", "cityscapes"), "leftImg8bit", LAYOUT)
    images = root / "leftImg8bit" / split
    if not images.is_dir():
        raise missing(images, LAYOUT)
    found = sorted(images.glob("*/*_leftImg8bit.png"))
    return Samples([_item(root, split, image) for image in found], CLASSES, LANE)


def _item(root: Path, split: str, image: Path) -> Item:
    frame = image.name.removesuffix("_leftImg8bit.png")
    if split == "test":
        return Item(clean(frame), image, None)
    labels = root / "gtFine" / split / image.parent.name
    published = labels / f"{frame}_gtFine_labelIds.png"
    trained = labels / f"{frame}_gtFine_labelTrainIds.png"
    if trained.exists() and not published.exists():
        return Item(clean(frame), image, trained, read_mask=partial(_mask, dense(len(CLASSES))))
    return Item(clean(frame), image, published, read_mask=partial(_mask, LABEL_IDS))


def _mask(ids: dict[int, int], path: Path, size: Size) -> Mask:
    return map_ids(read_mask(path), ids, path)


DATASET = Dataset(
    "Cityscapes",
    "https://www.cityscapes-dataset.com/",
    LAYOUT,
    "non-commercial: research, teaching, personal experimentation "
    "(https://www.cityscapes-dataset.com/license/)",
    ("val", "train", "test"),
    read,
)
