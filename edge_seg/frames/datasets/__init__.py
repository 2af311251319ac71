"""Published data sets in the folders that they come in, as frame sets.

    import_dataset("cityscapes", "street", "cityscapes", split="val")
    import_dataset("cityscapes", "road", "cityscapes", split="val", map_to="lane")
    find("voc").layout, find("voc").licence

A reader is a file that holds a `Dataset`; it is imported when it is asked for. With
``map_to="lane"`` the masks of road scenes hold the project's own classes, and say what they can
judge. None of these data sets comes with edge-seg, and nothing is downloaded.
"""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path

from edge_seg.classes import LANE
from edge_seg.errors import EdgeSegError, closest
from edge_seg.frames.datasets.dataset import Dataset, Samples
from edge_seg.frames.datasets.files import missing
from edge_seg.frames.frameset import FrameSet
from edge_seg.frames.items import Item, Progress, Size, write_items
from edge_seg.frames.kinds import KINDS
from edge_seg.frames.writer import FrameSetWriter
from edge_seg.preprocess import Mask

__all__ = ["DATASETS", "LANE_DATASETS", "Dataset", "find", "import_dataset"]

DATASETS = {
    "camvid": "camvid:DATASET",
    "cityscapes": "cityscapes:DATASET",
    "coco": "coco:DATASET",
    "coco-stuff": "coco:STUFF",
    "culane": "culane:DATASET",
    "isbi": "isbi:DATASET",
    "nyuv2": "nyuv2:DATASET",
    "nyuv2-13": "nyuv2:DATASET_13",
    "nyuv2-depth": "nyuv2:DATASET_DEPTH",
    "pets": "pets:DATASET",
    "tusimple": "tusimple:DATASET",
    "voc": "voc:DATASET",
}
"""Name -> module and constant, so that nothing is imported before it is asked for."""

LANE_DATASETS = ("camvid", "cityscapes", "culane", "tusimple")
"""Those that ``map_to="lane"`` goes with."""

MAPS = ("lane",)


def find(name: str) -> Dataset:
    """Return a data set by name, or raise `EdgeSegError` with the closest one."""
    if name not in DATASETS:
        raise EdgeSegError(f"unknown data set {name!r}: {closest(name, DATASETS)}")
    module, _, constant = DATASETS[name].partition(":")
    dataset: Dataset = getattr(importlib.import_module(f"{__name__}.{module}"), constant)
    return dataset


def import_dataset(
    folder: Path | str,
    out: Path | str,
    dataset: str,
    *,
    split: str | None = None,
    map_to: str | None = None,
    name: str | None = None,
    licence: str | None = None,
    images_only: bool = False,
    limit: int | None = None,
    progress: Progress | None = None,
) -> FrameSet:
    """Write the frame set ``out`` from a published data set's folder and return it.

    ``split`` is one of the published lists (default: the data set's first, the one for
    evaluation); ``map_to="lane"`` gives the project's own classes. The data set's licence words
    go into the set, unless ``licence`` says other ones. ``images_only`` leaves masks out;
    ``limit`` takes the first frames only. JPEG and PNG files are copied byte for byte.
    Raises `EdgeSegError` for an unknown name, a missing or broken file, and a mask that does not
    fit its frame; nothing is left of ``out`` then.
    """
    folder, out, chosen = Path(folder), Path(out), find(dataset)
    split = _check(folder, dataset, chosen, split, map_to)
    samples = chosen.read(folder, split)
    items = samples.items[:limit]
    if images_only:
        items = [item._replace(mask=None) for item in items]
    _check_items(items, f"{chosen.title}, {split}", chosen.layout)
    classes, labels = samples.classes, KINDS["unlabelled"]
    if map_to is not None:
        items, kind = _mapped(items, samples, folder)
        classes, labels = LANE, KINDS["unlabelled" if images_only else kind]
    with FrameSetWriter(
        out,
        name=name or out.name,
        classes=classes,
        licence=licence or chosen.licence,
        source=f"{chosen.title}, {split} ({chosen.page})",
        scored=labels.scored,
        merge=labels.merge,
    ) as writer:
        write_items(writer, items, progress)
    return FrameSet.open(out)


def _check(folder: Path, name: str, dataset: Dataset, split: str | None, map_to: str | None) -> str:
    """Return the split to read; refuse what the data set does not have."""
    if map_to is not None and map_to not in MAPS:
        raise EdgeSegError(f"unknown classes --map-to {map_to!r}: {closest(map_to, MAPS)}")
    if map_to is not None and name not in LANE_DATASETS:
        raise EdgeSegError(
            f"{dataset.title} labels no lanes: --map-to lane goes with {', '.join(LANE_DATASETS)}"
        )
    if split is not None and split not in dataset.splits:
        raise EdgeSegError(f"{name} has no split {split!r}: {closest(split, dataset.splits)}")
    if not folder.is_dir():
        raise missing(folder, dataset.layout)
    return split or dataset.splits[0]


def _check_items(items: list[Item], what: str, layout: str) -> None:
    """Refuse no frames, one id twice and files that are not there, before an hour is spent."""
    if not items:
        raise EdgeSegError(f"{what}: no frames were found; {layout}")
    seen: dict[str, Item] = {}
    for item in items:
        if item.id in seen:
            raise EdgeSegError(f"{what} lists the frame {item.id} twice: take one out")
        seen[item.id] = item
        for path in (item.image, item.mask):
            if path is not None and not path.is_file():
                raise missing(path, layout)


def _mapped(items: list[Item], samples: Samples, folder: Path) -> tuple[list[Item], str]:
    """Return the items with masks of our classes, and what those can judge."""
    if samples.lane is None:
        raise EdgeSegError(f"the classes of {folder} have no road: import them without --map-to")
    table = samples.lane.table(samples.classes)

    def read(own: Item, path: Path, size: Size) -> Mask:
        return table[own.read_mask(path, size)]

    return [item._replace(read_mask=partial(read, item)) for item in items], samples.lane.kind
