"""What the middleware tells of a subscription: frames it lost, publishers that do not match."""

from __future__ import annotations

from typing import Any

from ros_nodes.segmentation.counts import Counts

try:  # Iron and newer
    from rclpy.event_handler import SubscriptionEventCallbacks
except ModuleNotFoundError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks


def watch_subscription(counts: Counts, notes: dict[str, str]) -> SubscriptionEventCallbacks:
    """Return callbacks that count lost frames and note a publisher that we cannot hear."""

    def lost(event: Any) -> None:
        counts.add("lost", event.total_count_change)

    def incompatible(event: Any) -> None:
        notes["qos"] = (
            "a camera publishes best effort, which a reliable subscription does not hear: "
            "set reliability to best_effort"
        )

    return SubscriptionEventCallbacks(message_lost=lost, incompatible_qos=incompatible)
