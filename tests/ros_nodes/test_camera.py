"""The camera node in a process of its own: what it sends, how often, and how it ends."""

from __future__ import annotations

import http.server
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from rclpy.qos import QoSProfile, qos_profile_sensor_data
from ros_process import NodeProcess, looking, node_process, refused, until
from sensor_msgs.msg import CompressedImage, Image

from edge_seg.errors import EdgeSegError
from ros_nodes.camera.pace import Pace
from ros_nodes.declare import declare
from ros_nodes.messages.images import frame_of
from ros_nodes.messages.stamps import to_ns

CAMERA = "ros_nodes.camera.main"
WIDTH, HEIGHT = 64, 48
BLUE = 200
"""Of every frame; green is 10 times its number."""


def picture(number: int) -> np.ndarray:
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[:] = (BLUE, 10 * number, 0)
    return frame


def number_in(frame: np.ndarray) -> int:
    return round(float(frame[..., 1].mean()) / 10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "road"
    place.mkdir()
    for number in range(6):
        cv2.imwrite(str(place / f"{number}.png"), picture(number))
    return place


def seen(
    kind: type, topic: str, count: int, qos: QoSProfile | int = qos_profile_sensor_data
) -> list[tuple[int, Any]]:
    """Return (when it came, message) of so many messages; a plain depth is reliable."""
    found: list[tuple[int, Any]] = []
    with looking() as here:
        clock = here.node.get_clock()
        here.node.create_subscription(
            kind, topic, lambda message: found.append((clock.now().nanoseconds, message)), qos
        )
        here.until(lambda: len(found) >= count)
    return found


def test_a_folder_goes_round_and_round_at_its_rate(folder: Path, tmp_path: Path) -> None:
    with node_process(
        CAMERA,
        tmp_path,
        "-r",
        "image:=/front/image",
        source=folder,
        rate_hz=20,  # whole numbers will do
        frame_id="front",
        reliability="reliable",
    ) as camera:
        found = seen(Image, "/front/image", 30, qos=10)
    assert f"{folder} at 20 Hz on /front/image" in camera.errors()
    assert "frames published" in camera.errors()
    numbers = [number_in(frame_of(message)) for _, message in found]
    assert numbers == [(numbers[0] + i) % 6 for i in range(len(numbers))]
    for arrived, message in found:
        assert (message.encoding, message.width, message.height) == ("bgr8", WIDTH, HEIGHT)
        assert message.header.frame_id == "front"
        assert -1e6 < arrived - to_ns(message.header.stamp) < 1e9
        assert tuple(frame_of(message)[0, 0])[::2] == (BLUE, 0)
    stamps = np.array([to_ns(message.header.stamp) for _, message in found]) / 1e9
    assert np.diff(stamps).mean() == pytest.approx(0.05, abs=0.01)
    assert camera.end_s < 2.0


def test_rgb_of_another_size(folder: Path, tmp_path: Path) -> None:
    with node_process(
        CAMERA,
        tmp_path,
        source=folder,
        encoding="rgb8",
        width=32,
        reliability="reliable",
    ):
        (_, message), *_ = seen(Image, "image", 1)
    assert (message.encoding, message.width, message.height, message.step) == ("rgb8", 32, 24, 96)
    assert bytes(message.data)[2] == BLUE


def test_compressed_follows_the_image_topic(folder: Path, tmp_path: Path) -> None:
    with node_process(
        CAMERA, tmp_path, "-r", "image:=/front/image", source=folder, transport="compressed"
    ):
        (_, message), *_ = seen(CompressedImage, "/front/image/compressed", 1)
    assert message.format == "jpeg"
    frame = frame_of(message)
    assert frame.shape == (HEIGHT, WIDTH, 3)
    assert abs(int(frame[0, 0, 0]) - BLUE) < 8


def test_a_file_that_shall_not_loop_ends_the_node(folder: Path, tmp_path: Path) -> None:
    with node_process(CAMERA, tmp_path, source=folder, loop=False, rate_hz=50.0) as camera:
        assert camera.wait() == 0
    assert "6 frames published, 0 late" in camera.errors()


@contextmanager
def mjpeg_camera(port: int = 0) -> Iterator[int]:
    """Yield the port of a network camera that gives 20 frames a second until it is unplugged."""
    unplugged = threading.Event()

    class Camera(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=f")
            self.end_headers()
            for number in range(10_000):
                jpeg = cv2.imencode(".jpg", picture(number % 20))[1].tobytes()
                head = f"--f\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                except OSError:
                    return
                if unplugged.wait(0.05):
                    return

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Camera)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        unplugged.set()
        server.shutdown()
        server.server_close()


def test_a_camera_that_is_lost_is_found_again(tmp_path: Path) -> None:
    with ExitStack() as plug, looking() as here:
        found: list[Image] = []
        here.node.create_subscription(Image, "image", found.append, qos_profile_sensor_data)
        port = plug.enter_context(mjpeg_camera())
        address = f"http://127.0.0.1:{port}/video.mjpg"
        with node_process(CAMERA, tmp_path, source=address) as camera:
            here.until(lambda: len(found) > 5)
            plug.close()
            camera.says("was lost after")
            camera.says(f"cannot open {address}")
            before = len(found)
            plug.enter_context(mjpeg_camera(port))
            here.until(lambda: len(found) > before + 5)
    assert "the camera's rate on /image" in camera.errors()
    assert camera.end_s < 2.0


def worlds_of(camera: NodeProcess) -> list[psutil.Process]:
    return list(psutil.Process(camera.process.pid).children())


@pytest.fixture
def _needs_the_world() -> None:
    pytest.importorskip("carla", reason="needs the extra carla")
    pytest.importorskip("panda3d", reason="needs the extra carla")


@pytest.mark.usefixtures("_needs_the_world")
def test_a_simulated_car_s_camera_ends_with_its_world(tmp_path: Path) -> None:
    source = "world:Straight?size=160x120&fps=10"
    with node_process(CAMERA, tmp_path, source=source) as camera:
        found = seen(Image, "image", 5)
        (world,) = worlds_of(camera)
        assert camera.end(signal.SIGINT) == 0
        assert camera.end_s < 2.0
    assert not world.is_running()
    assert "Traceback" not in camera.errors()
    frames = [frame_of(message) for _, message in found]
    assert frames[0].shape == (120, 160, 3)
    assert not np.array_equal(frames[0], frames[1])


@pytest.mark.usefixtures("_needs_the_world")
def test_a_world_that_is_still_starting_ends_with_the_node(tmp_path: Path) -> None:
    with node_process(CAMERA, tmp_path, source="world:Straight") as camera:
        until(lambda: worlds_of(camera))
        (world,) = worlds_of(camera)
        assert camera.end() == 0
        assert camera.end_s < 2.5
    until(lambda: not world.is_running(), 2.0)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "nothing to show: -p source:=road.mp4"),
        ({"source": "none.mp4"}, "no such file: none.mp4"),
        ({"source": "lane-mini", "encoding": "bgr"}, "did you mean 'bgr8'?"),
    ],
)
def test_a_wrong_parameter_is_one_line_and_two(
    parameters: dict[str, object], said: str, tmp_path: Path
) -> None:
    assert said in refused(CAMERA, tmp_path, **parameters)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("20", 20.0),
        ("0.5", 0.5),
        ("-1.0", "parameter rate_hz: choose 0 to 1000"),
        ("-1", "parameter rate_hz: choose 0 to 1000"),
        ("fast", "parameter rate_hz: 'fast' is no number"),
        ("true", "parameter rate_hz: 'True' is no number"),
    ],
)
def test_a_number_may_be_written_without_a_point(given: str, expected: float | str) -> None:
    assert value_of("rate_hz", given, 0.0, limits=(0.0, 1000.0)) == expected


