"""`LatencyMonitor`: listens to frames, masks and the node's own figures, and reports.

    node = LatencyMonitor()        # parameters from the command line, `main` says how
    node.close()                   # what was measured until now is written

A mask's latency is its receipt here minus its header's stamp, which is its frame's: camera,
network and both ways of transport are in it. Both clocks must be one, or be synchronised. Images
are taken as bytes, of which only the header is read, so that measuring costs little.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import msgspec
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Header

from edge_seg.files import require_writable, write_bytes
from ros_nodes.declare import declare
from ros_nodes.messages.stamps import to_ns
from ros_nodes.monitor.statistics import Record, report

LISTENING = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Suits any publisher, and keeps what comes while another callback runs."""
WEEK_S = 604_800.0


class Settings(NamedTuple):
    """What can be set of the monitor."""

    duration_s: float
    out: str
    json: bool
    image: str
    transport: str
    mask: str
    latency: str


def settings(node: Node) -> Settings:
    """Declare the parameters and return them; raises `EdgeSegError` for one that does not fit."""
    return Settings(
        duration_s=declare(
            node,
            "duration_s",
            0.0,
            "Seconds to measure for; 0: until ctrl-C.",
            limits=(0.0, WEEK_S),
        ),
        out=declare(node, "out", "", "File for the report, JSON; none: no file."),
        json=declare(node, "json", False, "Print the report, too."),
        image=declare(node, "image", "image", "Topic of the camera's frames."),
        transport=declare(
            node,
            "transport",
            "raw",
            "Of the frames; none: they are not counted, and none is known to be missed.",
            choices=("raw", "compressed", "none"),
        ),
        mask=declare(node, "mask", "lane_segmentation/mask", "Topic of the masks."),
        latency=declare(
            node, "latency", "lane_segmentation/latency", "Topic of the node's own figures."
        ),
    )


class LatencyMonitor(Node):
    """Ends after ``duration_s``, or with a signal; either way the report is written."""

    def __init__(self) -> None:
        super().__init__("latency_monitor")
        self._settings = asked = settings(self)
        if asked.out:
            require_writable(Path(asked.out))
        self._record = Record()
        self._topics = {
            "mask": self._listen(
                Image, asked.mask, partial(self._header, self._record.mask), raw=True
            ),
            "latency": self._listen(JointState, asked.latency, self._stages),
        }
        if asked.transport != "none":
            topic = self.resolve_topic_name(asked.image)
            compressed = asked.transport == "compressed"
            self._topics["image"] = self._listen(
                CompressedImage if compressed else Image,
                f"{topic}/compressed" if compressed else topic,
                partial(self._header, self._record.frame),
                raw=True,
            )
        self._start_s, self._told = monotonic(), 0
        self.create_timer(1.0, self._tell)
        if asked.duration_s:
            self.create_timer(asked.duration_s, self.context.try_shutdown)
        self.get_logger().info(f"listening to {', '.join(sorted(self._topics.values()))}")

    def close(self) -> None:
        """Write the report, whole or not at all; print it where asked."""
        seconds = monotonic() - self._start_s
        measured = report(self._record, self._topics, self._now_ns(), seconds)
        payload = msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n"
        if self._settings.json:
            sys.stdout.write(payload.decode())
            sys.stdout.flush()
        if self._settings.out:
            write_bytes(self._settings.out, payload)
        if not measured.received:
            print(
                f"no mask on {self._topics['mask']}: is the node active, on this ROS_DOMAIN_ID?",
                file=sys.stderr,
            )

    def _listen(self, kind: Any, topic: str, callback: Any, raw: bool = False) -> str:
        return self.create_subscription(kind, topic, callback, LISTENING, raw=raw).topic_name

    def _header(self, note: Any, payload: bytes) -> None:
        """Note an image's stamp: its header comes first, and is read alone."""
        seen_ns = self._now_ns()
        note(to_ns(deserialize_message(payload, Header).stamp), seen_ns)

    def _stages(self, message: JointState) -> None:
        self._record.stages(dict(zip(message.name, message.position, strict=False)))

    def _tell(self) -> None:
        """Log a line about the last second."""
        latencies = self._record.latencies_ms(self._told)
        self._told += len(latencies)
        if not len(latencies):
            self.get_logger().warning(f"no mask on {self._topics['mask']}")
            return
        line = f"{len(latencies)} masks, latency {np.median(latencies):.1f} ms"
        line += f", at most {latencies.max():.1f}"
        if latencies.min() < 0:
            line += ": a mask older than none; are the clocks synchronised?"
        self.get_logger().info(line)

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)
