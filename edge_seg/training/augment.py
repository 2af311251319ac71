"""Augmentation: from one frame and its mask, another that could have been.

    rng = np.random.default_rng((seed, step, position))
    frame, mask = augment(frame, mask, window, rng)

Everything is drawn from ``rng``, so a sample follows from its seed. Geometry moves frame and mask
together; light, colour and sensor touch the frame alone. The ranges are wide on purpose:
rendered frames are too clean, and a network that has seen only them trusts their colours
(domain randomisation: Tobin et al. 2017, arXiv:1703.06907).
"""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from edge_seg.classes import IGNORE
from edge_seg.preprocess import Frame, Mask

Floats = npt.NDArray[np.float32]


class Window(msgspec.Struct, frozen=True):
    """What is cut: a crop of ``crop`` pixels of a frame seen at ``full``; both (height, width).

    ``scales`` is the range of zoom: 1 shows the road as large as the network will see it.
    """

    full: tuple[int, int]
    crop: tuple[int, int]
    scales: tuple[float, float] = (0.7, 1.6)


def augment(
    frame: Frame, mask: Mask, window: Window, rng: np.random.Generator, altered: float = 1.0
) -> tuple[Frame, Mask]:
    """Return another view, (crop height, crop width, 3) and (crop height, crop width).

    ``altered`` is the share of the samples, 0..1, whose light, colour and sensor change too.
    """
    frame, mask = crop(frame, mask, window, rng)
    if rng.random() < 0.5:
        frame, mask = frame[:, ::-1], mask[:, ::-1]
    if altered < 1 and rng.random() >= altered:
        return np.ascontiguousarray(frame), np.ascontiguousarray(mask)
    image = np.multiply(frame, np.float32(1 / 255), dtype=np.float32)
    if rng.random() < 0.4:
        image = shadow(image, rng)
    image = colour(image, rng)
    if rng.random() < 0.5:
        image = light(image, rng)
    image = sensor(image, rng)
    np.clip(image, 0, 1, out=image)
    image *= 255
    image += 0.5
    return image.astype(np.uint8), np.ascontiguousarray(mask)


def crop(frame: Frame, mask: Mask, window: Window, rng: np.random.Generator) -> tuple[Frame, Mask]:
    """Cut a window at a random place and scale, slightly turned and stretched.

    What lies beyond the frame is black and labelled ignore.
    """
    height, width = frame.shape[:2]
    crop_height, crop_width = window.crop
    scale = float(np.exp(rng.uniform(*np.log(window.scales))))
    stretch = float(np.exp(rng.uniform(-0.15, 0.15)))
    # How many frame pixels one pixel of the crop covers, in x and in y.
    step_x = width / window.full[1] / (scale * stretch)
    step_y = height / window.full[0] / (scale / stretch)
    room_x, room_y = width - crop_width * step_x, height - crop_height * step_y
    centre_x = width / 2 + rng.uniform(-0.5, 0.5) * abs(room_x)
    # Rather low than high: the upper rows are sky, of which there is enough.
    centre_y = height / 2 + rng.uniform(-0.15, 0.5) * abs(room_y)
    angle = np.deg2rad(rng.normal(0.0, 2.5))
    cosine, sine = np.cos(angle), np.sin(angle)
    # Crop coordinates to frame coordinates, the centre to the centre.
    linear = np.array([[cosine * step_x, -sine * step_x], [sine * step_y, cosine * step_y]])
    offset = np.array([centre_x, centre_y]) - linear @ np.array([crop_width / 2, crop_height / 2])
    matrix = np.column_stack([linear, offset])
    flags = cv2.WARP_INVERSE_MAP
    size = (crop_width, crop_height)
    if step_x * step_y > 1.5:  # smaller than half the pixels: blur first, or thin lines alias
        frame = np.asarray(
            cv2.GaussianBlur(frame, (3, 3), 0.35 * np.sqrt(step_x * step_y)), np.uint8
        )
    moved = cv2.warpAffine(frame, matrix, size, flags=flags | cv2.INTER_LINEAR)
    moved_mask = cv2.warpAffine(
        mask, matrix, size, flags=flags | cv2.INTER_NEAREST, borderValue=(IGNORE,)
    )
    return moved.astype(np.uint8, copy=False), moved_mask.astype(np.uint8, copy=False)


