"""This process's place among the nodes: what is there, and waiting for what comes.

    with Link() as link:
        link.node.create_subscription(...)
        link.until(lambda: messages, 5.0)           # True, or False after 5 s
        link.nodes()                                # ["/front/lane_segmentation", ...]
        link.takers("/front/lane_segmentation")     # the topics that it takes images from

Callbacks run in `until` only: one thread does everything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from time import monotonic
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import ReliabilityPolicy

from ros_nodes.environment import apart, prepare
from ros_nodes.following.own_node import OwnNode

SLICE_S = 0.1
"""Of waiting: signals are heard, and what is waited for is looked at, in between."""
NAME = "edge_seg_drive"
IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


@dataclass(frozen=True)
class Taker:
    """A subscription to images, of which ``compressed`` are ones of JPEG or PNG."""

    topic: str
    reliable: bool
    compressed: bool


class Link:
    """A node in a context of its own; beside ``own`` it hears only what is on this machine."""

    def __init__(self, own: OwnNode | None = None) -> None:
        self._own = own
        prepare()
        self._context = rclpy.Context()
        with apart() if own else nullcontext():
            rclpy.init(args=[], context=self._context)
            self.node = rclpy.create_node(
                NAME,
                context=self._context,
                namespace=own.namespace if own else None,
                use_global_arguments=False,
                enable_rosout=False,
                start_parameter_services=False,
            )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)

    def until(self, condition: Callable[[], object], seconds: float) -> bool:
        """Run callbacks until ``condition()``, for so long at most; return whether it came.

        Raises `EdgeSegError` where the process of a node of its own ends.
        """
        end = monotonic() + seconds
        while not condition():
            if self._own is not None:
                self._own.require_alive()
            left = end - monotonic()
            if left <= 0.0:
                return False
            self._executor.spin_once(timeout_sec=min(left, SLICE_S))
        return True

    def nodes(self) -> list[str]:
        """Return the full names of the nodes there are, without ours."""
        mine = self.node.get_fully_qualified_name()
        names = self.node.get_node_names_and_namespaces()
        return [name for name in (_joined(space, name) for name, space in names) if name != mine]

    def takers(self, name: str) -> list[Taker]:
        """Return the subscriptions to images of the node of that full name."""
        return [
            Taker(
                topic=topic,
                reliable=info.qos_profile.reliability == ReliabilityPolicy.RELIABLE,
                compressed=info.topic_type == IMAGES[1],
            )
            for topic, types in self.node.get_topic_names_and_types()
            if set(types) & set(IMAGES)
            for info in self.node.get_subscriptions_info_by_topic(topic)
            if _owner(info) == name
        ]

    def givers(self, topic: str) -> list[str]:
        """Return the full names of the nodes that publish on a topic."""
        return [_owner(info) for info in self.node.get_publishers_info_by_topic(topic)]

    def close(self) -> None:
        """Leave."""
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _owner(info: Any) -> str:
    return _joined(info.node_namespace, info.node_name)


def _joined(namespace: str, name: str) -> str:
    return f"{namespace.rstrip('/')}/{name}"
