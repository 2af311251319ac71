"""Image messages to frames, masks to image messages, without cv_bridge and without slow setters.

    frame = frame_of(message)                  # Image or CompressedImage -> (H, W, 3) uint8 BGR
    publisher.publish(image_message(mask, "mono8", message.header))
    publisher.publish(kept.filled(mask, "mono8", message.header))     # kept = ImageMessage()

`frame_of` raises `MalformedImageError` for anything else than a picture, whatever the sender
wrote. A frame may share the message's memory: it lives as long as it is used, and nobody writes
to it. Encodings and their meaning: sensor_msgs/image_encodings.hpp; ``yuv422`` is U Y V Y.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from edge_seg.errors import EdgeSegError, closest
from edge_seg.frames.headers import read_header
from edge_seg.frames.images import MAX_PIXELS, decode_image
from edge_seg.preprocess import Frame

Pixels = npt.NDArray[Any]


class MalformedImageError(EdgeSegError):
    """A message that holds no picture; the reason is the sender's to mend."""


def _as_it_is(pixels: Pixels) -> Pixels:
    return pixels


def _converted(code: int) -> Callable[[Pixels], Pixels]:
    return lambda pixels: cv2.cvtColor(pixels, code)


ENCODINGS: dict[str, tuple[int, int, Callable[[Pixels], Pixels]]] = {
    "bgr8": (3, 1, _as_it_is),
    "rgb8": (3, 1, _converted(cv2.COLOR_RGB2BGR)),
    "bgra8": (4, 1, _converted(cv2.COLOR_BGRA2BGR)),
    "rgba8": (4, 1, _converted(cv2.COLOR_RGBA2BGR)),
    "mono8": (1, 1, _converted(cv2.COLOR_GRAY2BGR)),
    "bgr16": (3, 2, _as_it_is),
    "rgb16": (3, 2, _converted(cv2.COLOR_RGB2BGR)),
    "mono16": (1, 2, _converted(cv2.COLOR_GRAY2BGR)),
    "yuv422": (2, 1, _converted(cv2.COLOR_YUV2BGR_UYVY)),
    "uyvy": (2, 1, _converted(cv2.COLOR_YUV2BGR_UYVY)),
    "yuv422_yuy2": (2, 1, _converted(cv2.COLOR_YUV2BGR_YUYV)),
    "yuyv": (2, 1, _converted(cv2.COLOR_YUV2BGR_YUYV)),
}
"""Samples a pixel, bytes a sample, and how to BGR. Of two bytes the high one is kept."""

COMPRESSED = ("jpeg", "png")
"""What a CompressedImage may hold; what its ``format`` says is free text, and is not asked."""


def frame_of(message: Image | CompressedImage) -> Frame:
    """Return the picture, (H, W, 3) uint8 BGR; raises `MalformedImageError`."""
    if isinstance(message, CompressedImage):
        return _decompressed(message)
    if message.encoding not in ENCODINGS:
        raise MalformedImageError(
            f"encoding {message.encoding[:40]!r}: {closest(message.encoding[:40], ENCODINGS)}"
        )
    samples, sample_bytes, to_bgr = ENCODINGS[message.encoding]
    pixels = _pixels(message, samples, sample_bytes)
    if samples == 2 and message.width % 2:
        raise MalformedImageError(f"{message.encoding} is {message.width} wide: must be even")
    return np.asarray(to_bgr(pixels), np.uint8)


def _pixels(message: Image, samples: int, sample_bytes: int) -> Pixels:
    """Return (H, W, samples) uint8, a view of the message where its samples are bytes."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    row = width * samples * sample_bytes
    if not 0 < height * width <= MAX_PIXELS:
        raise MalformedImageError(f"{width}x{height} pixels: 1 to {MAX_PIXELS} are taken")
    if step < row:
        raise MalformedImageError(
            f"rows of {step} bytes: {width} pixels of {message.encoding} are {row}"
        )
    flat = np.frombuffer(message.data, np.uint8)
    needed = step * (height - 1) + row  # some drivers leave out the last row's padding
    if flat.size < needed:
        raise MalformedImageError(f"{flat.size} bytes: {height} rows of {step} need {needed}")
    rows = np.ndarray((height, row), np.uint8, flat, strides=(step, 1))
    if sample_bytes == 2:
        rows = np.ascontiguousarray(rows[:, (0 if message.is_bigendian else 1) :: 2])
    return rows.reshape(height, width, samples)


def _decompressed(message: CompressedImage) -> Frame:
    payload = bytes(message.data)
    try:
        header = read_header(payload)
        if header is not None and header.format not in COMPRESSED:
            raise MalformedImageError(f"compressed as {header.format}: only jpeg and png are read")
        return decode_image(payload, "a compressed image")
    except (EdgeSegError, ValueError) as error:
        raise MalformedImageError(str(error)) from error


class ImageMessage:
    """An Image message that is filled anew for each frame: nothing is allocated while its size
    stays. ROS copies what it publishes, so it may be filled again when ``publish`` is back.
    """

    def __init__(self) -> None:
        self._message = Image()

    def filled(self, pixels: npt.NDArray[np.uint8], encoding: str, header: Header) -> Image:
        """Return it with (H, W) or (H, W, C) pixels and that very header."""
        message = self._message
        message.header = header
        message.height, message.width = pixels.shape[:2]
        message.encoding = encoding
        message.step = pixels[0].size
        buffer = np.ascontiguousarray(pixels).data.cast("B")
        if len(message.data) == len(buffer):
            memoryview(message.data)[:] = buffer
        else:
            message.data = _bytes(buffer)
        return message


def image_message(pixels: npt.NDArray[np.uint8], encoding: str, header: Header) -> Image:
    """Return a new Image of (H, W) or (H, W, C) uint8 pixels with that very header."""
    return ImageMessage().filled(pixels, encoding, header)


def compressed_message(payload: bytes, format: str, header: Header) -> CompressedImage:
    """Return a CompressedImage of an encoded picture; ``format`` is "jpeg" or "png"."""
    message = CompressedImage(format=format)
    message.header = header
    message.data = _bytes(memoryview(payload))
    return message


def _bytes(buffer: memoryview) -> array[int]:
    """Return what rclpy's setter takes as it is; it looks at every element of anything else."""
    data = array("B")
    data.frombytes(buffer)
    return data
