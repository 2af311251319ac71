"""Whatever an image file holds becomes (H, W, 3) uint8 BGR, or one line of error.

Samples are made, and the truth about them told, by Pillow.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_seg.errors import EdgeSegError
from edge_seg.frames.headers import read_header
from edge_seg.frames.images import decode_image, decode_mask, encode_image, read_image, read_mask

pillow = pytest.importorskip("PIL.Image", reason="Pillow makes the samples")

ROWS, COLUMNS = np.mgrid[0:60, 0:80]
RGB = np.stack(
    [COLUMNS * 255 // 79, ROWS * 255 // 59, (ROWS + COLUMNS) * 255 // 138], axis=2
).astype(np.uint8)
WIDE = (COLUMNS * 65535 // 79).astype(np.uint16)


def picture(mode: str = "RGB"):
    return pillow.fromarray(RGB).convert(mode)


def saved(image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def transparent():
    return pillow.merge("RGBA", [*picture().split(), pillow.new("L", (80, 60), 128)])


def turned() -> object:
    exif = pillow.Exif()
    exif[274] = 6  # orientation: turn by 90 degrees to see it upright
    return exif


SAMPLES = {
    "jpeg": lambda: saved(picture(), "JPEG", quality=95),
    "progressive": lambda: saved(picture(), "JPEG", quality=95, progressive=True),
    "grey-jpeg": lambda: saved(picture("L"), "JPEG"),
    "cmyk-jpeg": lambda: saved(picture("CMYK"), "JPEG", quality=95),
    "png": lambda: saved(picture(), "PNG"),
    "grey": lambda: saved(picture("L"), "PNG"),
    "grey-alpha": lambda: saved(picture("LA"), "PNG"),
    "alpha": lambda: saved(transparent(), "PNG"),
    "palette": lambda: saved(picture().quantize(64), "PNG"),
    "one-bit": lambda: saved(picture("1"), "PNG"),
    "bmp": lambda: saved(picture(), "BMP"),
    "webp": lambda: saved(picture(), "WEBP"),
    "webp-lossless": lambda: saved(picture(), "WEBP", lossless=True),
    "webp-alpha": lambda: saved(transparent(), "WEBP", lossless=True),
    "tiff": lambda: saved(picture(), "TIFF"),
    "tiff-lzw": lambda: saved(picture(), "TIFF", compression="tiff_lzw"),
    "tiff-cmyk": lambda: saved(picture("CMYK"), "TIFF"),
    "ppm": lambda: saved(picture(), "PPM"),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_equals_what_pillow_reads(kind: str) -> None:
    payload = SAMPLES[kind]()
    truth = np.asarray(pillow.open(io.BytesIO(payload)).convert("RGB"))[:, :, ::-1]
    frame = decode_image(payload, kind)
    assert (frame.shape, frame.dtype) == ((60, 80, 3), np.uint8)
    # Two JPEG decoders may round differently.
    assert np.abs(frame.astype(int) - truth).max() <= 3


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_to_eight(format: str) -> None:
    frame = decode_image(saved(pillow.fromarray(WIDE), format), "wide")
    assert np.abs(frame[:, :, 0].astype(int) - WIDE // 257).max() <= 1


def test_sixteen_bit_colour_keeps_its_high_byte() -> None:
    payload = cv2.imencode(".png", RGB.astype(np.uint16) * 257)[1].tobytes()
    np.testing.assert_array_equal(decode_image(payload, "wide"), RGB)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_exif_orientation_is_applied(format: str) -> None:
    options = {"quality": 95} if format == "JPEG" else {}
    frame = decode_image(saved(picture(), format, exif=turned(), **options), "turned")
    upright = np.rot90(RGB[:, :, ::-1], -1)
    assert frame.shape == (80, 60, 3)
    assert np.abs(frame.astype(int) - upright).max() < 24


@pytest.mark.parametrize("kind", SAMPLES)
def test_truncated_files_are_refused_or_whole(kind: str, capfd) -> None:
    payload = SAMPLES[kind]()
    whole = decode_image(payload, kind)
    for part in range(64):
        message = None
        try:
            frame = decode_image(payload[: len(payload) * part // 64], "cut.img")
        except EdgeSegError as error:
            message = str(error)
        if message is None:
            np.testing.assert_array_equal(frame, whole)
        else:
            assert "cut.img" in message
            assert "\n" not in message
    assert "OpenCV" not in capfd.readouterr().err


@pytest.mark.parametrize("kind", SAMPLES)
def test_headers_tell_the_size(kind: str) -> None:
    header = read_header(SAMPLES[kind]())
    assert header is not None
    assert (header.width, header.height) == (80, 60)


def huge_png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    size = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "zero bytes"),
        (b"hello, I am text", "not an image"),
        (b"\xff\xd8\xff\xe0 not really", "cannot decode"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"P6\n# a bomb\n90000 90000\n255\n", "megapixels"),
        (huge_png(), "100000x100000, above the limit of 64 megapixels"),
        (b"\0" * 100, "not an image"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, payload: bytes, words: str) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(payload)
    with pytest.raises(EdgeSegError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match="no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(EdgeSegError, match="cannot read"):
        read_image(tmp_path)


def test_byte_flips_never_crash() -> None:
    draw = np.random.default_rng(0)
    for kind in ("jpeg", "png", "webp", "tiff-lzw", "bmp", "ppm"):
        payload = SAMPLES[kind]()
        for _ in range(40):
            damaged = bytearray(payload)
            damaged[draw.integers(0, min(len(payload), 400))] ^= 1 << draw.integers(0, 8)
            try:
                frame = decode_image(bytes(damaged), kind)
            except EdgeSegError:
                continue
            assert frame.ndim == 3
            assert frame.dtype == np.uint8


def test_masks_keep_their_ids() -> None:
    ids = np.array([[0, 1, 2], [255, 7, 128]], np.uint8)
    for format in ("PNG", "BMP", "TIFF"):
        np.testing.assert_array_equal(decode_mask(saved(pillow.fromarray(ids), format), "m"), ids)
    three = pillow.fromarray(np.repeat(ids[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(decode_mask(saved(three, "PNG"), "m"), ids)
    wide = pillow.fromarray(ids.astype(np.uint16))
    np.testing.assert_array_equal(decode_mask(saved(wide, "PNG"), "m"), ids)


@pytest.mark.parametrize(
    ("image", "format", "words"),
    [
        (picture("L"), "JPEG", "JPEG mask"),
        (picture().quantize(8), "PNG", "palette"),
        (picture("1"), "PNG", "palette or 1-4 bit"),
        (picture(), "PNG", "colour picture"),
        (pillow.fromarray(WIDE), "PNG", "0..255"),
    ],
)
def test_pictures_that_would_change_ids_are_no_masks(tmp_path, image, format, words) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(saved(image, format))
    with pytest.raises(EdgeSegError, match=words):
        read_mask(path)


def test_encoding() -> None:
    np.testing.assert_array_equal(decode_image(encode_image(RGB, "png"), "x"), RGB)
    assert len(encode_image(RGB, "jpg", 30)) < len(encode_image(RGB, "jpg", 95))
