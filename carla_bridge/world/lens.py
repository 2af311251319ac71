"""What a real camera does to a picture: blur, glare, vignette, sensor noise, a bonnet below.

    frame, mask = expose(frame, mask, np.random.default_rng(1))

Works on the finished 8-bit frame; the mask changes only where the car's own bonnet
hides the road.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_seg.preprocess import Frame, Mask

Picture = npt.NDArray[np.float32]


def expose(frame: Frame, mask: Mask, rng: np.random.Generator) -> tuple[Frame, Mask]:
    """Return the frame (H, W, 3) and mask (H, W) as a seeded random camera gives them."""
    height, width = mask.shape
    if rng.random() < 0.12:
        frame, mask = _bonnet(frame, mask, rng)
    picture = frame.astype(np.float32)
    if rng.random() < 0.5:
        picture *= _shade(rng, height, width)[..., None]
    if rng.random() < 0.12:
        picture += _veil(rng, height, width)[..., None]
    if rng.random() < 0.3:
        picture = _saturate(picture, float(rng.uniform(0.3, 1.5)))
    sigma = float(rng.uniform(0.0, 1.1))
    if sigma > 0.35:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.float32)
    if rng.random() < 0.15:
        kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 4)))
        picture = np.asarray(cv2.blur(picture, kernel), dtype=np.float32)
    strength = float(rng.exponential(3.0))
    if strength > 0.7:
        noise = rng.integers(-128, 128, (height, width, 3), dtype=np.int8)
        picture += noise.astype(np.float32) * np.float32(strength / 74.0)
    out = np.clip(picture, 0.0, 255.0).astype(np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(35, 90))
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
    if rng.random() < 0.35:  # half the world drives on the left
        out, mask = out[:, ::-1], mask[:, ::-1]
    return np.ascontiguousarray(out), np.ascontiguousarray(mask)


def _bonnet(frame: Frame, mask: Mask, rng: np.random.Generator) -> tuple[Frame, Mask]:
    """Draw the car's own bonnet over the bottom of the frame; it is background."""
    height, width = mask.shape
    frame, mask = frame.copy(), mask.copy()
    centre = (int(width * rng.uniform(0.4, 0.6)), int(height * rng.uniform(1.0, 1.06)))
    axes = (int(width * rng.uniform(0.5, 0.9)), int(height * rng.uniform(0.06, 0.16)))
    shape = np.zeros_like(mask)
    cv2.ellipse(shape, centre, axes, 0.0, 0.0, 360.0, 1, -1)
    inside = shape > 0
    paint = rng.uniform(5, 150) * rng.uniform(0.7, 1.3, 3)
    rows = np.linspace(0.6, 1.2, height)[:, None, None]
    reflection = frame[::-1].astype(np.float64) * 0.25
    frame[inside] = np.clip(paint * rows + reflection, 0, 255).astype(np.uint8)[inside]
    mask[inside] = 0
    return frame, mask


def _shade(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Return brightness factors (H, W): a vignette and a gentle gradient."""
    y, x = np.mgrid[-1.0 : 1.0 : height * 1j, -1.0 : 1.0 : width * 1j].astype(np.float32)
    vignette = 1.0 - float(rng.uniform(0.0, 0.35)) * (x * x + y * y) / 2.0
    slope = rng.uniform(-0.15, 0.15, 2)
    return np.asarray(vignette * (1.0 + slope[0] * x + slope[1] * y), dtype=np.float32)


def _veil(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Return light (H, W) scattered over the windscreen from a bright spot, 0..90."""
    y, x = np.mgrid[0.0 : 1.0 : height * 1j, 0.0 : 1.0 : width * 1j].astype(np.float32)
    at = rng.uniform([0.0, 0.0], [1.0, 0.5])
    distance = np.hypot(x - at[0], y - at[1])
    return np.asarray(float(rng.uniform(20, 90)) * np.exp(-3.0 * distance), dtype=np.float32)


def _saturate(picture: Picture, factor: float) -> Picture:
    grey = picture @ np.array([0.114, 0.587, 0.299], dtype=np.float32)
    return np.asarray(grey[..., None] + (picture - grey[..., None]) * np.float32(factor))
