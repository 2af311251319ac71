"""Cameras: what one gives, how one that is lost is told from one that we left, and a Pi's own.

There is no camera here. A file opened as one stands for a camera that stops; a server that sends
frames without end is a network camera, unplugged or hanging; a module by the name of picamera2
stands for the Pi's.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_seg.device import Device
from edge_seg.errors import EdgeSegError
from edge_seg.frames import cameras
from edge_seg.frames.cameras import CameraSource, open_camera
from edge_seg.frames.sources import open_source

STAND_IN = """
import concurrent.futures
import os

import numpy as np

LOG: list[str] = []


class Picamera2:
    @staticmethod
    def global_camera_info() -> list[dict[str, object]]:
        return [{"Num": index} for index in range(int(os.environ["STAND_IN_CAMERAS"]))]

    def __init__(self, camera_num: int = 0) -> None:
        self.left = int(os.environ["STAND_IN_FRAMES"])
        if self.left < 0:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        LOG.append(f"open {camera_num}")

    def create_video_configuration(
        self, main: dict[str, object], buffer_count: int = 6
    ) -> dict[str, object]:
        assert set(main) <= {"format", "size"}
        return {"main": main, "buffer_count": buffer_count}

    def configure(self, camera_config: dict[str, object]) -> None:
        self.main = camera_config["main"]
        assert isinstance(self.main, dict)
        buffers = camera_config["buffer_count"]
        LOG.append(f"configure {self.main['format']} {self.main['size']} {buffers}")

    def start(self) -> None:
        LOG.append("start")

    def capture_array(self, name: str = "main", wait: float | None = None) -> np.ndarray:
        assert name == "main" and wait
        if not self.left:
            raise concurrent.futures.TimeoutError
        self.left -= 1
        width, height = self.main["size"]
        padded = np.zeros((height, width + 32, 3), np.uint8)
        return padded[:, :width]

    def cancel_all_and_flush(self) -> None:
        LOG.append("cancel")

    def close(self) -> None:
        assert self.left or LOG[-1] == "cancel", "a picamera2 that waits for a frame hangs here"
        LOG.append("close")
