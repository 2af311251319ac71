"""The environment: the right variable for the distribution, and what is told of a wrong one."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from ros_nodes.environment import OLD_VARIABLE, PROFILE, VARIABLE, profile, variable, warnings


@pytest.mark.parametrize(
    ("distribution", "name"),
    [
        ("humble", OLD_VARIABLE),
        ("jazzy", OLD_VARIABLE),
        ("kilted", VARIABLE),
        ("rolling", VARIABLE),
    ],
)
def test_the_variable_follows_the_distribution(distribution: str, name: str) -> None:
    environment = {"ROS_DISTRO": distribution}
    assert variable(environment) == name
    assert profile(environment) == {name: str(PROFILE)}
    assert warnings({**environment, **profile(environment)}) == []


def test_the_user_s_own_profile_stays(tmp_path: Path) -> None:
    own = tmp_path / "own.xml"
    own.write_text("<segment_size>1</segment_size>")
    environment = {"ROS_DISTRO": "kilted", VARIABLE: str(own)}
    assert profile(environment) == {}
    assert warnings(environment) == []


def test_another_middleware_needs_none() -> None:
    environment = {"ROS_DISTRO": "kilted", "RMW_IMPLEMENTATION": "rmw_zenoh_cpp"}
    assert profile(environment) == {}
    assert warnings(environment) == []


def test_what_costs_frames_is_told_with_the_way_out(tmp_path: Path) -> None:
    small = tmp_path / "small.xml"
    small.write_text("<profiles/>")
    for value, words in (("", "no Fast DDS profile"), ("/none", "cannot be read"),
                         (str(small), "no segment_size")):  # fmt: skip
        (line,) = warnings({"ROS_DISTRO": "jazzy", OLD_VARIABLE: value})
        assert words in line
        assert f"export {OLD_VARIABLE}={PROFILE}" in line


def test_the_profile_s_segment_holds_several_frames_of_720p() -> None:
    root = ElementTree.parse(PROFILE).getroot()
    tag = "{http://www.eprosima.com}"
    (size,) = root.iter(f"{tag}segment_size")
    assert int(size.text or 0) >= 8 * 1280 * 720 * 3
    kinds = [kind.text for kind in root.iter(f"{tag}type")]
    assert kinds == ["SHM", "UDPv4"]
