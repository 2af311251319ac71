"""What a camera does to a rendered picture, and what of it happens to the labels.

    frame, (mask, depth) = expose(picture, (mask, depth), camera, dice, background=(0, 5000.0))

In the order in which it happens to light: the lens bends it, motion smears it, the bonnet,
rain and the glass are in its way; then the sensor adds its noise, and the camera develops,
sharpens and compresses. Labels are bent, covered and mirrored alike, and never blended.

Pictures are uint8 BGR, the square root of light. There the noise of counting photons is
the same in bright and dark (F. J. Anscombe, Biometrika 1948), and 8 bits suffice.
"""

from __future__ import annotations

import functools
import math
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from carla_bridge.world.camera.glass import add_rain, look_through
from carla_bridge.world.camera.model import Bonnet, CameraModel
from carla_bridge.world.camera.tone import colour_matrix, destabilised, respond, stabilised
from carla_bridge.world.randomization import Dice
from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame

Image: TypeAlias = Any
"""A `Frame` under way: OpenCV's annotations promise less than what its functions return."""
Label: TypeAlias = Any
"""(H, W) of any dtype."""
Labels = tuple[Label, ...]

REMAPPED = tuple(map(np.dtype, (np.uint8, np.uint16, np.int16, np.float32, np.float64)))
"""What cv2.remap takes; other labels are looked up by numpy."""
NOTHING: Any = None
GRAIN = 28.0
"""Standard deviation of the noise tile, in levels."""
READ = 0.15
"""Root of the light at which reading the sensor is as noisy as the light, in full darkness."""
ROLL = 64
"""Pixels by which the noise tile may be moved, across and down."""


def expose(
    picture: Frame,
    labels: Labels,
    camera: CameraModel,
    dice: Dice,
    *,
    rain: float = 0.0,
    darkness: float = 0.0,
    background: tuple[float, ...] | None = None,
) -> tuple[Frame, Labels]:
    """Return the frame (H, W, 3) uint8 BGR and the labels (H, W) as ``camera`` gives them.

    ``picture`` (H, W, 3) uint8 BGR is the square root of light, rendered with the camera's
    `render_size` and `render_field`; ``labels`` are arrays (H, W) of any dtype, of which
    ``background`` holds the values on the car's own bonnet, 0 without it. ``rain`` and
    ``darkness`` are 0..1. Labels that nothing happens to come back as they are, not copied.
    Raises `EdgeSegError` where something does not fit together.
    """
    image: Image = picture
    fills = (0.0,) * len(labels) if background is None else background
    _check(picture, labels, camera, fills, rain, darkness)
    # Drawn always, so that what is drawn later never depends on the weather.
    drops = int(dice.stream("rain").integers(2**31))
    grain = dice.stream("noise").integers(ROLL, size=2)
    if camera.distortion != (0.0, 0.0):
        image, labels = _bend(image, labels, camera)
    image = _smear(image, camera, darkness)
    if camera.bonnet is not None:
        image, labels = _cover(image, labels, camera.bonnet, fills)
    if rain > 0.0:
        image = add_rain(image, rain, darkness, drops)
    if camera.softness > 0.0:
        image = cv2.GaussianBlur(image, _kernel(camera.softness), camera.softness)
    image = look_through(image, camera, rain, darkness)
    image = _develop(image, camera, darkness, (int(grain[0]), int(grain[1])))
    if camera.mirrored:
        image = cv2.flip(image, 1)
        labels = tuple(map(_turn, labels))
    if camera.jpeg:
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg])
        image = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return np.asarray(image, np.uint8), labels


