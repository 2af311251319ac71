"""A subscription that tells what the middleware knows: frames it lost, cameras that do not match.

subscription = subscribe(node, Image, "image", inference.offer, qos("reliable"), counts, notes)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile

from ros_nodes.segmentation.counts import Counts

try:  # Iron and newer
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ModuleNotFoundError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

MANY = 2**31 - 1
"""What Fast DDS says where it has lost count (of a frame larger than its segment): one at least."""


def lost_frames(change: int) -> int:
    """Return how many frames an event tells of."""
    return change if 0 < change < MANY else 1


def subscribe(
    node: Node,
    kind: type,
    topic: str,
    callback: Callable[[Any], None],
    profile: QoSProfile,
    counts: Counts,
    notes: dict[str, str],
) -> Any:
    """Subscribe; lost frames are counted, and a camera that we cannot hear is noted as "qos"."""

    def lost(event: Any) -> None:
        counts.add("lost", lost_frames(event.total_count_change))

    def incompatible(event: Any) -> None:
        notes["qos"] = (
            "a camera publishes best effort, which a reliable subscription does not hear: "
            "set reliability to best_effort"
        )

    events = SubscriptionEventCallbacks(message_lost=lost, incompatible_qos=incompatible)
    try:
        return node.create_subscription(kind, topic, callback, profile, event_callbacks=events)
    except UnsupportedEventTypeError:  # not every middleware has both
        return node.create_subscription(kind, topic, callback, profile)
