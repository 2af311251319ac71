"""An image file's format and size from its first bytes, before anything is decoded.

    >>> import cv2, numpy as np
    >>> payload = cv2.imencode(".png", np.zeros((4, 6, 3), np.uint8))[1].tobytes()
    >>> read_header(payload)
    Header(format='png', width=6, height=4)

OpenCV's own limit (OPENCV_IO_MAX_IMAGE_PIXELS) is read once, when cv2 is imported, and is a
gigapixel by default; so the size is read here. Truncated files are found here too, because
decoders fill what is missing with grey and call it a success.
Sources: ISO/IEC 10918-1 (JPEG) annex B, PNG specification (third edition) 5.3 and 11.2,
WebP container specification (RFC 9649), TIFF 6.0 section 2, BITMAPFILEHEADER, Netpbm manual.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple


class Header(NamedTuple):
    """Format name and size in pixels."""

    format: str
    width: int
    height: int


def read_header(payload: bytes) -> Header | None:
    """Return format and size, or None where ``payload`` is no image in a format we read.

    Raises ValueError where the file is an image that ends too early or contradicts itself.
    """
    for starts, parse in _PARSERS:
        if starts.match(payload):
            try:
                return parse(payload)
            except (struct.error, IndexError):
                raise ValueError("it is truncated") from None
    return None


def _png(payload: bytes) -> Header:
    width, height = struct.unpack_from(">II", payload, 16)
    if payload.rfind(b"IEND") < 0:
        raise ValueError("it is truncated")
    return Header("png", width, height)


def _jpeg(payload: bytes) -> Header:
    # Walk the marker segments: the frame header (SOF) has the size, the scan (SOS) ends the walk.
    position, size = 2, None
    while True:
        if payload[position] != 0xFF:
            raise ValueError("its markers are broken")
        marker = payload[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        (length,) = struct.unpack_from(">H", payload, position + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", payload, position + 5)
            size = (width, height)
        if marker == 0xDA:
            break
        position += 2 + length
    if size is None:
        raise ValueError("it has no size")
    # Entropy-coded data never holds FF D9, so one after the scan's start is the image's end.
    if payload.rfind(b"\xff\xd9") < position:
        raise ValueError("it is truncated")
    return Header("jpeg", *size)


def _bmp(payload: bytes) -> Header:
    (header_size,) = struct.unpack_from("<I", payload, 14)
    if header_size == 12:
        width, height = struct.unpack_from("<HH", payload, 18)
    else:
        width, height = struct.unpack_from("<ii", payload, 18)
    (file_size,) = struct.unpack_from("<I", payload, 2)
    if len(payload) < file_size:
        raise ValueError("it is truncated")
    return Header("bmp", abs(width), abs(height))


def _webp(payload: bytes) -> Header:
    (riff_size,) = struct.unpack_from("<I", payload, 4)
    if len(payload) < riff_size + 8:
        raise ValueError("it is truncated")
    kind = payload[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(payload[24:27], "little") + 1
        height = int.from_bytes(payload[27:30], "little") + 1
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", payload, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", payload, 26))
    return Header("webp", width, height)


def _tiff(payload: bytes) -> Header:
    order = "<" if payload[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", payload, 4)
    (count,) = struct.unpack_from(order + "H", payload, directory)
    size = {}
    for index in range(count):
        tag, kind = struct.unpack_from(order + "HH", payload, directory + 2 + 12 * index)
        if tag in (256, 257):  # ImageWidth, ImageLength: SHORT or LONG
            value = "H" if kind == 3 else "I"
            (size[tag],) = struct.unpack_from(order + value, payload, directory + 10 + 12 * index)
    if len(size) < 2:
        raise ValueError("it has no size")
    return Header("tiff", size[256], size[257])


def _pnm(payload: bytes) -> Header:
    match = _PNM.match(payload)
    if match is None:
        raise ValueError("its header is broken")
    return Header("pnm", int(match[1]), int(match[2]))


_SPACE = rb"(?:\s|#[^\n]*\n)+"
_PNM = re.compile(rb"P[1-6]" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})\s")
_PARSERS = (
    (re.compile(rb"\xff\xd8\xff"), _jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"BM"), _bmp),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
    (re.compile(rb"II\*\0|MM\0\*"), _tiff),
    (re.compile(rb"P[1-6][\s#]"), _pnm),
)
