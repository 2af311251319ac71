"""The launch file: its arguments, what it names, and where ROS's launch is, what it starts."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / "ros_nodes/launch/lane_segmentation.launch.py"
TREE = ast.parse(FILE.read_text(), feature_version=(3, 10))
ASKING = ("LaunchConfiguration", "_given")


def calls(*functions: str) -> Iterator[ast.Call]:
    for node in ast.walk(TREE):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in functions:
            yield node


def texts(node: ast.AST) -> set[str]:
    constants = (part for part in ast.walk(node) if isinstance(part, ast.Constant))
    return {part.value for part in constants if isinstance(part.value, str)}


def first(call: ast.Call) -> str | None:
    """Return a call's first argument where it is a text."""
    argument = call.args[0]
    return argument.value if isinstance(argument, ast.Constant) else None


DECLARED = {first(call): call for call in calls("DeclareLaunchArgument")}


def test_every_argument_that_is_declared_is_used() -> None:
    functions = [node for node in TREE.body if isinstance(node, ast.FunctionDef)]
    used = set[str]().union(*map(texts, functions))
    assert len(DECLARED) >= 10
    assert set(DECLARED) <= used


def test_every_argument_that_is_used_is_declared() -> None:
    asked = {name for call in calls(*ASKING) if (name := first(call))}
    assert asked
    assert asked <= set(DECLARED)


@pytest.mark.parametrize("name", DECLARED)
def test_every_argument_is_described_and_only_the_bundle_is_required(name: str) -> None:
    given = {keyword.arg for keyword in DECLARED[name].keywords}
    assert "description" in given
    assert ("default_value" in given) == (name != "bundle")


def test_the_programs_are_those_of_the_package() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    programs = {
        line.partition("=")[0].strip()
        for line in config["options.entry_points"]["console_scripts"].splitlines()
    }
    started = {first(call) for call in calls("_node")}
    assert started == {"lane_segmentation", "lane_camera"}
    assert started <= programs


def test_the_files_it_reads_are_there() -> None:
    files = re.findall(r'SHARE / "(\w+)" / "([\w.]+)"', FILE.read_text())
    assert {folder for folder, _ in files} == {"config", "rviz"}
    assert all((ROOT / "ros_nodes" / folder / name).is_file() for folder, name in files)


@pytest.fixture
def launch_file() -> ModuleType:
    """Return the launch file as a module, where ROS's launch is."""
    reason = "launch comes with a ROS distribution, it is not on the package index"
    pytest.importorskip("launch_ros.actions", reason=reason)
    spec = importlib.util.spec_from_file_location("lane_segmentation_launch", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def started(launch_file: ModuleType, **arguments: str) -> list[str]:
    """Return the programs that these arguments start."""
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(arguments)
    for argument in launch_file.generate_launch_description().entities[: len(DECLARED)]:
        argument.execute(context)
    nodes = launch_file.start(context)
    return [
        node.node_executable
        for node in nodes
        if node.condition is None or node.condition.evaluate(context)
    ]


def test_it_starts_what_is_asked_for(launch_file: ModuleType, tmp_path: Path) -> None:
    bundle = tmp_path / "lane.edgeseg"
    bundle.touch()
    assert started(launch_file, bundle=str(bundle)) == ["lane_segmentation"]
    more = started(launch_file, bundle=str(bundle), camera="0", rviz="true", use_sim_time="true")
    assert more == ["lane_segmentation", "lane_camera", "rviz2"]


def test_a_missing_bundle_starts_nothing(launch_file: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"no bundle at .*lane.edgeseg"):
        started(launch_file, bundle=str(tmp_path / "lane.edgeseg"))
