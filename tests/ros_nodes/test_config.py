"""The files beside the node follow it: parameters, RViz, Foxglove."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

HOME = Path(__file__).parents[2] / "ros_nodes"
NODE = "/lane_segmentation"


def topics() -> set[str]:
    """Return the topics that the node's sources name."""
    sources = [path.read_text() for path in (HOME / "segmentation").glob("*.py")]
    own = {name for text in sources for name in re.findall(r'"~/(\w+)"', text)}
    return {f"{NODE}/{name}" for name in own} | {"/diagnostics"}


def layout() -> dict[str, Any]:
    return json.loads((HOME / "foxglove/lane_segmentation.json").read_text())


def test_the_parameters_are_those_that_the_node_declares() -> None:
    pytest.importorskip("rclpy", reason="no ROS here: pip install 'edge-seg[ros]'")
    from ros_nodes.segmentation.parameters import PARAMETERS

    config = yaml.safe_load((HOME / "config/lane_segmentation.yaml").read_text())
    # A key of the node's name would not apply in a namespace, and nothing would say so.
    assert list(config) == ["/**"]
    written = config["/**"]["ros__parameters"]
    assert written == {declared.name: declared.default for declared in PARAMETERS}
    for declared in PARAMETERS:
        assert type(written[declared.name]) is type(declared.default), declared.name


def test_every_parameter_has_a_comment() -> None:
    above = ""
    for line in (HOME / "config/lane_segmentation.yaml").read_text().splitlines():
        if re.match(r"    \w+:", line):
            assert above.startswith("    ") and ("#" in above or "latency_ms" in above), line
        above = line


def test_rviz_shows_topics_of_the_node() -> None:
    config = yaml.safe_load((HOME / "rviz/lane_segmentation.rviz").read_text())
    displays = config["Visualization Manager"]["Displays"]
    shown = {display["Topic"]["Value"] for display in displays}
    assert shown == {f"{NODE}/mask_color", f"{NODE}/overlay"} & topics()
    assert {display["Class"] for display in displays} == {"rviz_default_plugins/Image"}
    # Best effort hears a node of either output_reliability.
    policies = {display["Topic"]["Reliability Policy"] for display in displays}
    assert policies == {"Best Effort"}


def test_foxglove_shows_topics_of_the_node() -> None:
    named = set(re.findall(r'"(/\w+(?:/\w+)?)[.\["]', json.dumps(layout())))
    assert {f"{NODE}/overlay", f"{NODE}/mask_color", f"{NODE}/latency", "/diagnostics"} == named
    assert named <= topics()


def test_foxglove_plots_every_stage() -> None:
    from ros_nodes.segmentation.counts import STAGES

    (plot,) = (panel for name, panel in layout()["configById"].items() if name[:5] == "Plot!")
    paths = {path["label"]: path["value"] for path in plot["paths"]}
    stages = {name: f"{NODE}/latency.position[{i}]" for i, name in enumerate(STAGES)}
    assert paths == stages
    assert all(path["enabled"] for path in plot["paths"])


def test_foxglove_places_every_panel_once() -> None:
    def panels(place: Any) -> list[str]:
        if isinstance(place, str):
            return [place]
        return panels(place["first"]) + panels(place["second"])

    assert sorted(panels(layout()["layout"])) == sorted(layout()["configById"])
