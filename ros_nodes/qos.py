"""Qualities of service: the newest message only, and what late subscribers get, too.

node.create_publisher(Image, "~/mask", qos("reliable"))
node.create_publisher(String, "~/labels", LATCHED)
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


def qos(reliability: str, depth: int = 1) -> QoSProfile:
    """Return what keeps the newest messages, one of them or more; "reliable" or "best_effort"."""
    reliable = reliability == "reliable"
    policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=depth, reliability=policy)
