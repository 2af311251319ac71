"""Masks through a real node: those of the same bundle in this process, or one clear error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy", reason="needs the extra ros")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from ros_process import ROOT, looking, node_process, until
from sensor_msgs.msg import Image
from typer.testing import CliRunner

from edge_seg.cli.main import app
from edge_seg.errors import EdgeSegError, MissingRuntimeError
from edge_seg.frames import FrameSet
from edge_seg.preprocess import Frame, Mask
from edge_seg.segmenter import Segmenter
from ros_nodes.following import follower
from ros_nodes.following.follower import Follower
from ros_nodes.following.masks import open_masks
from ros_nodes.following.own_node import OwnNode

NODE = "ros_nodes.segmentation.main"
FRONT = "/front/lane_segmentation"


@pytest.fixture(scope="module", autouse=True)
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A node of its own writes its log where this process says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_LOG_DIR", str(tmp_path_factory.mktemp("ros-log")))
        yield


@pytest.fixture(scope="module")
def frames(few_frames: FrameSet) -> list[Frame]:
    """Drawn roads, and one of another size."""
    return [*(few_frames.image(index) for index in range(5)), np.full((31, 47, 3), 90, np.uint8)]


@pytest.fixture(scope="module")
def masks(tiny_bundle: Path, frames: list[Frame]) -> list[Mask]:
    with Segmenter(tiny_bundle) as segmenter:
        return [segmenter(frame) for frame in frames]


@pytest.fixture(scope="module")
def front(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A node that somebody else runs, as a drive needs it."""
    with node_process(
        NODE,
        tmp_path_factory.mktemp("front"),
        *("-r", "__ns:=/front", "-r", "image:=/front/camera/image"),
        bundle=tiny_bundle,
        reliability="reliable",
    ) as node:
        node.says("segmenting /front/camera/image")
        yield


def test_a_node_of_its_own_gives_the_same_masks_and_ends(
    tiny_bundle: Path, frames: list[Frame], masks: list[Mask]
) -> None:
    with open_masks("", str(tiny_bundle)) as follow:
        for frame, mask in zip(frames, masks, strict=True):
            assert np.array_equal(follow(frame), mask)
        assert follow.classes.names == ("background", "road", "lane_marking")
    assert not [
        child for child in psutil.Process().children() if "ros_nodes.own_process" in child.cmdline()
    ]


def test_a_node_that_runs_gives_the_same_masks_wherever_its_camera_is(
    front: None, tiny_bundle: Path, frames: list[Frame], masks: list[Mask]
) -> None:
    with open_masks(FRONT, str(tiny_bundle)) as follow:
        for frame, mask in zip(frames, masks, strict=True):
            assert np.array_equal(follow(frame), mask)


def test_a_killed_node_is_one_error_at_once(tiny_bundle: Path, frames: list[Frame]) -> None:
    with OwnNode(str(tiny_bundle)) as own, Follower(own.name, own=own) as follow:
        follow(frames[0])
        os.kill(own.pid, signal.SIGKILL)
        start = monotonic()
        with pytest.raises(EdgeSegError, match=r"process ended \(SIGKILL\)"):
            follow(frames[1])
        assert monotonic() - start < 5.0


