"""This project as a device gets it: its wheel, installed into a folder.

    app = part(cache, "app", digest(), install)     # made anew when the code has changed

In a checkout the wheel is built and pip installs it. Where edge-seg itself was installed, its
files are copied: they came out of a wheel.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from configparser import ConfigParser
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import edge_seg
from edge_seg.errors import EdgeSegError
from targets.raspberry_pi.emulate.packages import pip

_BUILD_FILES = ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")


def digest() -> str:
    """Return a short digest of every file that `install` would install."""
    total = hashlib.sha256()
    for name, path in _files():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{name}\0{content}\n".encode())
    return total.hexdigest()[:16]


def install(folder: Path) -> None:
    """Install edge-seg, without what it requires, into ``folder``."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "source"
        copied = folder if _checkout() is None else copy
        for name, path in _files():
            (copied / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copied / name)
        if copied is copy:
            _install_wheel(copy, Path(temporary) / "wheel", folder)


def requirements(folder: Path) -> list[str]:
    """Return what the edge-seg installed in ``folder`` requires, extras and all."""
    return installed("edge_seg", folder).requires or []


def installed(name: str, folder: Path) -> Distribution:
    """Return a distribution in a folder of the cache; raises `EdgeSegError` where it is gone."""
    for found in distributions(name=name, path=[str(folder)]):
        return found
    raise EdgeSegError(f"{folder} is damaged, it lacks {name}: remove it and run again")


def _install_wheel(source: Path, place: Path, folder: Path) -> None:
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), str(source))
    (wheel,) = place.glob("*.whl")
    pip("install", "--no-deps", "--no-index", "--target", str(folder), str(wheel))


def _checkout() -> Path | None:
    """Return the root of the source tree that edge-seg is imported from, if it is one."""
    root = Path(edge_seg.__file__).resolve().parents[1]
    return root if (root / "setup.cfg").is_file() else None


def _files() -> Iterator[tuple[str, Path]]:
    """Yield the relative name and the place of every file, sorted."""
    root = _checkout()
    if root is None:
        installed = distribution("edge_seg").files
        if installed is None:
            raise EdgeSegError("edge-seg was installed without a list of its files: use pip")
        names = sorted(str(file) for file in installed if ".." not in file.parts)
        root = Path(str(distribution("edge_seg").locate_file("")))
    else:
        names = sorted(str(path.relative_to(root)) for path in _sources(root))
    yield from ((name, root / name) for name in names if "__pycache__" not in name)


def _sources(root: Path) -> Iterator[Path]:
    config = ConfigParser()
    config.read(root / "setup.cfg")
    for package in config["options.packages.find"]["include"].split():
        yield from (path for path in (root / package.rstrip("*")).rglob("*") if path.is_file())
    yield from (root / name for name in _BUILD_FILES if (root / name).is_file())