def shadow(image: Floats, rng: np.random.Generator) -> Floats:
    """Darken one to three random polygons with soft edges, as trees and houses do."""
    height, width = image.shape[:2]
    shade = np.ones((height, width), np.float32)
    for _ in range(rng.integers(1, 4)):
        corners = rng.uniform(
            (-0.3 * width, 0.0), (1.3 * width, 1.2 * height), (rng.integers(3, 6), 2)
        )
        polygon = cv2.convexHull(corners.astype(np.int32))
        cv2.fillPoly(shade, [polygon], (float(rng.uniform(0.3, 0.8)),))
    soft = cv2.GaussianBlur(shade, (0, 0), float(rng.uniform(0.6, 5.0)))
    return image * soft.astype(np.float32)[:, :, None]


def colour(image: Floats, rng: np.random.Generator) -> Floats:
    """Change white balance, saturation, contrast, brightness and gamma."""
    gains = np.exp(rng.normal(0.0, 0.12, 3)).astype(np.float32)
    # Saturation as one matrix of the channels: what is left of each, and of their mean.
    saturation = float(rng.uniform(0.0, 1.6))
    mixing = saturation * np.eye(3) + (1 - saturation) / 3
    contrast = float(np.exp(rng.uniform(-0.5, 0.4)))
    middle = float(np.dot(gains, cv2.mean(image)[:3])) / 3  # mixing does not move it
    matrix = contrast * mixing * gains
    shift = middle * (1 - contrast) + float(rng.uniform(-0.15, 0.15))
    affine = np.column_stack([matrix, np.full(3, shift)])
    image = np.asarray(cv2.transform(image, affine), np.float32)
    np.clip(image, 0, 1, out=image)
    gamma = float(np.exp(rng.uniform(-0.5, 0.5)))
    return np.asarray(cv2.pow(image, gamma), np.float32)


def light(image: Floats, rng: np.random.Generator) -> Floats:
    """Add a slope of brightness and sometimes haze that thickens towards the top."""
    height, width = image.shape[:2]
    rows = np.linspace(1, 0, height, dtype=np.float32)[:, None]
    columns = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
    slope = (
        1
        + np.float32(rng.normal(0, 0.25)) * columns
        + np.float32(rng.normal(0, 0.25)) * (rows - 0.5)
    )
    image = image * slope[:, :, None]
    if rng.random() < 0.3:
        haze = np.float32(rng.uniform(0.1, 0.6)) * rows[:, :, None] ** 2
        image = image * (1 - haze) + haze * np.float32(rng.uniform(0.6, 1.0))
    return image.astype(np.float32, copy=False)


def sensor(image: Floats, rng: np.random.Generator) -> Floats:
    """Blur (focus or motion), coarse texture, noise and JPEG blocks, each sometimes."""
    kind = rng.random()
    if kind < 0.3:
        image = np.asarray(
            cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.8))), np.float32
        )
    elif kind < 0.4:
        length = int(rng.integers(3, 8))
        image = np.asarray(cv2.blur(image, (length, 1)), np.float32)
    if rng.random() < 0.3:
        image = image + texture(image.shape[:2], rng)[:, :, None]
    if rng.random() < 0.6:
        sigma = rng.uniform(0.005, 0.05)
        image = image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(sigma)
    if rng.random() < 0.3:
        pixels = (np.clip(image, 0, 1) * 255).astype(np.uint8)
        quality = int(rng.integers(25, 90))
        _, payload = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(payload, cv2.IMREAD_COLOR)
        image = np.asarray(decoded, np.float32) / 255.0
    return image


def texture(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Return (h, w) patches of brightness of a random size: stains, repairs, dirt on the lens."""
    height, width = shape
    cell = int(rng.integers(4, 48))
    coarse = rng.standard_normal((height // cell + 2, width // cell + 2), dtype=np.float32)
    large = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.float32) * np.float32(rng.uniform(0.02, 0.08))
