"""A lane_segmentation node in a process of its own, for as long as it is followed.

    with OwnNode("lane.edgeseg") as own:
        own.name                        # "/drive_5f3a9c12/lane_segmentation"
        own.require_alive()             # raises where its process has ended, with its last words

It lives in a namespace of its own, /diagnostics included: a robot's other nodes on this machine
neither hear it nor disturb it.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from ros_nodes.own_process import OwnProcess


class OwnNode(OwnProcess):
    """The process; a context manager that ends it in every case."""

    def __init__(self, bundle: str, trust: bool = False, threads: int | None = None) -> None:
        self.namespace = f"/drive_{secrets.token_hex(4)}"
        self.name = f"{self.namespace}/lane_segmentation"
        self.diagnostics = f"{self.namespace}/diagnostics"
        parameters = {
            "bundle": str(Path(bundle).resolve()),
            "trust": trust,
            "threads": threads or 0,
            "reliability": "reliable",
            "max_age_ms": 0.0,  # a frame is worth its mask, however busy the machine
        }
        remaps = {"__ns": self.namespace, "/diagnostics": self.diagnostics}
        super().__init__("ros_nodes.segmentation.main", parameters, remaps)

    def __enter__(self) -> OwnNode:
        return self
