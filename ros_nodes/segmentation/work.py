"""What the node holds from configure to cleanup: network, topics, and while active a worker.

work = Work(node, network, settings)
work.start(settings, counts, notes)       # subscribed; frames become masks
work.exchange(other)                      # another network takes over between two frames
work.stop()                               # the frame at work is finished
work.close()                              # everything is freed
"""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CompressedImage, Image

from ros_nodes.qos import qos
from ros_nodes.segmentation.counts import Counts
from ros_nodes.segmentation.events import subscribe
from ros_nodes.segmentation.inference import Inference
from ros_nodes.segmentation.network import Network
from ros_nodes.segmentation.outputs import Outputs
from ros_nodes.segmentation.parameters import Settings

ARRIVING = 5
"""Frames that may arrive while the executor is at something else. It takes them all, as the
mailbox must see a frame to count it as dropped; with one, the middleware drops it and tells nobody.
"""
STOP_S = 5.0
"""For the frame at work: no network that is fit for a robot takes as long."""


class Work:
    """Used by the executor's thread only."""

    def __init__(self, node: LifecycleNode, network: Network, settings: Settings) -> None:
        self._node, self._network = node, network
        self._outputs = Outputs(node, settings.output_reliability)
        self._outputs.labels(network)
        self._inference: Inference | None = None
        self._subscription: Any = None

    @property
    def network(self) -> Network:
        """The one that runs now."""
        return self._inference.network if self._inference else self._network

    @property
    def fault(self) -> str:
        """Why the worker has given up, "" where it has not."""
        return self._inference.fault if self._inference else ""

    def start(self, settings: Settings, counts: Counts, notes: dict[str, str]) -> str:
        """Subscribe to the camera and begin; return the topic's full name."""
        node = self._node
        self._inference = Inference(
            self._network,
            self._outputs,
            counts,
            lambda: int(node.get_clock().now().nanoseconds),
            settings,
        )
        compressed = settings.transport == "compressed"
        notes.pop("qos", None)
        self._subscription = subscribe(
            node,
            CompressedImage if compressed else Image,
            settings.image + ("/compressed" if compressed else ""),
            self._inference.offer,
            qos(settings.reliability, ARRIVING),
            counts,
            notes,
        )
        return str(self._subscription.topic_name)

    def take_up(self, settings: Settings) -> None:
        """Use these from the next frame on."""
        if self._inference is not None:
            self._inference.settings = settings

    def exchange(self, network: Network) -> None:
        """Let another network take over."""
        if self._inference is not None:
            self._inference.exchange(network)
            return
        self._network.segmenter.close()
        self._network = network
        self._outputs.labels(network)

    def stop(self, limit_s: float = STOP_S) -> bool:
        """Take no more frames and finish the one at work; return whether that was possible.

        Where it was not, the network hangs in its thread, and this is of no use any more.
        """
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        if self._inference is None:
            return True
        if not self._inference.stop(limit_s):
            return False
        self._network = self._inference.network
        self._inference = None
        return True

    def close(self, limit_s: float = STOP_S) -> None:
        """Free the network, unless it hangs, and take the topics away."""
        if self.stop(limit_s):
            self._network.segmenter.close()
        self._outputs.close()