def _check(
    picture: Image,
    labels: Labels,
    camera: CameraModel,
    fills: tuple[float, ...],
    rain: float,
    darkness: float,
) -> None:
    camera.check()
    width, height = camera.render_size()
    if picture.shape != (height, width, 3) or picture.dtype != np.uint8:
        raise EdgeSegError(
            f"a picture of {picture.shape} {picture.dtype} does not fit a camera that wants "
            f"({height}, {width}, 3) uint8"
        )
    for label in labels:
        if label.shape != (height, width):
            raise EdgeSegError(f"labels of {label.shape} do not fit a picture of {height}x{width}")
    if len(fills) != len(labels):
        raise EdgeSegError(f"{len(fills)} background values were given for {len(labels)} labels")
    for name, value in (("rain", rain), ("darkness", darkness)):
        if not 0.0 <= value <= 1.0:
            raise EdgeSegError(f"{name} is in 0..1, not {value}")


def _bend(picture: Image, labels: Labels, camera: CameraModel) -> tuple[Image, Labels]:
    straight, nearest = camera.optics.maps()
    edge = cv2.BORDER_REPLICATE
    bent = cv2.remap(picture, *straight, cv2.INTER_LINEAR, borderMode=edge)

    def look_up(label: Label) -> Label:
        if label.dtype in REMAPPED:
            return cv2.remap(label, nearest, NOTHING, cv2.INTER_NEAREST, borderMode=edge)
        columns, rows = np.rint(nearest).astype(np.intp).transpose(2, 0, 1)
        height, width = label.shape
        return np.asarray(label[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)])

    return bent, tuple(map(look_up, labels))


def _turn(label: Label) -> Label:
    known = label.dtype in REMAPPED  # OpenCV turns them ten times faster
    return cv2.flip(label, 1) if known else np.ascontiguousarray(label[:, ::-1])


def _smear(picture: Image, camera: CameraModel, darkness: float) -> Image:
    """Blur by driving, away from the point that the car heads for, and by shaking.

    Four samples along the way, from two pictures enlarged and reduced by whole pixels; by
    night the shutter is open for twice as long.
    """
    if camera.shake != (1, 1):
        picture = cv2.blur(picture, camera.shake)
    step = camera.motion_blur * (1.0 + darkness) / 4.0
    if step > 0.0:
        width, height = camera.render_size()
        focal = camera.optics.focal
        x = _within(0.5 + math.tan(math.radians(camera.place.yaw)) * focal / width)
        y = _within(0.5 + math.tan(math.radians(camera.place.pitch)) * focal / height)
        sides = [2.0 * step * share for share in (x, 1.0 - x)]
        sides += [2.0 * step * height / width * share for share in (y, 1.0 - y)]
        picture = cv2.addWeighted(picture, 0.5, _enlarge(picture, sides), 0.5, 0.0)
        twice = [2.0 * side for side in sides]
        picture = cv2.addWeighted(picture, 0.5, _reduce(picture, twice), 0.5, 0.0)
    return picture


def _within(share: float) -> float:
    """Keep the point that the car heads for near the frame, for cameras that look aside."""
    return min(max(share, -0.5), 1.5)


def _whole(sides: list[float], most: int) -> list[int]:
    return [min(max(round(side), 0), most) for side in sides]


