"""Sources: files, folders, sets, videos and cameras give named frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSetWriter
from edge_seg.frames.images import encode_image
from edge_seg.frames.sources import open_source


def grey(level: int) -> np.ndarray:
    return np.full((48, 64, 3), level, np.uint8)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for level in range(0, 200, 20):
        writer.write(grey(level))
    writer.release()
    return path


def test_one_image(tmp_path: Path) -> None:
    (tmp_path / "road.png").write_bytes(encode_image(grey(9), "png"))
    source = open_source(tmp_path / "road.png")
    [(name, frame)] = source
    assert (name, source.count, source.is_stream) == ("road", 1, False)
    np.testing.assert_array_equal(frame, grey(9))


def test_an_image_without_an_ending_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "road").write_bytes(encode_image(grey(9), "jpg"))
    assert [name for name, _ in open_source(tmp_path / "road")] == ["road"]


def test_a_folder_is_read_in_natural_order_and_others_are_counted(tmp_path: Path) -> None:
    for number in (10, 9, 2, 1):
        (tmp_path / f"f{number}.png").write_bytes(encode_image(grey(number), "png"))
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "below").mkdir()
    source = open_source(tmp_path)
    assert [(name, int(frame[0, 0, 0])) for name, frame in source] == [
        ("f1", 1), ("f2", 2), ("f9", 9), ("f10", 10),
    ]  # fmt: skip
    assert (source.count, source.skipped) == (4, 1)


def test_equal_stems_keep_their_endings(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "b.png"):
        (tmp_path / name).write_bytes(encode_image(grey(1), name[-3:]))
    assert [name for name, _ in open_source(tmp_path)] == ["a.jpg", "a.png", "b"]


def test_a_frame_set_is_a_source(tmp_path: Path) -> None:
    with FrameSetWriter(tmp_path / "s", name="s") as writer:
        writer.add(grey(5), id="five", format="png")
    [(name, frame)] = open_source(tmp_path / "s")
    assert name == "five"
    np.testing.assert_array_equal(frame, grey(5))


def test_video_frames_come_in_order_and_again(video: Path) -> None:
    source = open_source(video)
    assert (source.count, source.fps, source.is_stream) == (10, 10.0, True)
    for _ in range(2):
        frames = list(source)
        assert [name for name, _ in frames][:2] == ["drive-000000", "drive-000001"]
        levels = [float(frame.mean()) for _, frame in frames]
        np.testing.assert_allclose(levels, range(0, 200, 20), atol=4)


@pytest.mark.parametrize(
    ("name", "payload", "words"),
    [
        ("empty.mp4", b"", "zero bytes"),
        ("text.txt", b"hello\n" * 99, "neither an image nor a video"),
        ("noise.mp4", bytes(range(256)) * 20, "as a video"),
        ("text.jpg", b"hello\n", "not an image"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, name: str, payload: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(payload)
    with pytest.raises(EdgeSegError, match=words) as caught:
        list(open_source(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_video_cut_short_ends_or_is_refused(video: Path) -> None:
    payload = video.read_bytes()
    for part in (1, 8, 32, 60):
        video.write_bytes(payload[: len(payload) * part // 64])
        try:
            frames = list(open_source(video))
        except EdgeSegError:
            continue
        assert 1 <= len(frames) <= 10


def test_missing_files_name_the_closest(tmp_path: Path) -> None:
    (tmp_path / "road.jpg").write_bytes(encode_image(grey(1)))
    with pytest.raises(EdgeSegError, match=r"did you mean '.*road.jpg'"):
        open_source(tmp_path / "raod.jpg")
    with pytest.raises(EdgeSegError, match="does not exist"):
        open_source(tmp_path / "none" / "road.jpg")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(EdgeSegError, match=r"no images \(1 other"):
        open_source(tmp_path)


@pytest.mark.parametrize("text", ["97", "camera:97"])
def test_a_camera_that_is_not_there(text: str) -> None:
    with pytest.raises(EdgeSegError, match="cannot open camera 97"):
        open_source(text)