"""
"""What of picamera2 the source uses, as its manual and source (0.3) have it."""


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for level in range(0, 200, 4):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    return path


class Unplugged(CameraSource):
    """A camera that is lost when its file ends."""

    def __init__(self, path: Path) -> None:
        super().__init__("camera-0", str(path))
        self.count = None


def test_a_camera_that_ends_by_itself_was_lost(video: Path) -> None:
    source = Unplugged(video)
    for _ in range(2):
        names = [name for name, _ in source]
        assert (len(names), names[-1]) == (50, "camera-0-000049")
        (line,) = source.unreadable
        assert line.startswith("camera-0 was lost after 50 frames (unplugged, or it hangs)")


def test_a_camera_that_we_leave_was_not(video: Path) -> None:
    source = Unplugged(video)
    assert len(list(islice(source, 10))) == 10
    assert source.unreadable == []


def test_a_damaged_frame_is_no_lost_camera(video: Path) -> None:
    class Capture:
        """Every third read fails."""

        reads = 0

        def __init__(self) -> None:
            self.capture = cv2.VideoCapture(str(video))

        def read(self) -> tuple[bool, np.ndarray | None]:
            Capture.reads += 1
            return self.capture.read() if Capture.reads % 3 else (False, None)

        def __getattr__(self, name: str) -> object:
            return getattr(self.capture, name)

    class Stutters(Unplugged):
        def _capture(self) -> cv2.VideoCapture:
            return Capture()  # type: ignore[return-value]

    source = Stutters(video)
    assert len(list(source)) == 50
    assert Capture.reads > 75


@pytest.fixture
def network_camera(video: Path) -> Iterator[Callable[[bool], str]]:
    """Start a camera that gives two thirds of a drive to each who connects, then hangs or ends."""
    data = bytearray(video.read_bytes())
    # An AVI file says how many frames it has, a camera does not.
    struct.pack_into("<I", data, data.index(b"avih") + 8 + 16, 0)
    struct.pack_into("<I", data, data.index(b"strh") + 8 + 32, 0)
    sockets: list[socket.socket] = []

    def start(hangs: bool) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        sockets.append(server)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # the test is over
                    return
                connection.sendall(data[: len(data) * 2 // 3])
                if hangs:
                    sockets.append(connection)
                else:
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"

    yield start
    for each in sockets:
        each.close()


@pytest.mark.parametrize("hangs", [False, True], ids=["unplugged", "hangs"])
def test_a_network_camera_is_lost_and_never_waited_for_without_end(
    network_camera: Callable[[bool], str], hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "LIMIT_S", 1.0)
    source = open_source(network_camera(hangs))
    start = time.monotonic()
    frames = list(source)
    assert 20 < len(frames) < 50
    assert time.monotonic() - start < 10
    (line,) = source.unreadable
    assert line.startswith(f"stream was lost after {len(frames)} frames")


def test_a_network_address_that_says_how_long_it_is_ends_like_a_file(video: Path) -> None:
    source = open_source(f"file://{video}")
    assert len(list(source)) == source.count == 50
    assert source.unreadable == []


def test_an_address_without_a_camera() -> None:
    with pytest.raises(EdgeSegError, match=r"cannot open tcp://127.0.0.1:1: is it running"):
        open_source("tcp://127.0.0.1:1")


@pytest.mark.parametrize("text", ["camera:", "camera:usb", "camera:-1", "camera:pi99999"])
def test_cameras_that_have_no_such_name(text: str) -> None:
    with pytest.raises(EdgeSegError, match=r"camera:0 is /dev/video0, camera:pi a Raspberry Pi's"):
        open_source(text)


def test_a_pi_says_where_its_own_camera_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EdgeSegError) as caught:
        open_camera("97")
    assert "camera:pi" not in str(caught.value)
    pi = Device(model="Raspberry Pi 4 Model B Rev 1.4")
    monkeypatch.setattr(cameras, "read_device", lambda: pi)
    with pytest.raises(EdgeSegError, match=r"A camera on the Pi's ribbon cable is camera:pi$"):
        open_camera("97")


@pytest.fixture
def picamera2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a stand-in for picamera2 with that many cameras and frames."""

    def install(text: str = STAND_IN, cameras: int = 1, frames: int = 3) -> None:
        (tmp_path / "picamera2.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("STAND_IN_CAMERAS", str(cameras))
        monkeypatch.setenv("STAND_IN_FRAMES", str(frames))

    yield install
    sys.modules.pop("picamera2", None)


def test_the_pis_camera_gives_frames_until_it_is_lost(picamera2: Callable[..., None]) -> None:
    picamera2(frames=3)
    source = open_source("camera:pi")
    frames = list(source)
    assert [name for name, _ in frames] == [f"camera-pi-{index:06d}" for index in range(3)]
    frame = frames[2][1]
    assert (frame.shape, frame.dtype, frame.flags.c_contiguous) == ((720, 1280, 3), np.uint8, True)
    assert (source.count, source.is_stream) == (None, True)
    (line,) = source.unreadable
    assert line.startswith("camera-pi was lost after 3 frames")
    log = sys.modules["picamera2"].LOG
    # A request that never came is cancelled: closing would wait for it.
    assert log == ["open 0", "configure RGB888 (1280, 720) 4", "start", "cancel", "close"]


def test_the_pis_camera_is_closed_where_we_leave_it(picamera2: Callable[..., None]) -> None:
    picamera2(cameras=2, frames=9)
    source = open_source("camera:pi1")
    assert len(list(islice(source, 2))) == 2
    assert source.unreadable == []
    log = sys.modules["picamera2"].LOG
    assert (log[0], log[-1]) == ("open 1", "close") and "cancel" not in log


def test_a_pi_camera_that_is_not_there_or_busy(picamera2: Callable[..., None]) -> None:
    picamera2(cameras=0)
    with pytest.raises(EdgeSegError, match=r"no Pi camera 0: libcamera sees none; .* ribbon cable"):
        open_source("camera:pi")
    picamera2(cameras=1, frames=-1)
    with pytest.raises(EdgeSegError, match=r"cannot open Pi camera 0 \(.*did not complete.*\)"):
        list(open_source("camera:pi"))


def test_a_machine_without_picamera2() -> None:
    with pytest.raises(EdgeSegError, match=r"sudo apt install python3-picamera2.*site-packages"):
        open_source("camera:pi")


def test_a_picamera2_that_was_built_for_another_numpy(picamera2: Callable[..., None]) -> None:
    picamera2("raise ValueError('numpy.dtype size changed, may indicate binary incompatibility')")
    with pytest.raises(EdgeSegError, match=r"does not load \(numpy.dtype size.*'numpy<2'"):
        open_source("camera:pi")
