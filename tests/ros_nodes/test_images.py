"""Image messages: every encoding against a picture worked by hand, and any bytes at all."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="needs the extra 'ros'")

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from edge_seg.frames.images import encode_image
from ros_nodes.messages.images import (
    ENCODINGS,
    ImageMessage,
    MalformedImageError,
    compressed_message,
    frame_of,
    image_message,
)
from ros_nodes.messages.stamps import from_ns, to_ns

RED, GREEN = (0, 0, 255), (0, 255, 0)
BGR = np.array([[RED, GREEN]], np.uint8)
"""One row, two pixels."""


def message(encoding: str, height: int, width: int, step: int, data: bytes, big: int = 0) -> Image:
    made = Image(encoding=encoding, height=height, width=width, step=step, is_bigendian=big)
    made.data = array("B", data)
    return made


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("bgr8", bytes([0, 0, 255, 0, 255, 0])),
        ("rgb8", bytes([255, 0, 0, 0, 255, 0])),
        ("bgra8", bytes([0, 0, 255, 9, 0, 255, 0, 9])),
        ("rgba8", bytes([255, 0, 0, 9, 0, 255, 0, 9])),
        ("bgr16", bytes([7, 0, 7, 0, 7, 255, 7, 0, 7, 255, 7, 0])),
        ("rgb16", bytes([7, 255, 7, 0, 7, 0, 7, 0, 7, 255, 7, 0])),
    ],
)
def test_colours_by_hand(encoding: str, data: bytes) -> None:
    assert frame_of(message(encoding, 1, 2, len(data), data)).tolist() == BGR.tolist()


def test_big_endian_keeps_the_other_byte() -> None:
    little = frame_of(message("mono16", 1, 2, 4, bytes([1, 200, 2, 100])))
    big = frame_of(message("mono16", 1, 2, 4, bytes([1, 200, 2, 100]), big=1))
    assert little[0, :, 0].tolist() == [200, 100]
    assert big[0, :, 0].tolist() == [1, 2]


def test_grey_is_repeated() -> None:
    assert frame_of(message("mono8", 1, 2, 2, b"\x05\xff")).tolist() == [[[5] * 3, [255] * 3]]


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")],
)
def test_yuv_by_itu_bt_601(encoding: str, order: str) -> None:
    # Limited range: luma 81 and 145 with the chroma of red, (90, 240).
    values = {"u": [90], "v": [240], "y": [81, 145]}
    data = bytes(values[letter].pop(0) for letter in order)
    frame = frame_of(message(encoding, 1, 2, 4, data)).astype(int)
    assert np.abs(frame[0, 0] - RED).max() <= 3
    assert frame[0, 1, 1] > frame[0, 0, 1] + 60  # the brighter of the two


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_padding_changes_nothing(encoding: str) -> None:
    samples, sample_bytes, _ = ENCODINGS[encoding]
    row = 4 * samples * sample_bytes
    rows = np.random.default_rng(0).integers(0, 256, (3, row), dtype=np.uint8)
    padded = np.pad(rows, ((0, 0), (0, 5)), constant_values=77)
    plain = frame_of(message(encoding, 3, 4, row, rows.tobytes()))
    assert np.array_equal(plain, frame_of(message(encoding, 3, 4, row + 5, padded.tobytes())))
    shortest = padded.tobytes()[:-5]  # the last row's padding left out
    assert np.array_equal(plain, frame_of(message(encoding, 3, 4, row + 5, shortest)))
    assert plain.shape == (3, 4, 3)
    assert plain.dtype == np.uint8


def test_a_bgr_frame_is_the_message_s_own_memory() -> None:
    sent = message("bgr8", 4, 4, 12, bytes(48))
    assert np.shares_memory(frame_of(sent), np.frombuffer(sent.data, np.uint8))


@pytest.mark.parametrize("format", ["png", "jpg"])
def test_compressed_is_what_the_file_would_be(format: str) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    payload = encode_image(frame, format)
    sent = compressed_message(payload, f"bgr8; {'jpeg' if format == 'jpg' else format}", Header())
    expected = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(frame_of(sent), expected)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (message("bgr9", 1, 1, 3, bytes(3)), "did you mean 'bgr8'"),
        (message("bgr8", 0, 5, 15, b""), "pixels"),
        (message("bgr8", 2**31, 2**31, 2**32 - 1, b""), "pixels"),
        (message("bgr8", 1, 2, 5, bytes(6)), "rows of 5 bytes"),
        (message("bgr8", 2, 2, 6, bytes(11)), "11 bytes"),
        (message("yuv422", 1, 3, 6, bytes(6)), "even"),
        (CompressedImage(format="h264", data=b"123"), "not an image"),
        (CompressedImage(format="jpeg", data=b"P6 2 2 255 " + bytes(12)), "jpeg and png"),
        (CompressedImage(format="jpeg", data=b""), "empty"),
        (CompressedImage(format="png", data=b"\x89PNG\r\n\x1a\n"), "truncated"),
    ],
)
def test_what_is_no_picture_says_why(sent: Image | CompressedImage, reason: str) -> None:
    with pytest.raises(MalformedImageError, match=reason):
        frame_of(sent)


@settings(max_examples=300, deadline=None)
@given(
    encoding=st.sampled_from([*sorted(ENCODINGS), "", "rgb", "bayer_rggb8"]),
    height=st.integers(0, 9),
    width=st.integers(0, 9),
    step=st.integers(0, 80),
    big=st.integers(0, 255),
    data=st.binary(max_size=700),
)
def test_any_message_is_a_frame_or_malformed(
    encoding: str, height: int, width: int, step: int, big: int, data: bytes
) -> None:
    try:
        frame = frame_of(message(encoding, height, width, step, data, big))
    except MalformedImageError as error:
        lines = str(error).splitlines()
    else:
        lines = [""]
        assert frame.shape == (height, width, 3)
    assert len(lines) == 1


@settings(max_examples=200, deadline=None)
@given(format=st.sampled_from(["jpeg", "png", "", "rgb8; jpeg compressed bgr8"]), data=st.binary())
def test_any_compressed_message_is_a_frame_or_malformed(format: str, data: bytes) -> None:
    with pytest.raises(MalformedImageError):
        frame_of(CompressedImage(format=format, data=data))


def test_a_mask_s_message_is_the_mask() -> None:
    mask = np.random.default_rng(2).integers(0, 3, (5, 7), dtype=np.uint8)
    header = Header(frame_id="camera", stamp=from_ns(1_500_000_001))
    sent = image_message(mask, "mono8", header)
    assert (sent.height, sent.width, sent.step, sent.encoding) == (5, 7, 7, "mono8")
    assert sent.header is header
    assert bytes(sent.data) == mask.tobytes()
    turned = image_message(mask.T, "mono8", header)  # not contiguous
    assert bytes(turned.data) == mask.T.tobytes()


def test_a_message_filled_again_is_the_last_picture() -> None:
    kept, header = ImageMessage(), Header()
    rng = np.random.default_rng(3)
    for shape in ((4, 6), (4, 6), (4, 6, 3), (2, 9), (4, 6)):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        sent = kept.filled(pixels, "mono8" if len(shape) == 2 else "bgr8", header)
        assert bytes(sent.data) == pixels.tobytes()
        assert (sent.height, sent.width, sent.step) == (*shape[:2], pixels[0].size)
    before = memoryview(sent.data).obj
    assert memoryview(kept.filled(np.zeros((4, 6), np.uint8), "mono8", header).data).obj is before


@given(st.integers(-(2**31) * 10**9, (2**31) * 10**9 - 1))
def test_stamps_there_and_back(nanoseconds: int) -> None:
    assert to_ns(from_ns(nanoseconds)) == nanoseconds