def _enlarge(picture: Image, sides: list[float]) -> Image:
    """Cut so many pixels off at the left, right, top and bottom, and stretch the rest."""
    height, width = picture.shape[:2]
    left, right, top, bottom = _whole(sides, min(height, width) // 4)
    cut = picture[top : height - bottom, left : width - right]
    return cv2.resize(cut, (width, height), interpolation=cv2.INTER_LINEAR)


def _reduce(picture: Image, sides: list[float]) -> Image:
    height, width = picture.shape[:2]
    left, right, top, bottom = _whole(sides, min(height, width) // 4)
    padded = cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return cv2.resize(padded, (width, height), interpolation=cv2.INTER_LINEAR)


def _cover(
    picture: Image, labels: Labels, bonnet: Bonnet, fills: tuple[float, ...]
) -> tuple[Image, Labels]:
    """Put the bonnet over the bottom of the frame; what it hides is background."""
    height, width = picture.shape[:2]
    across = ((np.arange(width) + 0.5) / width - bonnet.middle) / bonnet.half_width
    rise = np.maximum(1.0 - np.abs(across) ** bonnet.power, 0.0)
    edge = height * (1.0 - bonnet.top * rise)  # the outline's row in each column
    first = min(int(edge.min()), height - 1)
    rows = np.arange(first, height)[:, None]
    share = np.clip(rows + 1.0 - edge, 0.0, 1.0)[..., None].astype(np.float32)
    # Smooth metal mirrors what is above it, upside down; paint shows how light it is at all.
    mirror = np.clip(2 * first - rows[:, 0], 0, height - 1)
    mirrored = cv2.blur(picture[mirror], (9, 5)).astype(np.float32)
    ambient = np.array(cv2.mean(picture)[:3])
    paint = np.array(bonnet.paint) ** 1.1 * ambient * 1.2
    slope = 1.15 - 0.35 * (rows - first) / max(height - first, 1)
    colour = paint * (1.0 - bonnet.shine) * slope[..., None]
    covered = picture.copy()
    below = covered[first:].astype(np.float32)
    below += share * (colour.astype(np.float32) + mirrored * np.float32(bonnet.shine) - below)
    covered[first:] = np.clip(below, 0.0, 255.0).astype(np.uint8)
    hidden = share[..., 0] >= 0.5

    def blank(label: Label, fill: float) -> Label:
        label = label.copy()
        label[first:][hidden] = fill
        return label

    return covered, tuple(blank(*pair) for pair in zip(labels, fills, strict=True))


def _develop(picture: Image, camera: CameraModel, darkness: float, grain: tuple[int, int]) -> Image:
    """Add the sensor's noise and turn light into the frame's values."""
    image = picture
    noise = min(camera.noise * (1.0 + 1.5 * darkness), 40.0)
    # In weak light the noise of reading the sensor adds to that of the light itself.
    read = READ * darkness if noise > 0.0 else 0.0
    levels = np.arange(256) / 255.0
    if noise > 0.0:
        if read > 0.0:
            image = cv2.LUT(image, _table(stabilised(levels, read)))
        height, width = picture.shape[:2]
        top, left = grain
        tile = _grain(height + ROLL, width + ROLL)[top : top + height, left : left + width]
        share = noise / GRAIN
        image = cv2.addWeighted(image, 1.0, tile, share, -128.0 * share)
    if read > 0.0:
        image = cv2.LUT(image, _table(destabilised(levels, read)))
    if (matrix := colour_matrix(camera.tone)) is not None:
        image = cv2.transform(image, matrix)
    image = cv2.LUT(image, _table(respond(levels * levels, camera.tone)))
    if camera.sharpening > 0.0:
        more = camera.sharpening
        image = cv2.addWeighted(image, 1.0 + more, cv2.blur(image, (3, 3)), -more, 0.0)
    return image


def _table(values: npt.NDArray[np.float64]) -> Frame:
    """Return a table for cv2.LUT of 256 values in 0..1."""
    return np.rint(values * 255.0).astype(np.uint8)


def _kernel(sigma: float) -> tuple[int, int]:
    side = 2 * math.ceil(1.25 * sigma) + 1  # beyond lies little, and each pixel costs
    return side, side


@functools.lru_cache(maxsize=2)
def _grain(height: int, width: int) -> Frame:
    """Return noise (height, width, 3) about 128, smeared a little as demosaicing does."""
    rng = np.random.default_rng(0)
    noise: Any = rng.standard_normal((height, width, 3), dtype=np.float32)
    noise += 0.5 * rng.standard_normal((height, width, 1), dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (3, 3), 0.5)
    noise *= np.float32(GRAIN) / noise.std()
    return np.asarray(np.clip(np.rint(noise + 128.0), 0.0, 255.0), np.uint8)
