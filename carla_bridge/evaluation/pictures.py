"""What the driver saw, kept for the worst moments and for the film.

    album = Album(folder, run_key, every=2)
    album.keep(tick, time_s, frame, mask)            # JPEG and PNG, in memory
    album.write_film()                               # frames/KEY/000123.jpg and .png
    pictures = album.write_moment(0, tick=412)       # moments/KEY-0-1.jpg ..., a strip around it

A run's pictures stay in memory until it is known which moments were its worst: some tens of
kilobytes each, so a route of some minutes takes some tens of megabytes.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from carla_bridge.evaluation.record import Picture
from edge_seg.files import write_bytes

JPEG_QUALITY = 85
MOST = 4000
"""Pictures kept: more than six minutes at every second tick of 20 Hz."""
STRIP_S = (-1.0, -0.5, 0.0, 0.5)
"""A moment's pictures, from what led to it to what came of it."""


class Shot(NamedTuple):
    """An encoded picture and the mask in it."""

    tick: int
    time_s: float
    jpeg: bytes
    png: bytes


class Album:
    """The pictures of one run."""

    def __init__(self, folder: Path, key: str, every: int) -> None:
        self._folder, self._key, self.every = folder, key, every
        self._shots: deque[Shot] = deque(maxlen=MOST)

    def keep(
        self, tick: int, time_s: float, frame: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]
    ) -> None:
        """Keep a frame (H, W, 3) BGR and a mask (H, W) of class ids."""
        _, jpeg = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        _, png = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        self._shots.append(Shot(tick, time_s, jpeg.tobytes(), png.tobytes()))

    def write_film(self) -> bool:
        """Write every picture by its tick; return whether there was any."""
        folder = self._folder / "frames" / self._key
        folder.mkdir(parents=True, exist_ok=True)
        for shot in self._shots:
            write_bytes(folder / f"{shot.tick:06d}.jpg", shot.jpeg)
            write_bytes(folder / f"{shot.tick:06d}.png", shot.png)
        return bool(self._shots)

    def write_moment(self, number: int, time_s: float) -> list[Picture]:
        """Write the strip around a time and return what is in it, in order of time."""
        if not self._shots:
            return []
        (self._folder / "moments").mkdir(exist_ok=True)
        times = np.array([shot.time_s for shot in self._shots])
        nearest = {int(np.abs(times - (time_s + offset)).argmin()) for offset in STRIP_S}
        pictures = []
        for place, index in enumerate(sorted(nearest)):
            shot = self._shots[index]
            name = f"moments/{self._key}-{number}-{place}"
            write_bytes(self._folder / f"{name}.jpg", shot.jpeg)
            write_bytes(self._folder / f"{name}.png", shot.png)
            pictures.append(Picture(shot.time_s, shot.tick, f"{name}.jpg", f"{name}.png"))
        return pictures
