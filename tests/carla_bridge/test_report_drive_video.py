"""The video decodes to the pictures that went in, is whole or not there, and keeps little."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from carla_bridge.report.overlay import annotate
from carla_bridge.report.video import VideoWriter
from edge_seg.classes import LANE
from edge_seg.errors import EdgeSegError

av = pytest.importorskip("av", reason="pip install av")


def grey(value: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def write(path: Path, pictures: list[np.ndarray], frames_per_s: float = 10.0) -> None:
    with VideoWriter(path, frames_per_s) as video:
        for picture in pictures:
            video.add(picture)


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def test_every_picture_comes_back_in_order_and_close_to_what_went_in(tmp_path):
    path = tmp_path / "drive.mp4"
    levels = [40, 80, 120, 160, 200] * 5
    write(path, [grey(level) for level in levels])
    pictures = decoded(path)
    assert len(pictures) == 25
    assert [round(float(p.mean())) for p in pictures] == pytest.approx(levels, abs=4)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 10
        assert float(stream.duration * stream.time_base) == pytest.approx(2.5)


def test_colours_are_not_exchanged(tmp_path):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :32] = (200, 30, 30)  # blue in OpenCV's order
    picture[:, 32:] = (30, 30, 200)
    write(tmp_path / "drive.mp4", [picture] * 3)
    (left, right) = np.array_split(decoded(tmp_path / "drive.mp4")[1], 2, axis=1)
    assert left[..., 0].mean() > 150 > 80 > left[..., 2].mean()
    assert right[..., 2].mean() > 150 > 80 > right[..., 0].mean()


@pytest.mark.parametrize(("given", "shown"), [((49, 65), (48, 64)), ((2, 3), (2, 2))])
def test_odd_sizes_lose_their_last_row_and_column(tmp_path, given, shown):
    write(tmp_path / "drive.mp4", [grey(90, *given)] * 2)
    capture = cv2.VideoCapture(str(tmp_path / "drive.mp4"))
    found, picture = capture.read()
    assert found
    assert picture.shape == (*shown, 3)
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 2


def test_the_same_pictures_give_the_same_bytes(tmp_path):
    pictures = [grey(20 + 7 * i) for i in range(20)]
    for name in ("a.mp4", "b.mp4"):
        write(tmp_path / name, pictures)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_an_error_leaves_the_old_video_and_nothing_else(tmp_path):
    path = tmp_path / "drive.mp4"
    path.write_bytes(b"old")

    def drive() -> None:
        with VideoWriter(path, 10.0) as video:
            video.add(grey(1))
            raise RuntimeError("simulator gone")

    with pytest.raises(RuntimeError, match="simulator gone"):
        drive()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["drive.mp4"]


def test_no_picture_is_no_video(tmp_path):
    write(tmp_path / "drive.mp4", [])
    assert list(tmp_path.iterdir()) == []


def test_another_size_is_refused_in_one_line(tmp_path):
    with pytest.raises(EdgeSegError, match="64x50 pixels does not fit a video of 64x48"):
        write(tmp_path / "drive.mp4", [grey(1), grey(1, height=50)])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_said_before_the_drive(tmp_path):
    with (
        pytest.raises(EdgeSegError, match="the folder does not exist"),
        VideoWriter(tmp_path / "no" / "drive.mp4", 10.0),
    ):
        pytest.fail("the block must not begin")


FULL_DISK = """
import resource, signal, sys
import numpy as np
from carla_bridge.report.video import VideoWriter
from edge_seg.errors import EdgeSegError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(0)
try:
    with VideoWriter(sys.argv[1], 10.0) as video:
        for _ in range(60):
            video.add(noise.integers(0, 255, (240, 320, 3), np.uint8))
except EdgeSegError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_is_one_line_and_no_file(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "drive.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("cannot write"), done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_length(tmp_path):
    def peak_mb() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    picture = grey(100, 240, 320)
    with VideoWriter(tmp_path / "drive.mp4", 10.0) as video:
        for _ in range(60):
            video.add(picture)
        before = peak_mb()
        for _ in range(600):  # 130 MB of pictures
            video.add(picture)
        assert peak_mb() - before < 20


def test_the_mask_is_drawn_over_the_frame_and_the_frame_left_alone():
    frame = grey(100, 100, 120)
    mask = np.zeros((50, 60), np.uint8)
    mask[25:, 30:] = 1  # the lower right quarter is road, drawn in purple: blue + red, less green
    drawn = annotate(frame, mask, LANE)
    assert (frame == 100).all()
    assert (drawn[:50] == 100).all()
    blue, green, red = drawn[75, 90].astype(int)
    assert blue > green
    assert red > green


def test_texts_alarm_and_steering_are_drawn_and_hostile_ones_do_no_harm():
    frame = grey(100, 240, 320)
    bar = annotate(frame, None, LANE, steer=1.0)
    changed = np.argwhere((bar != frame).any(axis=2))
    assert changed[:, 0].min() > 200
    assert changed[:, 1].max() > 160 + 50  # to the right
    text = annotate(
        frame, None, LANE, texts=["x" * 500, "été \u202e\n%s"], alarm="outside", steer=9.9
    )
    assert (text != frame).any()
    assert text.shape == frame.shape


@pytest.mark.parametrize(
    "points",
    [[[10, 10], [50, 200]], [[1e12, 5], [-1e12, 9]], [[np.nan, 1], [2, np.inf]], [[3, 3]], []],
)
def test_lines_stay_inside_the_picture_wherever_they_lead(points):
    line = np.array(points, float).reshape(-1, 2)
    drawn = annotate(grey(100, 240, 320), None, LANE, lines=[line])
    assert drawn.shape == (240, 320, 3)
    if len(points) == 2 and np.isfinite(line).all() and line.max() < 1e6:
        assert (drawn[105, 30] != 100).any()