@pytest.mark.parametrize(
    ("given", "default", "more", "expected"),
    [
        ("0", "", {}, "parameter source is text, quoted if it reads as a number"),
        ("raw", "raw", {"choices": ("raw", "compressed")}, "raw"),
        ("1", True, {}, "parameter source is true or false"),
        ("2.5", 1, {}, "parameter source is a whole number"),
        ("101", 1, {"limits": (1, 100)}, "parameter source: choose 1 to 100"),
        ("7", 1, {"limits": (1, 100)}, 7),
    ],
)
def test_a_parameter_that_does_not_fit_says_what_would(
    given: str, default: Any, more: dict[str, Any], expected: object
) -> None:
    assert value_of("source", given, default, **more) == expected


def value_of(name: str, given: str, default: Any, **more: Any) -> object:
    """Return what a parameter is that is given on the command line, or what is said of it."""
    arguments = ["--ros-args", "-p", f"{name}:={given}"]
    with looking(arguments=arguments) as here:
        try:
            return declare(here.node, name, default, "a test's", **more)
        except EdgeSegError as error:
            return str(error)


def test_the_schedule_neither_drifts_nor_bunches() -> None:
    pace, stopped = Pace(50.0), threading.Event()
    start = time.monotonic()
    for _ in range(11):
        assert pace.wait(stopped)
    assert 0.2 <= time.monotonic() - start < 0.3
    time.sleep(0.105)  # five times are missed
    for _ in range(3):
        pace.wait(stopped)
    assert time.monotonic() - start >= 0.3 + 0.04
    assert pace.late in (4, 5)
    stopped.set()
    assert not pace.wait(stopped)


def test_of_a_camera_s_frames_those_are_taken_that_are_due() -> None:
    pace = Pace(10.0)
    taken = 0
    start = time.monotonic()
    while time.monotonic() - start < 0.95:
        taken += pace.due()
        time.sleep(0.01)
    assert taken in (9, 10, 11)
