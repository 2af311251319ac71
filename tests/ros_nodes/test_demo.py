"""``edge-seg ros-demo``: the whole command as a user runs it, and what it says where it cannot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

pytest.importorskip("rclpy", reason="needs the extra 'ros'")

import ros_process  # noqa: F401 - keeps ROS on the loopback

from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from ros_nodes.own_process import OwnProcess
from ros_nodes.segmentation.counts import STAGES

COMMAND = (sys.executable, "-m", "edge_seg.cli", "ros-demo")


def demo(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_a_bundle_on_a_camera_of_frames(
    tmp_path: Path, tiny_bundle: Path, few_frames: FrameSet
) -> None:
    picture = tmp_path / "last.jpg"
    source = ["--source", few_frames.path, "--rate", "20", "--size", "160x120"]
    done = demo(tiny_bundle, *source, "--seconds", "3", "-o", picture, "--json")
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    assert numbers["schema"] == "edge-seg/ros-demo-1"
    assert numbers["bundle"] == "tiny.edgeseg"
    assert numbers["engine"] == "onnxruntime int8"
    assert numbers["masks"] > 20
    assert tuple(numbers["stages_ms"]) == STAGES
    assert 0.0 < numbers["stages_ms"]["total"][0] <= numbers["heard_ms"][0] + 1.0
    shown = cv2.imread(str(picture))
    assert shown is not None
    assert shown.shape == (120, 160, 3)


def test_numbers_as_a_table(tmp_path: Path, tiny_bundle: Path, few_frames: FrameSet) -> None:
    arguments = ["--source", few_frames.path, "--seconds", "1", "-o", tmp_path / "last.jpg"]
    done = demo(tiny_bundle, *arguments)
    assert done.returncode == 0, done.stderr
    assert "stamp to listener" in done.stdout
    assert "tiny.edgeseg (onnxruntime int8)" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.edgeseg"], "no such file"),
        (["BUNDLE", "--source", "no-such-video.mp4"], "no such file"),
        (["BUNDLE", "--size", "wide"], "width x height"),
        (["BUNDLE", "--size", "0x480"], "each side is 1 to 16384"),
        (["BUNDLE", "--source", ""], "--source is empty"),
        (["BUNDLE", "-o", "last.txt"], "end it in .jpg or .png"),
        (["BUNDLE", "-o", "/no/such/folder/x.jpg"], "/no/such/folder"),
    ],
)
def test_what_it_cannot_show_is_one_line_and_two(
    tmp_path: Path, tiny_bundle: Path, arguments: list[str], words: str
) -> None:
    given = [str(tiny_bundle) if part == "BUNDLE" else part for part in arguments]
    out = [] if "-o" in given else ["-o", str(tmp_path / "x.jpg")]
    done = demo(*given, *out)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error")]) == 1


def test_a_child_s_end_is_told_with_its_last_words() -> None:
    with OwnProcess("ros_nodes.camera.main", {"source": "/none.mp4"}) as camera:
        os.waitid(os.P_PID, camera.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(
            EdgeSegError, match=r"camera process ended \(exit code 2\).*no such file"
        ):
            camera.require_alive()


PARENT = """
import sys, time
from ros_nodes.own_process import OwnProcess
child = OwnProcess("ros_nodes.segmentation.main", {"bundle": sys.argv[1]})
print(child.pid, flush=True)
time.sleep(600)
"""


def test_no_child_outlives_its_parent(tiny_bundle: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tiny_bundle)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = Path(f"/proc/{int(parent.stdout.readline())}")
    time.sleep(1.0)
    assert child.exists()
    parent.kill()
    parent.communicate()
    for _ in range(100):
        if not child.exists() or "State:\tZ" in (child / "status").read_text():
            return
        time.sleep(0.05)
    pytest.fail("the node lives on")


def test_ctrl_c_shows_what_was_measured(
    tmp_path: Path, tiny_bundle: Path, few_frames: FrameSet
) -> None:
    arguments = [tiny_bundle, "--source", few_frames.path, "--seconds", "60", "--json"]
    running = subprocess.Popen(
        [*COMMAND, *map(str, arguments), "-o", str(tmp_path / "last.jpg")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(8.0)
    running.send_signal(signal.SIGINT)
    out, errors = running.communicate(timeout=20)
    assert running.returncode == 0, errors
    assert json.loads(out)["masks"] > 0
