"""The ROS 2 node at a camera's rate: what it adds, what it loses, what overload does to it.

    models = {"lane-unet": measure(Path("lane.edgeseg"), seconds=20.0)}
    print(ros_tables.stages_table(models))

Two processes on the loopback: this one is camera and ears, the other is the node. Frames are
640x480 bgr8, best effort, through the shared-memory profile.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

import numpy as np
import psutil
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from edge_seg.files import scratch_folder
from edge_seg.frames import FrameSet
from edge_seg.preprocess import InputSpec, resize
from ros_nodes.camera.pace import Pace
from ros_nodes.environment import apart
from ros_nodes.messages.images import image_message
from ros_nodes.messages.stamps import to_ns
from ros_nodes.own_process import OwnProcess
from ros_nodes.qos import qos
from ros_nodes.segmentation.counts import STAGES

NODE = "/lane_segmentation"
RATE_HZ = 30.0
OVERLOAD = 2.0
WARM_UP_S = 3.0
Record = dict[str, Any]


def measure(bundle: Path, seconds: float) -> Record:
    """Return the figures at 30 Hz, then at twice what the network can do."""
    with benched(bundle) as bench:
        normal = bench.run(RATE_HZ, seconds)
        overload_hz = OVERLOAD * 1e3 / normal["stages_ms"]["inference"]["p50"]
        overload = bench.run(overload_hz, seconds)
    return {"bundle": bundle.name, "normal": normal, "overload": overload}


def soak(bundle: Path, seconds: float) -> Record:
    """Return the node's memory and /dev/shm over a long run at 30 Hz, a row a minute."""
    rows: list[Record] = []
    shared: set[Path] = set()
    with benched(bundle) as bench:
        bench.run(RATE_HZ, WARM_UP_S)
        end = monotonic() + seconds
        while (left := end - monotonic()) > 0:
            figures = bench.run(RATE_HZ, min(60.0, left), warm_up_s=0.0)
            shared |= bench.shm_files()
            rows.append(
                {
                    "rss_bytes": bench.node_rss(),
                    "shm_bytes": _shm_bytes(bench.shm_files()),
                    "sent": figures["sent"],
                    "masks": figures["masks"],
                    "dropped": figures["dropped"],
                    "lost": figures["lost_before_the_node"] + figures["unaccounted"],
                    "total_p50_ms": figures["stages_ms"]["total"]["p50"],
                }
            )
    return {
        "bundle": bundle.stem,
        "seconds": seconds,
        "minutes": rows,
        "shm_left_bytes": _shm_bytes(shared),
    }


