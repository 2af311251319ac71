"""Camera, node and ears on this machine, for a look at what the node does: ``edge-seg ros-demo``.

    with running(Path("lane.edgeseg"), "world:Town", rate_hz=10.0, size=(640, 480)) as demo:
        demo.spin(0.5)
        demo.numbers()             # Numbers(camera_hz=..., masks_hz=..., stages_ms={...})

Camera and node are processes of their own (`OwnProcess`) in a ROS domain of their own, on the
loopback; this process only listens.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from edge_seg.files import scratch_folder
from edge_seg.preprocess import Frame
from ros_nodes.environment import apart
from ros_nodes.messages.images import frame_of
from ros_nodes.messages.stamps import to_ns
from ros_nodes.own_process import OwnProcess
from ros_nodes.process import start
from ros_nodes.qos import qos
from ros_nodes.segmentation.counts import STAGES

SCHEMA = "edge-seg/ros-demo-1"
NODE = "/lane_segmentation"
DOMAINS = 101
"""ROS domain ids that any system's ports allow (ROS 2 documentation, "The ROS_DOMAIN_ID")."""
KEPT = 300
SLICE_S = 0.1


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo shows. Milliseconds are (p50, p99); ``heard_ms`` is measured from outside."""

    schema: str = SCHEMA
    source: str
    bundle: str
    engine: str
    frames: int
    masks: int
    dropped: int
    lost: int
    camera_hz: float
    masks_hz: float
    stages_ms: dict[str, tuple[float, float]]
    heard_ms: tuple[float, float]
    diagnostics: str


class Demo:
    """The ears; ``picture`` is the last frame with its mask over it, ``failed`` that the node
    says it cannot work.
    """

    def __init__(self, node: Node, source: str, processes: tuple[OwnProcess, ...]) -> None:
        self.picture: Frame | None = None
        self.masks = 0
        self.failed = False
        self._node, self._source, self._processes = node, source, processes
        self._latencies: deque[list[float]] = deque(maxlen=KEPT)
        self._heard_ms: deque[float] = deque(maxlen=KEPT)
        self._values: dict[str, str] = {}
        self._said = ""
        node.create_subscription(Image, f"{NODE}/mask", self._on_mask, qos("reliable"))
        node.create_subscription(Image, f"{NODE}/overlay", self._on_overlay, qos("best_effort"))
        node.create_subscription(JointState, f"{NODE}/latency", self._on_latency, qos("reliable"))
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)

    def spin(self, seconds: float) -> None:
        """Listen for so long; raises `EdgeSegError` where the camera or the node has ended."""
        end = monotonic() + seconds
        while (left := end - monotonic()) > 0:
            for process in self._processes:
                process.require_alive()
            self._executor.spin_once(timeout_sec=min(left, SLICE_S))

    def numbers(self) -> Numbers:
        """Return how it goes by now."""
        times = self.stages_ms()
        value = self._values.get
        return Numbers(
            source=self._source,
            bundle=Path(value("bundle", "")).name,
            engine=value("engine", ""),
            frames=int(value("received", "0")),
            masks=int(value("masks", "0")),
            dropped=int(value("dropped", "0")),
            lost=int(value("lost", "0")),
            camera_hz=float(value("rate in (Hz)", "0")),
            masks_hz=float(value("rate out (Hz)", "0")),
            stages_ms={stage: _quantiles(times[:, place]) for place, stage in enumerate(STAGES)},
            heard_ms=_quantiles(np.array(self._heard_ms)),
            diagnostics=self._said,
        )

    def stages_ms(self) -> npt.NDArray[np.float64]:
        """Return a row of `STAGES` for each of the last frames, at least one; NaN is unknown."""
        return np.array(self._latencies or [[np.nan] * len(STAGES)]) * 1e3

    def _on_mask(self, message: Image) -> None:
        age_ns = self._node.get_clock().now().nanoseconds - to_ns(message.header.stamp)
        self._heard_ms.append(age_ns / 1e6)
        self.masks += 1

    def _on_overlay(self, message: Image) -> None:
        self.picture = frame_of(message)

    def _on_latency(self, message: JointState) -> None:
        self._latencies.append(list(message.position))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        (status,) = message.status
        self._values = {pair.key: pair.value for pair in status.values}
        self._said = status.message
        self.failed = status.level == DiagnosticStatus.ERROR and not self.masks


@contextmanager
def running(
    bundle: Path, source: str, rate_hz: float, size: tuple[int, int], trust: bool = False
) -> Iterator[Demo]:
    """Start camera and node, and end them."""
    segmented: dict[str, Any] = {"bundle": str(bundle.resolve()), "trust": trust}
    width, height = size
    seen: dict[str, Any] = {"source": source, "rate_hz": rate_hz, "width": width, "height": height}
    with (
        scratch_folder() as folder,
        apart(ROS_DOMAIN_ID=str(1 + os.getpid() % DOMAINS), ROS_LOG_DIR=str(folder)),
        OwnProcess("ros_nodes.segmentation.main", segmented) as node,
        OwnProcess("ros_nodes.camera.main", seen) as camera,
    ):
        context = rclpy.Context()
        start(context, [])
        listener = rclpy.create_node("ros_demo", context=context, use_global_arguments=False)
        try:
            yield Demo(listener, source, (node, camera))
        finally:
            listener.destroy_node()
            context.try_shutdown()


def _quantiles(values: np.ndarray) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if not known.size:
        return (float("nan"), float("nan"))
    p50, p99 = np.percentile(known, (50, 99))
    return round(float(p50), 3), round(float(p99), 3)
