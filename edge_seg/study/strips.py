"""Frames with every row's mask beside them, small enough to live inside the page.

strips = mask_strips(results, folder)
strips[0].tiles[0].uri        # "data:image/jpeg;base64,..."
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edge_seg.classes import ClassMap
from edge_seg.draw import overlay
from edge_seg.frames import FrameSet
from edge_seg.frames.images import decode_mask
from edge_seg.preprocess import Frame, Mask
from edge_seg.report.pictures import Strip, Tile, tile
from edge_seg.study.charts import frame_drops
from edge_seg.study.results import Results, Row, mask_files, names_of

Masks = Mapping[int, Mask]
"""Masks (H, W) by the frame's index."""

SHOWN = 3
"""Frames: the one on which rows differ most, the middle one, and the one in which they agree."""
MOST_ROWS = 18
"""Whose masks are shown beside one frame."""
WIDTH = 256


def mask_strips(results: Results, frames: FrameSet, masks: Mapping[str, Masks]) -> list[Strip]:
    """Return the pictures of the `chosen` frames; ``masks`` are each row's, by its key."""
    rows = [row for row in results.rows if row.key in masks]
    if not rows:
        return []
    names = names_of(results.rows)
    return [_strip(results, frames, masks, rows, names, index) for index in chosen(results)]


def read_masks(folder: Path, results: Results) -> dict[str, Masks]:
    """Return the masks of the `chosen` frames, by frame, of every row that left some."""
    found: dict[str, Masks] = {}
    for row in results.rows:
        if row.status == "done" and (folder / row.masks).is_file():
            files = mask_files(folder, row.masks)
            found[row.key] = {i: decode_mask(files[i], row.key) for i in chosen(results)}
    return found


def chosen(results: Results) -> list[int]:
    """Return the frames to show, by how much the rows' losses on them differ: most first."""
    drops = [frame_drops(results, row) for row in results.rows if row.status == "done"]
    whole = [np.asarray(row) for row in drops if len(row) == len(results.images)]
    if not whole:
        return list(range(min(SHOWN, len(results.images))))
    order = np.argsort(-np.ptp(np.stack(whole), axis=0), kind="stable")
    places = np.linspace(0, len(order) - 1, min(SHOWN, len(order))).round().astype(int)
    return [int(order[place]) for place in dict.fromkeys(places)]


def _strip(
    results: Results,
    frames: FrameSet,
    masks: Mapping[str, Masks],
    rows: list[Row],
    names: Mapping[str, str],
    index: int,
) -> Strip:
    frame, truth = frames.image(index), frames.mask(index)
    name = results.images[index]
    tiles = [tile("frame", f"The frame {name}", frame, WIDTH)]
    if truth is not None:
        tiles.append(_drawn("truth", name, frame, truth, results.classes))
    for row in rows[:MOST_ROWS]:
        score = row.image_scores[index]
        caption = names[row.key] + ("" if score is None else f": {score:.1f} %")
        tiles.append(_drawn(caption, name, frame, masks[row.key][index], results.classes))
    differ = max(100 - row.image_agreement[index] for row in rows)
    return Strip(name, differ, tiles)


def _drawn(caption: str, name: str, frame: Frame, mask: Mask, classes: ClassMap) -> Tile:
    alt = f"The mask of {name} over the frame: {caption}"
    return tile(caption, alt, overlay(frame, mask, classes, 0.65), WIDTH)
