"""Set-up takes a CPU build of torch or none: tried on hand-made wheels, with the real pip."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci/install_torch.py"
WANTED = "torch==99.0.0"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install_torch", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wheel(folder: Path, name: str, version: str, *requires: str) -> None:
    """Write the least that pip takes for a wheel."""
    about = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        archive.writestr(f"{about}/METADATA", metadata)
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


def from_folder(folder: Path) -> list[str]:
    return ["--no-index", "--find-links", str(folder)]


def test_a_cuda_build_is_refused_before_anything_is_installed(
    script: ModuleType, tmp_path: Path
) -> None:
    wheel(tmp_path, "torch", "99.0.0", "nvidia_cublas==1.0", 'triton==1.0; python_version > "3"')
    wheel(tmp_path, "nvidia_cublas", "1.0")
    wheel(tmp_path, "triton", "1.0")
    reason = script.why_not(WANTED, from_folder(tmp_path))
    assert reason.startswith("it comes with 2 CUDA packages")
    assert script.installed() != "99.0.0"


def test_a_cpu_build_is_taken(script: ModuleType, tmp_path: Path) -> None:
    wheel(tmp_path, "torch", "99.0.0+cpu")
    assert script.why_not(WANTED, from_folder(tmp_path)) == ""


def test_cuda_for_another_system_does_not_matter(script: ModuleType, tmp_path: Path) -> None:
    wheel(tmp_path, "torch", "99.0.0", 'nvidia_cublas==1.0; sys_platform == "amiga"')
    assert script.why_not(WANTED, from_folder(tmp_path)) == ""


def test_a_missing_build_says_what_pip_said(script: ModuleType, tmp_path: Path) -> None:
    assert "torch==99.0.0" in script.why_not(WANTED, from_folder(tmp_path))


def test_an_installed_torch_is_left_alone(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["install_torch.py", script.installed()])
    script.main()
    assert "already there" in capsys.readouterr().out
