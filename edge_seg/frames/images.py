"""Image files in and out: whatever the file holds, a frame is (H, W, 3) uint8 BGR.

    frame = read_image("road.jpg")
    mask = read_mask("road.png")
    Path("copy.png").write_bytes(encode_mask(mask))

Formats: JPEG, PNG, BMP, WebP, TIFF, PNM. Grey is repeated into three channels, alpha is
dropped, 16-bit samples keep their high byte, CMYK is converted, EXIF orientation is applied.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_seg.errors import EdgeSegError
from edge_seg.frames.headers import Header, read_header
from edge_seg.preprocess import Frame, Mask

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
"""FFmpeg's AV_LOG_QUIET, read by OpenCV when it opens its first video: our errors say it."""

MAX_PIXELS = 64_000_000
"""Frames above 64 megapixels are refused: no camera on a device gives them, and decoding one
takes more memory than a small device has. A limit of this project's choosing."""

SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
)  # fmt: skip
"""File name endings of the formats that are read, in lower case."""


def read_image(path: Path | str) -> Frame:
    """Read an image file as a frame, (H, W, 3) uint8 BGR.

    Raises `EdgeSegError` where the file is missing, unreadable, empty, truncated, no image,
    or above `MAX_PIXELS`.
    """
    return decode_image(read_bytes(path), path)


def read_mask(path: Path | str) -> Mask:
    """Read a mask file, (H, W) uint8 class ids.

    Raises `EdgeSegError` as `read_image` does, and for JPEG, palette and colour pictures, whose
    pixels are not class ids.
    """
    return decode_mask(read_bytes(path), path)


def read_depth(path: Path | str) -> npt.NDArray[np.float32]:
    """Read a depth file, 16-bit grey PNG in millimetres: (H, W) float32 metres, 0 where unknown.

    Raises `EdgeSegError` as `read_image` does, and for any other kind of picture.
    """
    payload = read_bytes(path)
    _check_header(payload, path)
    depth = _decode(payload, cv2.IMREAD_UNCHANGED, path)
    if depth.dtype != np.uint16 or depth.ndim != 2:
        raise EdgeSegError(f"{path}: a depth is 16-bit grey, in millimetres: export it again")
    return depth.astype(np.float32) / np.float32(1000)


def decode_image(payload: bytes, path: Path | str) -> Frame:
    """Decode an image file's bytes; ``path`` is what error messages call it."""
    _check_header(payload, path)
    return _decode(payload, cv2.IMREAD_COLOR, path)


def decode_mask(payload: bytes, path: Path | str) -> Mask:
    """Decode a mask file's bytes; ``path`` is what error messages call it."""
    header = _check_header(payload, path)
    if header.format == "jpeg":
        raise EdgeSegError(f"{path}: a JPEG mask has blurred class ids: save masks as PNG")
    # PNG's IHDR: bit depth at byte 24, colour type at 25. OpenCV stretches small depths to
    # 0..255 and replaces palette indices by colours; both would silently change the ids.
    if header.format == "png" and (payload[24] < 8 or payload[25] == 3):
        raise EdgeSegError(f"{path}: a palette or 1-4 bit mask: save it as 8-bit grey class ids")
    mask = _decode(payload, cv2.IMREAD_UNCHANGED, path)
    if mask.ndim == 3:
        if not (mask[:, :, :3] == mask[:, :, :1]).all():
            raise EdgeSegError(
                f"{path}: a colour picture is no mask: save it as 8-bit grey class ids"
            )
        mask = mask[:, :, 0]
    if mask.dtype != np.uint8 and not (mask.dtype == np.uint16 and mask.max() <= 255):
        raise EdgeSegError(f"{path}: class ids must be 0..255: save the mask as 8-bit grey")
    return np.ascontiguousarray(mask, dtype=np.uint8)


def encode_image(image: Frame, format: str = "jpg", quality: int = 92) -> bytes:
    """Encode a frame as ``jpg`` (``quality`` 1..100) or ``png`` (bit-exact)."""
    if format not in ("jpg", "png"):
        raise EdgeSegError(f"cannot write frames as {format!r}: choose jpg or png")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise EdgeSegError(f"a frame is (H, W, 3) uint8, not {image.shape} {image.dtype}")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if format == "jpg" else []
    return _encode(f".{format}", image, options)


def encode_mask(mask: Mask) -> bytes:
    """Encode a mask (H, W) uint8 as PNG, bit-exact."""
    if mask.ndim != 2 or mask.dtype != np.uint8 or mask.size == 0:
        raise EdgeSegError(f"a mask is (H, W) uint8, not {mask.shape} {mask.dtype}")
    return _encode(".png", mask, [])


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's own log lines off stderr: the error that we raise says it in one line."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def read_bytes(path: Path | str) -> bytes:
    """Read a file's content; a missing or unreadable file is an `EdgeSegError`."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise EdgeSegError(f"no such file: {path}") from None
    except OSError as error:
        raise EdgeSegError(f"cannot read {path}: {error.strerror or error}") from error


def _check_header(payload: bytes, path: Path | str) -> Header:
    if not payload:
        raise EdgeSegError(f"{path} is empty (zero bytes): copy it again")
    try:
        header = read_header(payload)
    except ValueError as error:
        raise EdgeSegError(f"cannot decode {path}: {error}; copy it again") from None
    if header is None:
        raise EdgeSegError(
            f"{path} is not an image that edge-seg reads (JPEG, PNG, BMP, WebP, TIFF, PNM)"
        )
    if header.width * header.height > MAX_PIXELS:
        raise EdgeSegError(
            f"{path} is {header.width}x{header.height}, above the limit of "
            f"{MAX_PIXELS // 1_000_000} megapixels: make it smaller"
        )
    return header


def _decode(payload: bytes, flags: int, path: Path | str) -> np.ndarray:
    try:
        with quiet_opencv():
            pixels = cv2.imdecode(np.frombuffer(payload, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.size == 0:
        raise EdgeSegError(
            f"cannot decode {path}: it is damaged or of an unusual kind; save it again"
        )
    return pixels


def _encode(suffix: str, pixels: np.ndarray, options: list[int]) -> bytes:
    done, payload = cv2.imencode(suffix, pixels, options)
    if not done:
        raise EdgeSegError(
            f"OpenCV cannot write {suffix} files: install opencv-python-headless again"
        )
    return payload.tobytes()
