"""Pixels as CARLA's cameras send them: four bytes a pixel, blue first, the top row first.

    semantic(labels)      # the tag in red
    instance(labels)      # the tag in red, the actor's number in green (low byte) and blue
    depth(metres)         # 24 bits: red is the low byte; 2^24 - 1 is a kilometre
    rgb(picture)          # through the camera's tone curve

``labels`` and ``picture`` (H, W, 4) uint8 are what a scene's camera reads back; each function
returns an array of its own (H, W, 4), whose bytes are ready to be sent.

Encodings: CARLA's documentation, "Sensors reference".
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

from carla_bridge.world.camera.model import Tone
from carla_bridge.world.camera.tone import respond

Pixels = npt.NDArray[np.uint8]

OPAQUE, RED = np.uint32(0xFF000000), np.uint32(0x00FF0000)
"""Bytes of a pixel as one little-endian number."""
FARTHEST_M = 1000.0
"""Metres that the largest depth stands for."""
STEPS = 2**24 - 1
TONE = Tone()
"""The camera's curve: sRGB, as most of the training frames have it, without their spread."""


def semantic(labels: Pixels) -> Pixels:
    """Return the tags in the red channel."""
    words = labels.view(np.uint32)
    return ((words & RED) | OPAQUE).view(np.uint8)


def instance(labels: Pixels) -> Pixels:
    """Return tag and number: how the scene's shaders write them, but opaque."""
    return (labels.view(np.uint32) | OPAQUE).view(np.uint8)


def depth(metres: npt.NDArray[np.float32]) -> Pixels:
    """Return metres along the view (H, W), at most `FARTHEST_M`, in three bytes."""
    share = np.minimum(metres, np.float32(FARTHEST_M)) * np.float32(STEPS / FARTHEST_M)
    words = np.minimum(share, np.float32(STEPS)).astype(np.uint32)
    pixels = np.empty((*metres.shape, 4), np.uint8)
    bytes_ = words.view(np.uint8).reshape(pixels.shape)
    cv2.mixChannels([bytes_], [pixels], [0, 2, 1, 1, 2, 0])
    pixels[:, :, 3] = 255
    return pixels


def rgb(picture: Pixels) -> Pixels:
    """Return the camera's picture of the roots of light that a scene draws."""
    return np.asarray(cv2.LUT(picture, _curve()), np.uint8)


@functools.cache
def _curve() -> Pixels:
    """Return values (1, 256, 4) by root of light; the fourth channel is opaque whatever it was."""
    root = np.arange(256) / 255.0
    values = np.rint(respond(root * root, TONE) * 255.0).astype(np.uint8)
    opaque = np.full(256, 255, np.uint8)
    return np.stack([values, values, values, opaque], axis=-1)[None]
