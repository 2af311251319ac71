"""The monitor in a process of its own, at a camera and at a node that misses every fourth frame."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from rclpy.qos import qos_profile_sensor_data
from ros_process import Looking, looking, node_process, refused
from sensor_msgs.msg import CompressedImage, Image, JointState

from ros_nodes.messages.images import image_message

CAMERA, MONITOR = "ros_nodes.camera.main", "ros_nodes.monitor.main"
MASK = np.zeros((48, 64), np.uint8)
INFERENCE_S = 0.02


class Segmenter:
    """Answers every frame but each fourth with an empty mask, and tells what it took."""

    def __init__(self, here: Looking, kind: Any, topic: str) -> None:
        self.frames = 0
        self.masks = here.node.create_publisher(Image, "lane_segmentation/mask", 10)
        self.figures = here.node.create_publisher(JointState, "lane_segmentation/latency", 10)
        here.node.create_subscription(kind, topic, self.answer, qos_profile_sensor_data)

    def answer(self, message: Any) -> None:
        self.frames += 1
        if self.frames % 4 == 0:
            return
        self.masks.publish(image_message(MASK, "mono8", message.header))
        figures = JointState(name=["transport", "inference"], position=[float("nan"), INFERENCE_S])
        figures.header = message.header
        self.figures.publish(figures)


def test_what_arrives_is_measured_and_what_does_not_is_counted(tmp_path: Path) -> None:
    out = tmp_path / "latency.json"
    with (
        looking() as here,
        node_process(CAMERA, tmp_path, source="lane-mini", rate_hz=20, width=64, height=48),
        node_process(MONITOR, tmp_path, out=out, json=True, duration_s=5) as monitor,
    ):
        node = Segmenter(here, Image, "image")
        here.until(lambda: monitor.code is not None)
    measured = json.loads(out.read_text())
    assert json.loads(monitor.out()) == measured
    assert measured["schema"] == "edge-seg/ros-latency-1"
    assert measured["topics"] == {
        "image": "/image",
        "latency": "/lane_segmentation/latency",
        "mask": "/lane_segmentation/mask",
    }
    assert 5.0 <= measured["seconds"] < 6.5
    assert 20 <= measured["received"] <= node.frames
    metrics = measured["metrics"]
    assert metrics["NUM_MISSED_FRAMES"] / metrics["NUM_FRAMES_SENT"] == pytest.approx(0.25, abs=0.1)
    assert metrics["MEAN_PLAYBACK_FRAME_RATE"] == pytest.approx(20, rel=0.1)
    assert measured["rate_hz"] == pytest.approx(15, rel=0.2)
    assert 0 < measured["latency"]["p50_ms"] < 100
    assert measured["latency"]["p50_ms"] <= measured["latency"]["max_ms"]
    assert measured["intervals"]["gaps"] > 0
    assert measured["stages"]["inference"]["p50_ms"] == pytest.approx(1e3 * INFERENCE_S)
    assert "transport" not in measured["stages"]
    assert "masks, latency" in monitor.errors()


def test_ctrl_c_writes_what_there_is(tmp_path: Path) -> None:
    out = tmp_path / "latency.json"
    with (
        looking() as here,
        node_process(
            CAMERA,
            tmp_path,
            "-r",
            "image:=/front/image",
            source="lane-mini",
            transport="compressed",
        ),
        node_process(
            MONITOR,
            tmp_path,
            "-r",
            "/front/mask:=/masks",
            out=out,
            mask="/front/mask",
            image="/front/image",
            transport="compressed",
        ) as monitor,
    ):
        node = Segmenter(here, CompressedImage, "/front/image/compressed")
        node.masks = here.node.create_publisher(Image, "/masks", 10)
        here.until(lambda: "masks, latency" in monitor.errors())
        assert monitor.end(signal.SIGINT) == 0
    assert monitor.end_s < 2.0
    measured = json.loads(out.read_text())
    assert measured["topics"]["image"] == "/front/image/compressed"
    assert measured["topics"]["mask"] == "/masks"
    assert measured["received"] > 0
    assert measured["frames_seen"] > 0
    assert "Traceback" not in monitor.errors()
    assert monitor.out() == ""


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    with node_process(
        MONITOR, tmp_path, transport="none", json=True, duration_s=1.2, mask="nobody/mask"
    ) as monitor:
        assert monitor.wait() == 0
    measured = json.loads(monitor.out())
    assert (measured["received"], measured["metrics"]["NUM_FRAMES_SENT"]) == (0, None)
    assert "no mask on /nobody/mask: is the node active" in monitor.errors()


def test_a_folder_that_is_not_there_is_told_before_measuring(tmp_path: Path) -> None:
    said = refused(MONITOR, tmp_path, out=tmp_path / "none" / "latency.json")
    assert "the folder does not exist" in said