class Bench:
    """A camera and ears in this process, the node in another."""

    def __init__(self, node: Any, process: OwnProcess) -> None:
        self._node, self._process = node, process
        self._frames = _frames()
        self._stop, self._sent = Event(), 0
        self._latencies: list[JointState] = []
        self._masks: list[int] = []
        self._late_ms: list[float] = []
        self._values: dict[str, str] = {}
        self._camera = node.create_publisher(Image, "image", qos("best_effort"))
        node.create_subscription(Image, f"{NODE}/mask", self._mask, qos("reliable"))
        node.create_subscription(JointState, f"{NODE}/latency", self._latencies.append, 100)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._told, 10)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)

    def run(self, rate_hz: float, seconds: float, warm_up_s: float = WARM_UP_S) -> Record:
        """Send frames for so long; return what became of them."""
        self._until(lambda: self._camera.get_subscription_count() and self._values)
        self._send(rate_hz, warm_up_s)
        self._settle()
        before = {key: int(self._values[key]) for key in ("received", "masks", "dropped")}
        self._latencies.clear()
        self._masks.clear()
        self._late_ms.clear()
        sent = self._send(rate_hz, seconds)
        self._settle()
        counted = {key: int(self._values[key]) - count for key, count in before.items()}
        times = np.array([list(latency.position) for latency in self._latencies]) * 1e3
        own = (
            times[:, -1] - times[:, STAGES.index("transport")] - times[:, STAGES.index("inference")]
        )
        return {
            "rate_hz": rate_hz,
            "seconds": seconds,
            "sent": sent,
            **counted,
            "lost_before_the_node": sent - counted["received"],
            "unaccounted": counted["received"] - counted["masks"] - counted["dropped"],
            "masks_heard": len(set(self._masks)),
            "stages_ms": {stage: _quantiles(times[:, place]) for place, stage in enumerate(STAGES)},
            "added_ms": _quantiles(own),
            "timer_late_ms": max(self._late_ms),
        }

    def node_rss(self) -> int:
        """Return what the node's process takes."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def shm_files(self) -> set[Path]:
        """Return the shared memory that the node and this process have mapped."""
        return _shm_files(self._process.pid) | _shm_files(os.getpid())

    def _send(self, rate_hz: float, seconds: float) -> int:
        self._sent, self._stop = 0, Event()
        sender = Thread(target=self._sender, args=(rate_hz,))
        sender.start()
        self._spin(seconds)
        self._stop.set()
        sender.join()
        return self._sent

    def _sender(self, rate_hz: float) -> None:
        pace = Pace(rate_hz)
        while pace.wait(self._stop):
            header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id="camera")
            frame = self._frames[self._sent % len(self._frames)]
            self._camera.publish(image_message(frame, "bgr8", header))
            self._sent += 1

    def _settle(self) -> None:
        """Wait for diagnostics that have counted the last frame."""
        self._spin(0.3)
        self._values = {}
        self._until(lambda: self._values)
        self._values = {}
        self._until(lambda: self._values)

    def _told(self, message: DiagnosticArray) -> None:
        self._values = {pair.key: pair.value for pair in message.status[0].values}
        self._late_ms.append(float(self._values["executor late (ms)"]))

    def _mask(self, message: Image) -> None:
        self._masks.append(to_ns(message.header.stamp))

    def _spin(self, seconds: float) -> None:
        end = monotonic() + seconds
        while (left := end - monotonic()) > 0:
            self._process.require_alive()
            self._executor.spin_once(timeout_sec=min(left, 0.1))

    def _until(self, condition: Any) -> None:
        end = monotonic() + 60.0
        while not condition():
            if monotonic() > end:
                raise TimeoutError("the node gives no sign of life")
            self._spin(0.05)


@contextmanager
def benched(bundle: Path) -> Iterator[Bench]:
    """Start the node and the camera, in a domain of their own."""
    parameters = {"bundle": str(bundle.resolve()), "max_age_ms": 0.0}
    domain = str(1 + os.getpid() % 100)
    with scratch_folder() as folder, apart(ROS_DOMAIN_ID=domain, ROS_LOG_DIR=str(folder)):
        rclpy.init()
        node = rclpy.create_node("bench")
        try:
            with OwnProcess("ros_nodes.segmentation.main", parameters) as process:
                yield Bench(node, process)
        finally:
            node.destroy_node()
            rclpy.try_shutdown()


def _frames() -> list[np.ndarray]:
    frames = FrameSet.open("lane-test")
    return [resize(frames.image(index), InputSpec(480, 640)) for index in range(8)]


def _quantiles(values: np.ndarray) -> dict[str, float]:
    known = values[~np.isnan(values)]
    return {
        name: round(float(np.percentile(known, percent)), 3)
        for name, percent in (("p50", 50), ("p90", 90), ("p99", 99))
    }


def _shm_files(pid: int) -> set[Path]:
    """Return the shared memory that a process has mapped for ROS."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {Path(line.split()[-1]) for line in lines if "/dev/shm/fastdds" in line}


def _shm_bytes(files: Iterable[Path]) -> int:
    """Return what these files take, those that are still there."""
    return sum(file.stat().st_blocks * 512 for file in files if file.exists())
