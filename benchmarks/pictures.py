"""The pictures of the README: masks over shipped frames, and over what a drive saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_seg import Segmenter
from edge_seg.classes import LANE
from edge_seg.draw import overlay
from edge_seg.files import write_bytes
from edge_seg.frames import FrameSet

TILE = (400, 300)
COLUMNS = 3
SHOWN = (10, 27, 51, 36, 56, 54)
"""A bend, a bus lane, a street, night, rain, a main road; chosen before their masks were seen."""


def masks_over_frames(bundle: Path, out: Path) -> None:
    """Write a sheet of evaluation frames, the mask drawn over the right half of each."""
    frames = FrameSet.open("lane-test")
    tiles = []
    with Segmenter(bundle) as segmenter:
        for index in SHOWN:
            frame = frames.image(index)
            drawn = overlay(frame, segmenter(frame), segmenter.classes, alpha=0.6)
            half = frame.shape[1] // 2
            drawn[:, :half] = frame[:, :half]
            tiles.append(cv2.resize(drawn, TILE, interpolation=cv2.INTER_AREA))
    _write_sheet(tiles, out)


def masks_of_a_drive(folder: Path, keys: Sequence[str], out: Path) -> None:
    """Write a sheet of the pictures that a drive kept, each under the mask that steered then."""
    tiles = []
    for key in keys:
        frame = cv2.imread(str(folder / f"{key}.jpg"))
        mask = cv2.imread(str(folder / f"{key}.png"), cv2.IMREAD_GRAYSCALE)
        drawn = overlay(frame, np.asarray(mask, np.uint8), LANE, alpha=0.5)
        tiles.append(cv2.resize(drawn, TILE, interpolation=cv2.INTER_AREA))
    _write_sheet(tiles, out)


def _write_sheet(tiles: list[np.ndarray], out: Path) -> None:
    sheet = np.vstack([np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)])
    encoded, payload = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert encoded
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, payload.tobytes())
