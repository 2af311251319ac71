"""The glass before the lens and what is on it: dirt, drops, stray light; rain in front of it.

    picture = add_rain(picture, rain=0.6, seed=1)
    picture = look_through(picture, camera, rain=0.6, darkness=0.0)

Everything is a gain and a light of its own: seen = picture * gain + light. What sticks to
the glass is far out of focus, so both are made at a quarter of the frame's size, which
also makes them cheap. Values are those of the renderer, square roots of light: one share
v of stray light over s gives s (1 - v) + v, which is within 7 % of sqrt(s^2 + v^2).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from carla_bridge.world.camera.model import CameraModel, Glass

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

FINE, SMOOTH = 4, 16
"""Pixels of the frame to one of the glass: with spots or drops on it, and without."""
HALO = 160
"""Roots of light above this many 255ths have halos."""
DROPS, SPOTS, STREAKS = 50, 50, 260
"""How many there are at strength 1: drops and spots on the glass, falling drops in the frame."""


def look_through(picture: Pixels, camera: CameraModel, rain: float, darkness: float) -> Pixels:
    """Return the picture (H, W, 3) as seen through the camera's glass.

    ``rain`` and ``darkness`` are 0..1. The same glass has the same spots in every frame.
    """
    glass = camera.glass
    height, width = picture.shape[:2]
    count = round(DROPS * glass.drops * rain)
    step = FINE if glass.dirt > 0.0 or count else SMOOTH
    size = max(-(-width // step), 4), max(-(-height // step), 4)
    gain = np.ones((size[1], size[0]), np.float32)
    light = None
    if camera.vignette > 0.0:
        gain *= np.sqrt(1.0 - np.float32(camera.vignette) * _corners(size))
    if glass.dirt > 0.0 or glass.veil > 0.0 or count:
        small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        ambient = np.array(cv2.mean(small)[:3])
        light = np.zeros((3, size[1], size[0]), np.float32)
        rng = np.random.default_rng(glass.seed)
        seeds = [int(seed) for seed in rng.integers(2**31, size=3)]
        if glass.veil > 0.0:
            _scatter(gain, light, small, ambient, glass, darkness)
        if glass.dirt > 0.0:
            _soil(gain, light, glass.dirt, ambient, seeds[0])
        if count:
            _wet(gain, light, small, count, seeds[1])
    return _apply(picture, gain, light)


def _apply(picture: Pixels, gain: Floats, light: Floats | None) -> Pixels:
    height, width = picture.shape[:2]
    if float(gain.min()) < 1.0:
        factors: Any = (gain * 255.0 + 0.5).astype(np.uint8)
        factors = cv2.resize(factors, (width, height), interpolation=cv2.INTER_LINEAR)
        factors = cv2.cvtColor(factors, cv2.COLOR_GRAY2BGR)
        picture = np.asarray(cv2.multiply(picture, factors, scale=1.0 / 255.0), np.uint8)
    if light is not None:
        planes = np.minimum(light + np.float32(0.5), np.float32(255.0)).astype(np.uint8)
        levels: Any = cv2.merge(list(planes))
        levels = cv2.resize(levels, (width, height), interpolation=cv2.INTER_LINEAR)
        picture = np.asarray(cv2.add(picture, levels), np.uint8)
    return picture


def _lay(gain: Floats, light: Floats, share: Floats, colour: Any) -> None:
    """Cover what is there by ``share`` (h, w) of ``colour`` (3, h, w) or (3,), in place."""
    left = 1.0 - share
    gain *= left
    light *= left
    for plane, level in zip(light, colour, strict=True):
        plane += share * np.asarray(level, np.float32)


def _scatter(
    gain: Floats, light: Floats, small: Pixels, ambient: Any, glass: Glass, darkness: float
) -> None:
    """Veiling glare: light of the brightest direction, and halos about whatever shines."""
    height, width = gain.shape
    x, y = _places((width, height))
    across, down = x - np.float32(glass.glare[0]), y - np.float32(glass.glare[1])
    distance = np.sqrt(across**2 + (down * np.float32(height / width)) ** 2)
    # By night there is no sun to scatter; what is left is the lamps' halos.
    strength = np.float32(glass.veil * (1.0 - 0.8 * darkness))
    share: Any = strength * (0.25 + 0.75 * np.exp(np.float32(-3.0) * distance))
    _lay(gain, light, share, (0.4 * ambient + 140.0) * (1.0 - 0.6 * darkness))
    few = 40, max(round(40 * height / width), 1)
    bright: Any = cv2.resize(small, few, interpolation=cv2.INTER_AREA)
    bright = cv2.GaussianBlur(np.maximum(bright, np.uint8(HALO)), (0, 0), 2.0)
    halo = cv2.resize(bright, (width, height), interpolation=cv2.INTER_LINEAR)
    for plane, level in zip(light, cv2.split(halo), strict=True):
        plane += (level.astype(np.float32) - np.float32(HALO)) * np.float32(2.0 * glass.veil)


def _soil(gain: Floats, light: Floats, dirt: float, ambient: Any, seed: int) -> None:
    """Spots of mud and insects, and smears that a wiper left."""
    rng = np.random.default_rng(seed)
    height, width = gain.shape
    smear: Any = rng.uniform(0.0, 1.0, (6, 4)).astype(np.float32) ** 2
    smear = cv2.resize(smear, (width, height), interpolation=cv2.INTER_CUBIC)
    share = np.clip(smear, 0.0, 1.0) * np.float32(0.22 * dirt)
    _lay(gain, light, share, np.minimum(1.3 * ambient, 230.0))
    spots = np.zeros((height, width), np.uint8)
    _ellipses(spots, rng, round(SPOTS * dirt), 0.006, lambda _: int(rng.integers(60, 230)))
    share = cv2.GaussianBlur(spots, (5, 5), 1.1).astype(np.float32) * np.float32(1.0 / 255.0)
    dust = rng.uniform(0.15, 0.9) * np.array([0.75, 0.9, 1.0])
    _lay(gain, light, share, dust * float(ambient.mean()))


def _wet(gain: Floats, light: Floats, small: Pixels, count: int, seed: int) -> None:
    """Drops: each a small wide-angle lens that turns the scene upside down."""
    rng = np.random.default_rng(seed)
    height, width = gain.shape
    numbers = np.zeros((height, width), np.uint16)
    x, y, radius = _ellipses(numbers, rng, count, 0.014, lambda index: index + 1)
    zoom = np.maximum(0.3 * width / radius, 2.0)
    # Number 0 is where no drop is: it shows what is there.
    tables = [np.concatenate([[none], each]) for none, each in ((0, x), (0, y), (-1, zoom))]
    across, down, factor = (table.astype(np.float32).take(numbers) for table in tables)
    columns = np.arange(width, dtype=np.float32)[None, :]
    rows = np.arange(height, dtype=np.float32)[:, None]
    shown = cv2.remap(
        cv2.blur(small, (3, 3)),
        across - (columns - across) * factor,
        down - (rows - down) * factor,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    share = (numbers > 0).astype(np.uint8) * 255
    share = cv2.GaussianBlur(share, (5, 5), 1.0).astype(np.float32)
    _lay(gain, light, share * np.float32(0.85 / 255.0), cv2.split(shown))


def _ellipses(
    image: Any, rng: np.random.Generator, count: int, size: float, value: Any
) -> tuple[Any, Any, Any]:
    """Draw ``count`` upright blobs of some ``size`` (share of the width) into ``image``.

    Returns their middles and radii (count,) in pixels; ``value(i)`` is what is drawn.
    """
    height, width = image.shape
    x, y = rng.uniform(0, width, count), rng.uniform(0, height, count)
    radius = np.maximum(width * size * np.exp(rng.normal(0.0, 0.5, count)), 0.6)
    tall = np.exp(rng.normal(0.1, 0.25, count))
    for i in range(count):
        axes = (max(round(radius[i]), 1), max(round(radius[i] * tall[i]), 1))
        cv2.ellipse(image, (int(x[i]), int(y[i])), axes, 0.0, 0.0, 360.0, value(i), -1)
    return x, y, radius


def add_rain(picture: Pixels, rain: float, darkness: float, seed: int) -> Pixels:
    """Return the picture (H, W, 3) with falling drops, streaks as long as they fall meanwhile.

    Drops gather light from a wide angle and so are brighter than most of what is behind
    them (Garg and Nayar, "Vision and rain", IJCV 2007); by night there is little to gather.
    """
    rng = np.random.default_rng(seed)
    height, width = picture.shape[:2]
    count = round(STREAKS * rain)
    start = rng.uniform(-0.1, 1.1, (count, 2)) * [width, height]
    # Near drops are longer, and wider than a pixel; wind and the own speed slant them.
    near = rng.exponential(1.0, count)
    length = (0.012 + 0.03 * near) * height
    slant = rng.normal(0.0, 0.2) + 0.5 * (start[:, 0] / width - 0.5) + rng.normal(0.0, 0.04, count)
    end = start + np.stack([length * slant, length], axis=1)
    lines = np.round(np.stack([start, end], axis=1)).astype(np.int32)
    ambient = float(cv2.mean(cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA))[1])
    level = (0.06 + 0.1 * rng.random()) * (ambient + 20.0) * (1.0 - 0.4 * darkness)
    streaks: Any = np.zeros((height, width), np.uint8)
    for thickness, strength in ((1, 1.0), (2, 0.7), (3, 0.45)):
        chosen = lines[np.clip(np.floor(near * width / 900.0), 0, 2) == thickness - 1]
        cv2.polylines(streaks, list(chosen), False, round(level * strength * 1.6), thickness)
    streaks = cv2.cvtColor(cv2.blur(streaks, (3, 3)), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.add(picture, streaks), np.uint8)


@functools.lru_cache(maxsize=8)
def _places(size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return x (1, w) and y (h, 1) of the pixels' middles as shares of width and height."""
    width, height = size
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5)) / np.float32(width)
    y = (np.arange(height, dtype=np.float32) + np.float32(0.5)) / np.float32(height)
    return x[None, :], y[:, None]


@functools.lru_cache(maxsize=8)
def _corners(size: tuple[int, int]) -> Floats:
    """Return the squared distance from the frame's middle, 1 in its corners."""
    width, height = size
    x, y = _places(size)
    across, down = (x - np.float32(0.5)) * width, (y - np.float32(0.5)) * height
    half = math.hypot(width, height) / 2.0
    return np.asarray((across**2 + down**2) / np.float32(half**2), np.float32)
