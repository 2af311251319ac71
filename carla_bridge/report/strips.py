"""The worst moments as strips of pictures, inside the page.

strips = moment_strips(folder, run.moments, width=320)
strips[0].tiles[0].uri      # "data:image/jpeg;base64,..."
strips[0].missing           # ["moments/k-0-1.jpg"]: what could not be read
"""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import msgspec

from carla_bridge.evaluation.record import Moment, Picture
from carla_bridge.report.overlay import annotate
from carla_bridge.report.reading import read_mask, read_picture
from edge_seg.classes import LANE
from edge_seg.report.pictures import Tile

JPEG_QUALITY = 80


class MomentStrip(msgspec.Struct, frozen=True):
    """One moment: its pictures in order of time, and the files that could not be read."""

    moment: Moment
    tiles: list[Tile]
    missing: list[str]


def moment_strips(folder: Path, moments: list[Moment], width: int) -> list[MomentStrip]:
    """Return a strip for each moment, its pictures ``width`` pixels wide at most."""
    strips = []
    for moment in moments:
        tiles, missing = [], []
        for picture in moment.pictures:
            tile = _tile(folder, picture, width)
            if tile is None:
                missing.append(picture.picture)
            else:
                tiles.append(tile)
        strips.append(MomentStrip(moment, tiles, missing))
    return strips


def _tile(folder: Path, picture: Picture, width: int) -> Tile | None:
    """Return a picture with its mask over it, or None where its file is missing or broken."""
    frame = read_picture(folder, picture.picture)
    if frame is None:
        return None
    height = max(1, round(frame.shape[0] * width / frame.shape[1]))
    if frame.shape[1] > width:
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    drawn = annotate(frame, read_mask(folder, picture.mask), LANE)
    _, payload = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    text = base64.b64encode(payload.tobytes()).decode("ascii")
    caption = f"{picture.time_s:.1f} s"
    alt = f"What the driver saw at {caption}, with the mask it drove by"
    return Tile(caption, alt, f"data:image/jpeg;base64,{text}", drawn.shape[1], drawn.shape[0])
