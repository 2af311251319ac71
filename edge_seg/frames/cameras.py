"""Cameras: USB and network ones through OpenCV, the Raspberry Pi's own through picamera2.

    for name, frame in open_camera("0"):          # or "pi", "pi1"
        ...
    source.unreadable          # one line where the camera was lost, empty where we stopped

A camera ends when nobody asks for more; when it ends by itself it was lost (unplugged, or it
hangs), and the source says so. How long a lost one is waited for: unplugged, not at all. One that
hangs, `LIMIT_S` on the network and on a Pi's own; on USB ten seconds of OpenCV's own, which the
environment's OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT sets (modules/videoio/src/cap_v4l.cpp).

The Pi's own camera was written by picamera2's manual and source and run against a stand-in; it has
not been run on a Pi.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import cv2
import numpy as np

from edge_seg.device import read_device
from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.frames.images import quiet_opencv
from edge_seg.frames.sources import Source, VideoSource
from edge_seg.preprocess import Frame

LIMIT_S = 10.0
"""For one frame. Cameras give ten a second or more; some take seconds over the first."""
ATTEMPTS = 5
"""Reads that may fail in a row: a damaged JPEG from a USB camera is no lost camera."""
PI_SIZE = (1280, 720)
"""Width and height: what picamera2 takes for video where nobody says."""
PI_BUFFERS = 4
"""Frames in flight; more only cost memory, which a Pi Zero 2 W has little of."""


def open_camera(text: str) -> Source:
    """Open camera ``"0"`` (``/dev/video0``), ``"pi"``, or ``"pi1"`` (the second one of a Pi 5)."""
    match = re.fullmatch(r"(pi)?(\d{1,3})?", text)
    if match is None or not text:
        raise EdgeSegError(
            f"unknown camera '{text}': camera:0 is /dev/video0, camera:pi a Raspberry Pi's own"
        )
    number = int(match[2] or 0)
    if match[1]:
        return PiCameraSource(f"camera-{text}", number)
    return CameraSource(f"camera-{number}", number)


class CameraSource(VideoSource):
    """A camera by its number, or a network address; one that says how long it is, ends as a file.

    OpenCV is asked to buffer one frame, where the driver takes that: a frame is then at most as
    old as the frame before it took to work on.
    """

    def __init__(self, name: str, address: str | int) -> None:
        super().__init__(name, address)
        if isinstance(address, int):
            self.count = None

    def _open(self) -> cv2.VideoCapture:
        capture = super()._open()
        with quiet_opencv():
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture

    def _capture(self) -> cv2.VideoCapture:
        if isinstance(self._address, int):
            return cv2.VideoCapture(self._address)
        limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
        given = [value for limit in limits for value in (limit, int(LIMIT_S * 1000))]
        return cv2.VideoCapture(self._address, cv2.CAP_ANY, given)

    def _read(self, capture: cv2.VideoCapture) -> Frame | None:
        start = monotonic()
        with quiet_opencv():
            for _ in range(ATTEMPTS):
                frame = super()._read(capture)
                if frame is not None or monotonic() - start > LIMIT_S / 2:
                    return frame
        return None

    def _ended(self, count: int) -> None:
        if self.count is None:
            self.unreadable.append(_lost(self.name, count))

    def _refused(self) -> EdgeSegError:
        if isinstance(self._address, str):
            return EdgeSegError(
                f"cannot open {self._address}: is it running, and reached from here?"
            )
        return EdgeSegError(
            f"cannot open camera {self._address}: is it plugged in, free, "
            f"and may you read /dev/video{self._address}?{_pi_hint()}"
        )

    def _silent(self) -> EdgeSegError:
        return EdgeSegError(
            f"{self.name} opens but gives no frame: is another program using it?{_pi_hint()}"
        )


class PiCameraSource:
    """A camera on the Pi's ribbon cable, by libcamera's number. See the module's last words.

    Frames are (720, 1280, 3) BGR. picamera2 keeps the newest frame and lets older ones go.
    """

    is_stream = True
    fps: float | None = None
    count: int | None = None

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.unreadable: list[str] = []
        self._number = number
        self._picamera2 = _picamera2()
        found = len(self._picamera2.global_camera_info())
        if number >= found:
            raise EdgeSegError(
                f"no Pi camera {number}: libcamera sees {found or 'none'}; switch the Pi off, see "
                "to the ribbon cable, and ask `rpicam-hello --list-cameras`"
            )

    def __iter__(self) -> Iterator[tuple[str, Frame]]:
        self.unreadable = []
        index = 0
        with self._running() as camera:
            while (frame := _next_frame(camera)) is not None:
                yield f"{self.name}-{index:06d}", frame
                index += 1
        self.unreadable.append(_lost(self.name, index))

    @contextmanager
    def _running(self) -> Iterator[Any]:
        """Yield the camera, configured and started; it is closed in every case."""
        camera = None
        try:
            camera = self._picamera2(self._number)
            # Named for the order in a little-endian word: in memory it is B, G, R (the manual's
            # table of image formats).
            main = {"format": "RGB888", "size": PI_SIZE}
            configuration = camera.create_video_configuration(main=main, buffer_count=PI_BUFFERS)
            camera.configure(configuration)
            camera.start()
        except Exception as error:  # libcamera's come through as they are
            if camera is not None:
                camera.close()
            raise EdgeSegError(
                f"cannot open Pi camera {self._number} ({in_one_line(error)}): "
                "is another program using it?"
            ) from error
        try:
            yield camera
        finally:
            camera.close()


def _next_frame(camera: Any) -> Frame | None:
    """Return the newest frame, or None when none comes any more."""
    try:
        # A number of seconds to wait: picamera2 of 2024 and newer.
        frame = camera.capture_array("main", wait=LIMIT_S)
    except (concurrent.futures.TimeoutError, RuntimeError):
        camera.cancel_all_and_flush()  # else closing waits for the frame that never comes
        return None
    return np.ascontiguousarray(frame, np.uint8)


def _picamera2() -> Any:
    """Import picamera2, only where it is asked for; it comes with the system and not with pip."""
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    try:
        return importlib.import_module("picamera2").Picamera2
    except ModuleNotFoundError as error:
        raise EdgeSegError(
            f"the Pi camera needs picamera2 ({in_one_line(error)}): sudo apt install "
            "python3-picamera2, and make the virtual environment with "
            "`python3 -m venv --system-site-packages`"
        ) from error
    except (ImportError, ValueError) as error:  # what was built for numpy 1 says it so or so
        raise EdgeSegError(
            f"picamera2 does not load ({in_one_line(error)}): where the system's numpy is 1.x, "
            "pip install 'numpy<2' 'opencv-python-headless<4.12'"
        ) from error


def _lost(name: str, count: int) -> str:
    return (
        f"{name} was lost after {count} frames (unplugged, or it hangs): what it gave until then "
        "is done; plug it in and run again"
    )


def _pi_hint() -> str:
    """Return where else the camera may be, on a board that has a connector of its own."""
    if "Raspberry Pi" not in (read_device().model or ""):
        return ""
    return " A camera on the Pi's ribbon cable is camera:pi"
