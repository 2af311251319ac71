"""The repository's root is a ROS package, too: built here by the real colcon."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

pytest.importorskip("colcon_core", reason="colcon is not installed: pip install 'edge-seg[dev]'")

ROOT = Path(__file__).parents[2]
PACKAGES = ("edge_seg", "targets", "ros_nodes", "carla_bridge", "calibration_sets")
FILES = (
    "package.xml",
    "resource",
    "setup.cfg",
    "setup.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
PROGRAMS = ("edge-seg", "lane_camera", "lane_segmentation", "latency_monitor")
SHARED = (
    "share/ament_index/resource_index/packages/edge_seg",
    "share/edge_seg/package.xml",
    "share/edge_seg/launch/lane_segmentation.launch.py",
    "share/edge_seg/config/lane_segmentation.yaml",
    "share/edge_seg/config/fastdds.xml",
    "share/edge_seg/rviz/lane_segmentation.rviz",
    "share/edge_seg/foxglove/lane_segmentation.json",
)
LAST_WITH_DEVELOP = "setuptools<80"
"""What --symlink-install calls setup.py with is gone in newer ones."""


@dataclass(frozen=True)
class Built:
    """A workspace after ``colcon build``; `linked` with --symlink-install."""

    workspace: Path
    linked: bool

    @property
    def prefix(self) -> Path:
        return self.workspace / "install/edge_seg"

    def sourced(self, command: str) -> str:
        """Return what a shell command prints after the workspace's setup.bash."""
        return run("bash", "-c", f"source install/setup.bash && {command}", cwd=self.workspace)


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    ours = {name: value for name, value in os.environ.items() if "COV_CORE" not in name}
    for name in ("AMENT_PREFIX_PATH", "COLCON_PREFIX_PATH", "PYTHONPATH"):
        ours.pop(name, None)
    ours["COLCON_HOME"] = str(cwd / "colcon-home")
    ours |= environment
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=cwd, env=ours
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tree() -> Iterator[str]:
    """Yield the path of each of the repository's files, those that git does not know yet, too."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        yield from (name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())
        return
    paths = [path for name in PACKAGES for path in (ROOT / name).rglob("*")]
    paths += [path for name in FILES for path in (ROOT / name, *(ROOT / name).glob("*"))]
    yield from (str(path.relative_to(ROOT)) for path in paths if path.is_file())


def workspace(folder: Path) -> Path:
    """Return a folder whose src/edge_seg is a copy of this tree."""
    for name in tree():
        place = folder / "src/edge_seg" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place)
    return folder


@pytest.fixture(scope="module")
def older_setuptools(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a folder for PYTHONPATH with a setuptools that can link, "" where ours can."""
    if int(version("setuptools").partition(".")[0]) < 80:
        return ""
    folder = tmp_path_factory.mktemp("setuptools")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install")
    run(*pip, "--no-deps", "--target", folder, LAST_WITH_DEVELOP, cwd=folder)
    return str(folder)


@pytest.fixture(scope="module", params=["copied", "linked"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return a workspace after ``colcon build``, which left the source as it was."""
    linked = request.param == "linked"
    folder = workspace(tmp_path_factory.mktemp(request.param))
    source = folder / "src/edge_seg"
    before = {path.name for path in source.iterdir()}
    colcon = (sys.executable, "-m", "colcon", "build")
    if linked:
        older = request.getfixturevalue("older_setuptools")
        run(*colcon, "--symlink-install", cwd=folder, PYTHONPATH=older)
    else:
        run(*colcon, cwd=folder)
    assert {path.name for path in source.iterdir()} == before
    return Built(folder, linked)


def test_colcon_sees_an_ament_python_package(tmp_path: Path) -> None:
    # With an invalid package.xml it is a plain python package, which ROS does not find.
    listed = run(sys.executable, "-m", "colcon", "list", cwd=workspace(tmp_path))
    assert listed.split() == ["edge_seg", "src/edge_seg", "(ros.ament_python)"]


@pytest.mark.parametrize("name", SHARED)
def test_what_ros_reads_is_in_share(built: Built, name: str) -> None:
    assert (built.prefix / name).is_file()


def test_programs_are_where_ros2_run_looks(built: Built) -> None:
    programs = {path.name: path for path in (built.prefix / "lib/edge_seg").iterdir()}
    assert set(programs) >= set(PROGRAMS)
    assert all(os.access(path, os.X_OK) for path in programs.values())


def test_after_setup_bash_everything_comes_from_the_workspace(built: Built) -> None:
    assert built.sourced("echo $AMENT_PREFIX_PATH").strip() == str(built.prefix)
    code = "import edge_seg, ros_nodes; print(edge_seg.__file__, ros_nodes.__file__)"
    files = built.sourced(f"{sys.executable} -c '{code}'").split()
    home = built.workspace / "src/edge_seg" if built.linked else built.prefix / "lib"
    assert len(files) == 2
    assert all(Path(file).resolve().is_relative_to(home.resolve()) for file in files)


def test_a_program_of_the_workspace_runs(built: Built) -> None:
    assert "raspberry-pi" in built.sourced("$AMENT_PREFIX_PATH/lib/edge_seg/edge-seg targets")


def test_the_shared_memory_profile_is_there(built: Built) -> None:
    code = "from ros_nodes.environment import PROFILE; print(PROFILE.is_file())"
    assert built.sourced(f"{sys.executable} -c '{code}'").strip() == "True"


def test_ros_finds_the_package_by_its_name(built: Built) -> None:
    pytest.importorskip("ament_index_python", reason="no ROS here: pip install 'edge-seg[ros]'")
    code = "from ament_index_python import get_package_share_directory as s; print(s('edge_seg'))"
    share = built.sourced(f'{sys.executable} -c "{code}"').strip()
    assert share == str(built.prefix / "share/edge_seg")


def test_a_wheel_puts_programs_where_pip_does(tmp_path: Path) -> None:
    source = workspace(tmp_path) / "src/edge_seg"
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, source)
    run(sys.executable, "-m", "pip", *build, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = (name for name in names if name.endswith("/entry_points.txt"))
        text = archive.read(points).decode()
    assert not [name for name in names if "lib/edge_seg" in name or ".data/scripts" in name]
    assert all(f"{program} = " in text.partition("[edge_seg.")[0] for program in PROGRAMS)
    data = {name.partition(".data/data/")[2] for name in names}
    assert set(SHARED) <= data
