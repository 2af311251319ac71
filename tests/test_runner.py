"""Running over a source: what is written, under which name, and what never is."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edge_seg import runner
from edge_seg.cli.main import app
from edge_seg.draw import overlay
from edge_seg.errors import EdgeSegError
from edge_seg.files import temporary_prefix
from edge_seg.frames import FrameSet
from edge_seg.frames.sources import open_source
from edge_seg.preprocess import Frame
from edge_seg.segmenter import Segmenter

SIZE = (48, 80)


@pytest.fixture(scope="module")
def segmenter(tiny_bundle: Path) -> Iterator[Segmenter]:
    with Segmenter(tiny_bundle, threads=1) as opened:
        yield opened


@pytest.fixture
def frame(few_frames: FrameSet) -> Frame:
    return cv2.resize(few_frames.image(0), SIZE[::-1])  # type: ignore[return-value]


def write(path: Path, pixels: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), pixels)
    return path


def read(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, path
    return pixels


def make_video(path: Path, frame: Frame, count: int = 5, fps: float = 10.0) -> Path:
    kind = {".mp4": "mp4v", ".avi": "MJPG"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*kind), fps, SIZE[::-1])
    for _ in range(count):
        writer.write(frame)
    writer.release()
    return path


def test_an_image_gives_the_segmenters_mask_and_its_overlay(
    segmenter: Segmenter, frame: Frame, tmp_path: Path
) -> None:
    source = open_source(write(tmp_path / "road.png", frame))
    summary = runner.run(segmenter, source, tmp_path / "new" / "out")
    mask = segmenter(frame)
    out = tmp_path / "new" / "out"
    assert np.array_equal(read(out / "road.png"), mask)
    assert mask.shape == SIZE
    shown = read(out / "road.overlay.jpg").astype(int)
    assert np.abs(shown - overlay(frame, mask, segmenter.classes)).mean() < 8  # JPEG
    assert sorted(path.name for path in out.iterdir()) == ["road.overlay.jpg", "road.png"]
    assert summary.frames == 1
    assert summary.fps == pytest.approx(1e3 / summary.stages["total"].p50_ms)


def test_a_folder_a_limit_and_no_overlay(
    segmenter: Segmenter, frame: Frame, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.jpg", "a.png", "b.png", "c.png"):
        write(photos / name, frame)
    (photos / "notes.txt").write_text("not a frame")
    summary = runner.run(segmenter, open_source(photos), tmp_path / "out", False, limit=3)
    assert summary.frames == 3
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.jpg.png", "a.png.png", "b.png"]


def converted(kind: str, frame: Frame) -> np.ndarray:
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    alpha = np.full(frame.shape[:2], 128, np.uint8)
    return {
        "grey": grey,
        "alpha": np.dstack([frame, alpha]),
        "sixteen": frame.astype(np.uint16) * 257,
        "grey-sixteen": grey.astype(np.uint16) * 257,
    }[kind]


@pytest.mark.parametrize("kind", ["grey", "alpha", "sixteen", "grey-sixteen"])
def test_frames_of_every_pixel_format(
    segmenter: Segmenter, frame: Frame, tmp_path: Path, kind: str
) -> None:
    path = write(tmp_path / f"{kind}.png", converted(kind, frame))
    runner.run(segmenter, open_source(path), tmp_path / "out")
    mask = read(tmp_path / "out" / f"{kind}.png")
    if "grey" not in kind:  # the same colours, so the same mask
        assert np.array_equal(mask, segmenter(frame))
    assert mask.shape == SIZE


def test_a_cmyk_jpeg(segmenter: Segmenter, frame: Frame, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow makes the samples")
    path = tmp_path / "print.jpg"
    image.fromarray(frame[:, :, ::-1].copy()).convert("CMYK").save(path)
    runner.run(segmenter, open_source(path), tmp_path / "out")
    assert read(tmp_path / "out" / "print.png").shape == SIZE


@pytest.mark.parametrize("name", ["drive.mp4", "drive.avi"])
def test_a_video_gives_masks_and_one_overlay_video(
    segmenter: Segmenter, frame: Frame, tmp_path: Path, name: str
) -> None:
    source = open_source(make_video(tmp_path / name, frame))
    summary = runner.run(segmenter, source, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert summary.frames == 5
    assert names == [*(f"drive-{index:06d}.png" for index in range(5)), "drive.overlay.mp4"]
    assert read(tmp_path / "out" / "drive-000000.png").shape == SIZE
    shown = cv2.VideoCapture(str(tmp_path / "out" / "drive.overlay.mp4"))
    assert shown.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert shown.get(cv2.CAP_PROP_FPS) == 10
    done, picture = shown.read()
    assert done and picture.shape == frame.shape


def test_a_video_without_overlay_gives_masks_alone(
    segmenter: Segmenter, frame: Frame, tmp_path: Path
) -> None:
    source = open_source(make_video(tmp_path / "drive.mp4", frame))
    runner.run(segmenter, source, tmp_path / "out", with_overlay=False, limit=2)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["drive-000000.png", "drive-000001.png"]


class Endless:
    """A camera that gives one frame over and over, until somebody presses Ctrl-C."""

    name = "camera-0"
    count = None
    is_stream = True
    fps = None

    def __init__(self, frame: Frame, presses: int) -> None:
        self.frame, self.presses = frame, presses

    def __iter__(self) -> Iterator[tuple[str, Frame]]:
        for index in range(self.presses):
            yield f"camera-0-{index:06d}", self.frame
        raise KeyboardInterrupt


def test_ctrl_c_keeps_what_a_camera_gave(
    segmenter: Segmenter, frame: Frame, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        runner.run(segmenter, Endless(frame, 4), tmp_path)
    shown = cv2.VideoCapture(str(tmp_path / "camera-0.overlay.mp4"))
    assert shown.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    assert not list(tmp_path.glob(".*"))


@pytest.fixture
def network_camera(frame: Frame, tmp_path: Path) -> Iterator[str]:
    """The address of a camera that gives a few of its five frames and is gone."""
    data = bytearray(make_video(tmp_path / "camera.avi", frame).read_bytes())
    # An AVI file says how many frames it has, a camera does not.
    struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, 0)
    struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, 0)
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:  # the test is over
                return
            with connection:
                connection.sendall(data[: len(data) * 2 // 3])

    threading.Thread(target=serve, daemon=True).start()
    yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
    server.close()


def test_a_lost_camera_keeps_what_it_gave_and_ends_in_one_line(
    tiny_bundle: Path, network_camera: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app, ["run", str(tiny_bundle), network_camera, "-o", str(out), "--json", "--threads", "1"]
    )
    shown = json.loads(result.stdout)
    assert 1 <= shown["frames"] < 5
    (line,) = shown["unreadable"]
    assert line.startswith(f"stream was lost after {shown['frames']} frames")
    error = result.exception
    assert isinstance(error, EdgeSegError) and error.exit_code == 2 and str(error) == line
    assert len(list(out.glob("stream-*.png"))) == shown["frames"]
    video = cv2.VideoCapture(str(out / "stream.overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == shown["frames"]
    assert not list(out.glob(".*"))


def test_only_recent_timings_are_kept(
    segmenter: Segmenter, frame: Frame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "RECENT", 3)
    seen: list[int] = []
    quantiles = runner.quantiles
    monkeypatch.setattr(runner, "quantiles", lambda rows: seen.append(len(rows)) or quantiles(rows))
    source = open_source(make_video(tmp_path / "drive.mp4", frame, count=8))
    assert runner.run(segmenter, source, tmp_path / "out", False).frames == 8
    assert seen == [3]


def test_a_mask_never_takes_the_place_of_its_frame(
    segmenter: Segmenter, frame: Frame, tmp_path: Path
) -> None:
    path = write(tmp_path / "road.png", frame)
    before = path.read_bytes()
    with pytest.raises(EdgeSegError, match=r"would overwrite .*: name another folder with -o"):
        runner.run(segmenter, open_source(path), tmp_path / "." / ".." / tmp_path.name)
    assert path.read_bytes() == before
    jpeg = write(tmp_path / "other.jpg", frame)
    runner.run(segmenter, open_source(jpeg), tmp_path)
    assert read(tmp_path / "other.png").shape == SIZE


def test_a_file_where_the_folder_should_be(
    segmenter: Segmenter, frame: Frame, tmp_path: Path
) -> None:
    source = open_source(write(tmp_path / "road.png", frame))
    (tmp_path / "out").write_text("")
    with pytest.raises(EdgeSegError, match=r"out is a file"):
        runner.run(segmenter, source, tmp_path / "out")


def test_an_overlay_video_is_whole_or_absent(
    segmenter: Segmenter, frame: Frame, tmp_path: Path
) -> None:
    """A Ctrl-C is how the run of a camera ends: what was seen until then is the video."""
    source = open_source(make_video(tmp_path / "drive.mp4", frame))

    def ends_with(error: BaseException) -> runner.Track:
        def track(items, description, total):  # type: ignore[no-untyped-def]
            for index, item in enumerate(items):
                if index == 3:
                    raise error
                yield item

        return track

    with pytest.raises(ZeroDivisionError):
        runner.run(segmenter, source, tmp_path / "out", track=ends_with(ZeroDivisionError()))
    assert not list((tmp_path / "out").glob("*.mp4"))
    with pytest.raises(KeyboardInterrupt):
        runner.run(segmenter, source, tmp_path / "out", track=ends_with(KeyboardInterrupt()))
    video = cv2.VideoCapture(str(tmp_path / "out" / "drive.overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 3


def test_what_a_kill_left_in_the_folder_goes(
    segmenter: Segmenter, frame: Frame, tmp_path: Path
) -> None:
    source = open_source(write(tmp_path / "road.png", frame))
    out = tmp_path / "out"
    out.mkdir()
    dead = temporary_prefix().replace(f"-{os.getpid()}-", "-999999999-")
    (out / f"{dead}drive.overlay.mp4").write_bytes(b"half a video")
    runner.run(segmenter, source, out)
    assert not list(out.glob(".*"))
