"""The house rules: which way imports point, who may import what, what lies where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("edge_seg", "targets", "carla_bridge", "ros_nodes", "calibration_sets")
MAY_IMPORT = {
    "edge_seg": {"edge_seg"},
    "calibration_sets": {"calibration_sets"},
    "targets": {"targets", "edge_seg"},
    "carla_bridge": set(PACKAGES) - {"ros_nodes"},
    "ros_nodes": set(PACKAGES) - {"carla_bridge"},
}
BRIDGE_MAY_IMPORT = {
    "world": {"world"},
    "driving": {"driving"},
    "client": {"client", "world"},
    "recording": {"recording", "client", "world"},
    "camera": {"camera", "client", "evaluation", "world"},
    "evaluation": {"evaluation", "client", "driving", "world"},
    "report": {"report", "evaluation", "driving", "world"},
}
"""The parts of carla_bridge; its `cli` uses them all."""
RENDER = ROOT / "edge_seg/cli/frames.py"
"""`edge-seg frames render` asks the built-in world for frames, when it is run."""

AT_HOME_ONLY = {"carla": "carla_bridge", "panda3d": "carla_bridge", "rclpy": "ros_nodes"}
PACKING_ONLY = {"torch", "onnx", "transformers", "safetensors", "jinja2", "matplotlib", "nncf"}
NEEDS_TORCH = "edge_seg.engines.torch_fx"
ON_A_DEVICE = (
    "edge_seg.segmenter",
    "edge_seg.metrics",
    "edge_seg.bench",
    "edge_seg.doctor",
    "edge_seg.cli.main",
)

Import = tuple[str, bool]
"""(Dotted name, whether importing the module imports it: not in a function, not for types)."""


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> list[Import]:
    return list(_imports(ast.parse(path.read_text()), at_once=True))


def _imports(node: ast.AST, at_once: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, at_once) for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports here are absolute"
        assert node.module is not None
        yield node.module, at_once
        yield from ((f"{node.module}.{alias.name}", at_once) for alias in node.names)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        at_once = False
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        at_once = False
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, at_once)


def module_file(name: str) -> Path | None:
    place = ROOT.joinpath(*name.split("."))
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def loaded_with(name: str, seen: set[str]) -> set[str]:
    """Return every module that importing ``name`` imports, as far as our own code says."""
    path = module_file(name)
    if name in seen or path is None:
        return seen | ({name} if path is None else set())
    parents = {name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)}
    seen = seen | {name}
    for imported in sorted(parents | {found for found, at_once in imports(path) if at_once}):
        seen = loaded_with(imported, seen)
    return seen


@pytest.mark.parametrize("package", PACKAGES)
def test_import_arrows_point_one_way(package: str) -> None:
    for path in files(package):
        for name, at_once in imports(path):
            top = name.partition(".")[0]
            if path == RENDER and top == "carla_bridge" and not at_once:
                continue
            assert top not in PACKAGES or top in MAY_IMPORT[package], f"{path} imports {name}"


@pytest.mark.parametrize(("module", "home"), AT_HOME_ONLY.items())
def test_a_simulator_and_ros_are_imported_in_their_folder_only(module: str, home: str) -> None:
    for package in PACKAGES:
        for path in files(package):
            tops = {name.partition(".")[0] for name, _ in imports(path)}
            assert package == home or module not in tops, f"{path} imports {module}"


def device_modules() -> list[str]:
    sessions = sorted((ROOT / "edge_seg/engines").glob("*/session.py"))
    names = [f"edge_seg.engines.{path.parent.name}.session" for path in sessions]
    light = [name for name in names if not name.startswith(NEEDS_TORCH)]
    packages = ("bundle", "frames", "cli")
    paths = [path for p in packages for path in files(f"edge_seg/{p}")]
    parts = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [*ON_A_DEVICE, *light, *(p for p in parts if not p.endswith("__"))]


@pytest.mark.parametrize("module", device_modules())
def test_what_runs_on_a_device_imports_no_packing_library(module: str) -> None:
    loaded = {name.partition(".")[0] for name in loaded_with(module, set())}
    assert module_file(module) is not None
    assert not loaded & PACKING_ONLY


@pytest.mark.parametrize("part", BRIDGE_MAY_IMPORT)
def test_the_bridge_s_parts_import_one_way(part: str) -> None:
    main = ROOT / "carla_bridge/world/__main__.py"  # the command, for a process without edge-seg
    for path in files(f"carla_bridge/{part}"):
        found = {name.split(".")[1] for name, _ in imports(path) if name[:13] == "carla_bridge."}
        assert path == main or found <= BRIDGE_MAY_IMPORT[part], path


def test_every_entry_point_names_something_that_is_there() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    groups = config["options.entry_points"]
    lines = [line for group in groups.values() for line in group.splitlines() if line]
    assert len(lines) >= 5
    for line in lines:
        module, _, attribute = line.partition("=")[2].strip().partition(":")
        path = module_file(module)
        assert path is not None, line
        names = (attribute,) if attribute else ("command", "app")
        text = path.read_text()
        assert any(f"{name} = " in text or f"def {name}(" in text for name in names), line


def test_every_package_is_a_folder_with_a_docstring() -> None:
    for package in PACKAGES:
        for path in files(package):
            assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


def test_torch_is_pinned_where_it_still_has_fbgemm_and_qnnpack() -> None:
    from edge_seg.doctor import TORCH

    pins = (ROOT / "constraints.txt").read_text().splitlines()
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert f"torch=={TORCH}.0" in pins
    assert f"torch=={TORCH}.0" in config["options.extras_require"]["pack"]
