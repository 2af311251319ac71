"""This project as a device gets it, from a checkout and from an installed copy."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

import edge_seg
from targets.raspberry_pi.emulate import app

COPY = """
import sys
from pathlib import Path
from targets.raspberry_pi.emulate import app
print(app.digest())
app.install(Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("app")
    app.install(folder)
    return folder


def names(folder: Path) -> set[str]:
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(name) for name in files if "__pycache__" not in name.parts}


def test_the_wheel_is_installed_with_its_entry_points(installed: Path) -> None:
    (found,) = distributions(name="edge_seg", path=[str(installed)])
    assert found.version == edge_seg.__version__
    engines = {point.name for point in found.entry_points if point.group == "edge_seg.engines"}
    assert {"litert", "qnnpack"} <= engines
    assert (installed / "targets/raspberry_pi/emulate/supervise.py").is_file()
    assert any("raspberry-pi" in line for line in app.requirements(installed))
    assert not (installed / "tests").exists()


def test_an_installed_copy_gives_the_same_device(installed: Path, tmp_path: Path) -> None:
    """Where there is no checkout to build a wheel from, the installed files are copied."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", COPY, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) == 16
    outside = ("bin/", "share/")  # commands, and what ROS reads: a device needs neither
    assert names(tmp_path) == {name for name in names(installed) if not name.startswith(outside)}


def test_a_change_of_the_code_changes_the_digest(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    for name in ("edge_seg", "targets"):
        (source / name).mkdir(parents=True)
        (source / name / "__init__.py").write_text("x = 1\n")
    (source / "setup.cfg").write_text("[options.packages.find]\ninclude =\n    edge_seg*\n")
    monkeypatch.setattr(edge_seg, "__file__", str(source / "edge_seg/__init__.py"))
    before = app.digest()
    (source / "targets/__init__.py").write_text("x = 2\n")  # setup.cfg leaves it out
    (source / "edge_seg/__pycache__").mkdir()
    (source / "edge_seg/__pycache__/a.pyc").write_text("")
    assert app.digest() == before
    (source / "edge_seg/__init__.py").write_text("x = 2\n")
    assert app.digest() != before
