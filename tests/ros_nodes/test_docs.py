"""The page's tables say what the node has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs the extra 'ros'")

import ros_process  # noqa: F401 - keeps ROS on the loopback

from ros_nodes.camera import node as camera
from ros_nodes.declare import described
from ros_nodes.monitor import node as monitor
from ros_nodes.segmentation.parameters import PARAMETERS, Declared

PAGE = Path(__file__).parents[2] / "docs/ros2.md"


def row(declared: Declared) -> str:
    value = declared.default
    shown = str(value).lower() if isinstance(value, bool) else str(value) or '""'
    limits = declared.limits
    within = f" {limits[0]:g} to {limits[1]:g}." if limits else ""
    choices = f" One of {', '.join(declared.choices)}." if declared.choices else ""
    return f"| `{declared.name}` | {shown} | {declared.description}{within}{choices} |"


def test_the_page_has_every_parameter_as_it_is_declared() -> None:
    between = re.search(
        r"<!-- parameters,[^\n]* -->\n\n(.*?)\n\n<!-- end -->", PAGE.read_text(), re.S
    )
    assert between is not None
    assert between[1].splitlines()[2:] == [row(declared) for declared in PARAMETERS]


@pytest.mark.parametrize("settings", [camera.settings, monitor.settings])
def test_the_page_has_the_other_nodes_parameters(settings: Any) -> None:
    listed = re.findall(r"^\| (`.*?) \|", PAGE.read_text(), re.M)
    documented = {name for cell in listed for name in re.findall(r"`(\w+)`", cell)}
    declared = set(re.findall(r"^  (\w+) \(", described("node", settings), re.M))
    assert declared
    assert declared <= documented
