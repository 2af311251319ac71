"""What a lane_segmentation node has said so far: its last mask, its labels, its diagnostics.

said = Said(link, "/front/lane_segmentation")
link.until(lambda: said.mask_of(stamp_ns) is not None, 10.0)
said.labels, said.gave_up, said.words()
"""

from __future__ import annotations

import math
from time import monotonic

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import Image
from std_msgs.msg import String

from ros_nodes.following.link import Link
from ros_nodes.messages.stamps import to_ns
from ros_nodes.qos import LATCHED, qos

FRESH_S = 3.0
"""Diagnostics come once a second."""


class Said:
    """``labels`` is JSON as `Outputs.labels` writes it, "" before it came."""

    def __init__(self, link: Link, name: str, diagnostics: str = "/diagnostics") -> None:
        self.labels = ""
        self._mask: Image | None = None
        self._status, self._status_at = DiagnosticStatus(), -math.inf
        self._called = f"{name.lstrip('/')}: segmentation"
        node = link.node
        node.create_subscription(Image, f"{name}/mask", self._on_mask, qos("reliable"))
        node.create_subscription(String, f"{name}/labels", self._on_labels, LATCHED)
        node.create_subscription(DiagnosticArray, diagnostics, self._on_diagnostics, 10)

    def mask_of(self, stamp_ns: int) -> Image | None:
        """Return the mask of the frame with that stamp, None where it has not come."""
        mask = self._mask
        return mask if mask is not None and to_ns(mask.header.stamp) == stamp_ns else None

    @property
    def gave_up(self) -> bool:
        """Whether a fault keeps it from being active."""
        state = {value.key: value.value for value in self._status.values}.get("state", "")
        return bool(self._status.level == DiagnosticStatus.ERROR) and state != "active"

    def words(self) -> str:
        """Return what its diagnostics say, for the end of an error."""
        if monotonic() - self._status_at > FRESH_S:
            return "its diagnostics say nothing either, so look whether it runs"
        return f"its diagnostics say: {self._status.message}"

    def _on_mask(self, message: Image) -> None:
        self._mask = message

    def _on_labels(self, message: String) -> None:
        self.labels = message.data

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._called:
                self._status, self._status_at = status, monotonic()
