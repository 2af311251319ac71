"""Roads drawn with polygons: natural enough to calibrate on, simple enough to learn in seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_seg.frames import FrameSet, FrameSetWriter
from edge_seg.preprocess import Frame, Mask


def draw_road(seed: int, height: int = 120, width: int = 160) -> tuple[Frame, Mask]:
    """A grey road with a light middle line between green verges under a fading sky."""
    rng = np.random.default_rng(seed)
    horizon = int(height * rng.uniform(0.3, 0.45))
    vanishing, foot = int(width * rng.uniform(0.3, 0.7)), int(width * rng.uniform(0.4, 0.6))
    half = int(width * rng.uniform(0.35, 0.45))
    light = rng.uniform(0.8, 1.1)
    fade = np.linspace(1.0, 0.7, height)[:, None, None]
    image = np.where(np.arange(height)[:, None, None] < horizon, (210, 160, 110), (50, 120, 60))
    image = np.broadcast_to(image * fade, (height, width, 3)).copy()
    mask = np.zeros((height, width), np.uint8)
    for id, reach, grey in ((1, half, 95), (2, max(4, half // 8), 225)):
        corners = [(vanishing, horizon), (foot - reach, height), (foot + reach, height)]
        cv2.fillPoly(image, [np.array(corners)], (grey, grey, grey))
        cv2.fillPoly(mask, [np.array(corners)], id)
    image = image * light + rng.normal(0, 2, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def write_roads(folder: Path, seeds: range) -> FrameSet:
    with FrameSetWriter(
        folder, name=folder.name, licence="Apache-2.0", source="drawn by the tests"
    ) as writer:
        for seed in seeds:
            writer.add(*draw_road(seed), format="png")
    return FrameSet.open(folder)
