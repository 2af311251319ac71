"""`Dataset`: what a reader says of itself, and `Samples`: what it finds in a folder.

    dataset = Dataset("Cityscapes", PAGE, LAYOUT, LICENCE, ("val", "train", "test"), read)
    samples = dataset.read(Path("cityscapes"), "val")
    samples.items, samples.classes

``read`` looks up what the published lists name and reads no picture; the masks that its items
give hold the ids of ``samples.classes`` and 255 for what the data set leaves unlabelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_seg.classes import IGNORE, LANE, ClassMap
from edge_seg.frames.items import Item
from edge_seg.preprocess import Mask


@dataclass(frozen=True)
class Lane:
    """How a data set's classes become the project's own, and what its masks can judge then.

    ``names`` says which of its classes are ours, ``ignored`` which are neither here nor there (a
    parking bay: a road?) and become 255. All others are background. ``kind`` is one of
    `edge_seg.frames.kinds.KINDS`.
    """

    kind: str
    names: Mapping[str, str]
    ignored: frozenset[str] = frozenset()

    def table(self, classes: ClassMap) -> Mask:
        """Return our id for each of theirs, (256,) uint8."""
        table = np.full(IGNORE + 1, IGNORE, np.uint8)
        for id, name in enumerate(classes.names):
            if name not in self.ignored:
                table[id] = LANE.names.index(self.names.get(name, "background"))
        return table


@dataclass(frozen=True)
class Samples:
    """The frames of a split, in order, and what the ids in their masks mean."""

    items: list[Item]
    classes: ClassMap
    lane: Lane | None = None


@dataclass(frozen=True)
class Dataset:
    """A published data set: ``layout`` and ``licence`` are words, the first split is the default.

    ``read`` takes the folder and one of ``splits``, and raises `EdgeSegError` for what is missing.
    """

    title: str
    page: str
    layout: str
    licence: str
    splits: tuple[str, ...]
    read: Callable[[Path, str], Samples]