def test_a_node_that_stops_giving_masks_is_one_error_within_the_limit(
    front: None, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Follower(FRONT) as follow:
        follow(frames[0])
        monkeypatch.setattr(follower, "ANSWER_S", 2.0)
        change_state(Transition.TRANSITION_DEACTIVATE)
        try:
            with pytest.raises(EdgeSegError, match="no mask for 2 s: its diagnostics say: inact"):
                follow(frames[1])
        finally:
            change_state(Transition.TRANSITION_ACTIVATE)


def test_what_keeps_a_node_from_being_followed_is_said(
    front: None, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "FIND_S", 4.0)
    monkeypatch.setattr(follower, "ANSWER_S", 2.0)
    with pytest.raises(EdgeSegError, match=f"no node /front/lane .*did you mean '{FRONT}'"):
        Follower("front/lane")
    with pytest.raises(EdgeSegError, match=r"runs another bundle .*set its parameter 'bundle'"):
        Follower(FRONT, digest="0" * 64)
    with looking("camera") as camera:
        camera.node.create_publisher(Image, "/front/camera/image", 1)
        with pytest.raises(EdgeSegError, match="frames on /front/camera/image from /camera"):
            Follower(FRONT)
    set_parameter(frame_skip=2)
    try:
        with pytest.raises(EdgeSegError, match="set frame_skip to 0"):
            Follower(FRONT)
    finally:
        set_parameter(frame_skip=0)


def test_a_node_that_may_lose_frames_or_is_not_active_is_refused(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "ANSWER_S", 2.0)
    with node_process(NODE, tmp_path, "-r", "__ns:=/side", bundle=tiny_bundle) as node:
        node.says("segmenting")
        with pytest.raises(EdgeSegError, match="set reliability to reliable"):
            Follower("/side/lane_segmentation")
    with (
        node_process(NODE, tmp_path, "-r", "__ns:=/rear", autostart=False),
        pytest.raises(EdgeSegError, match=r"rear/lane_segmentation is not active"),
    ):
        Follower("/rear/lane_segmentation")


def test_a_bundle_that_its_own_node_refuses_is_the_error(tmp_path: Path) -> None:
    start = monotonic()
    with (
        OwnNode(str(tmp_path / "none.edgeseg")) as own,
        pytest.raises(EdgeSegError, match=r"its diagnostics say: .*none\.edgeseg"),
    ):
        Follower(own.name, own=own)
    assert monotonic() - start < 30.0


def test_a_killed_driver_takes_its_node_along(tiny_bundle: Path) -> None:
    code = (
        "import sys, time\n"
        "from ros_nodes.following.own_node import OwnNode\n"
        "print(OwnNode(sys.argv[1]).pid, flush=True)\n"
        "time.sleep(60)"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", code, tiny_bundle], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    node = psutil.Process(int(driver.stdout.readline()))
    with driver:
        until(lambda: node.num_threads() > 5)  # ROS runs: it is past its start
        driver.kill()
    node.wait(5.0)


def test_without_ros_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("follower", "link"):
        monkeypatch.delitem(sys.modules, f"ros_nodes.following.{name}")
    monkeypatch.setitem(sys.modules, "rclpy", None)
    with pytest.raises(MissingRuntimeError, match=r"pip install 'edge-seg\[ros\]'"):
        open_masks("", "lane.edgeseg").__enter__()


@pytest.mark.slow
def test_driving_through_the_node_is_driving(tiny_bundle: Path, tmp_path: Path) -> None:
    """The loop, closed through ROS: every figure as in the process, of every tick."""
    pytest.importorskip("carla", reason="needs the extra carla")
    pytest.importorskip("panda3d", reason="needs the extra carla")
    from carla_bridge.evaluation.record import read_results, read_trace

    out = tmp_path / "out"
    asked = f"drive {tiny_bundle} --vs ros --map Straight --length 50 --size 240x180 --no-video"
    result = CliRunner().invoke(app, [*asked.split(), "-o", str(out)])
    assert result.exit_code == 0, result.output + repr(result.exception)
    results = read_results(out)
    here, there = results.runs
    assert (here.driver, there.driver) == ("int8", "ros")
    assert here.metrics is not None and here.metrics == there.metrics
    assert here.reason == there.reason
    one, other = read_trace(out, here), read_trace(out, there)
    assert one.steer == other.steer and one.mask_iou == other.mask_iou
    assert {row.driver for row in results.summary} == {"int8", "ros"}
    assert all(row.mean == 0.0 for row in results.differences)
    assert here.times.mask_p50_ms and there.times.mask_p50_ms
    assert "<dt>frame to mask</dt><dd>int8 " in (out / "report.html").read_text()


def set_parameter(**values: int) -> None:
    """Set parameters of the node in front."""
    given = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
    answer = called("set_parameters", SetParameters, SetParameters.Request(parameters=given))
    assert all(result.successful for result in answer.results)


def change_state(transition: int) -> None:
    request = ChangeState.Request(transition=Transition(id=transition))
    assert called("change_state", ChangeState, request).success


def called(service: str, kind: Any, request: Any) -> Any:
    """Return what the node in front answers."""
    with looking("caller") as here:
        client = here.node.create_client(kind, f"{FRONT}/{service}")
        here.until(client.service_is_ready)
        future = client.call_async(request)
        here.until(future.done)
        return future.result()
