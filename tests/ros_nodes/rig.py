"""A running lane-segmentation node and everything around it: a camera, ears, its services.

with rig(tmp_path, bundle=tiny_bundle) as here:
    here.send(frame)
    here.until(lambda: here.masks)
    here.state(), here.change("deactivate"), here.set(max_age_ms=100.0)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from ros_process import Looking, NodeProcess, looking, node_process
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64, Header, String

from ros_nodes.messages.images import image_message
from ros_nodes.messages.stamps import from_ns
from ros_nodes.qos import LATCHED, qos

NODE = "/lane_segmentation"
MODULE = "ros_nodes.segmentation.main"
TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
    "shutdown": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}


class Rig:
    """What the node publishes is collected in lists, the newest last."""

    def __init__(self, here: Looking, process: NodeProcess, topic: str) -> None:
        self.here, self.process, self.until = here, process, here.until
        self.masks: list[Image] = []
        self.latencies: list[JointState] = []
        self.statuses: list[DiagnosticStatus] = []
        self.beats: list[float] = []
        self.labels: list[str] = []
        node = here.node
        reliable = qos("reliable")
        node.create_subscription(Image, f"{NODE}/mask", self.masks.append, reliable)
        node.create_subscription(JointState, f"{NODE}/latency", self.latencies.append, reliable)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._told, 10)
        node.create_subscription(
            Float64, f"{NODE}/heartbeat", lambda m: self.beats.append(m.data), qos("best_effort")
        )
        node.create_subscription(
            String, f"{NODE}/labels", lambda m: self.labels.append(m.data), LATCHED
        )
        self.camera = node.create_publisher(Image, topic, reliable)
        self.compressed = node.create_publisher(CompressedImage, f"{topic}/compressed", reliable)

    def _told(self, message: DiagnosticArray) -> None:
        self.statuses += [one for one in message.status if one.name.startswith("lane_seg")]

    @property
    def value(self) -> dict[str, str]:
        """The newest status's values by key."""
        return {pair.key: pair.value for pair in self.statuses[-1].values}

    def now_ns(self) -> int:
        return int(self.here.node.get_clock().now().nanoseconds)

    def send(self, frame: np.ndarray, encoding: str = "bgr8", stamp_ns: int | None = None) -> int:
        """Publish a frame; return its stamp."""
        stamp_ns = self.now_ns() if stamp_ns is None else stamp_ns
        header = Header(stamp=from_ns(stamp_ns), frame_id="front")
        self.camera.publish(image_message(frame, encoding, header))
        return stamp_ns

    def listened(self) -> None:
        """Wait until the node hears the camera."""
        self.until(
            lambda: self.camera.get_subscription_count() + self.compressed.get_subscription_count()
        )

    def next_status(self) -> DiagnosticStatus:
        count = len(self.statuses)
        self.until(lambda: len(self.statuses) > count)
        return self.statuses[-1]

    def state(self) -> str:
        return str(self._call(GetState, "get_state", GetState.Request()).current_state.label)

    def change(self, transition: str, timeout_s: float = 20.0) -> bool:
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[transition]))
        return bool(self._call(ChangeState, "change_state", request, timeout_s).success)

    def set(self, **values: Any) -> SetParametersResult:
        """Set one parameter after the other; return the last result."""
        given: list[ParameterMessage] = [
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]
        request = SetParameters.Request(parameters=given)
        return self._call(SetParameters, "set_parameters", request).results[-1]

    def _call(self, kind: Any, name: str, request: Any, timeout_s: float = 20.0) -> Any:
        client = self.here.node.create_client(kind, f"{NODE}/{name}")
        try:
            self.until(client.service_is_ready)
            future = client.call_async(request)
            self.until(future.done, timeout_s)
            return future.result()
        finally:
            self.here.node.destroy_client(client)


@contextmanager
def rig(
    folder: Path, *arguments: str, topic: str = "image", expected: int = 0, **parameters: object
) -> Iterator[Rig]:
    """Run the node with these parameters, and everything around it."""
    given = {"threads": 1, "reliability": "reliable", **parameters}
    with (
        node_process(MODULE, folder, *arguments, expected=expected, **given) as process,
        looking() as here,
    ):
        yield Rig(here, process, topic)


def stamp_of(message: Image | JointState) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def pixels(mask: Image) -> np.ndarray:
    return np.frombuffer(mask.data, np.uint8).reshape(mask.height, mask.width)
