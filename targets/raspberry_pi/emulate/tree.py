"""A Raspberry Pi's Python and what is installed on it, in folders of the user's cache.

    tree = make_tree("litert")
    tree.python, tree.site, tree.app, tree.version

Three folders make a tree: Python itself, a runtime with what edge-seg requires, and edge-seg.
Each is made once and kept by a digest of what it holds, so that a change of our code makes
only the last one anew, and the second tree needs no network.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_seg.errors import EdgeSegError, closest
from targets.raspberry_pi.emulate import app, packages
from targets.raspberry_pi.emulate.parts import cache_folder, key, part
from targets.raspberry_pi.emulate.requirements import closure

LAYOUT = "1"
"""Part of every key: raise it when the folders are made in another way."""


@dataclass(frozen=True)
class Runtime:
    """A runtime that a device may have: its extra of edge-seg, and versions that are not the
    ones installed here."""

    name: str
    distribution: str
    extra: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime("litert", "ai-edge-litert", extra="raspberry-pi"),
        Runtime(
            "tflite-runtime",
            "tflite-runtime",
            # Compiled for numpy 1; OpenCV 4.11 is the last that takes it.
            pins={
                "tflite-runtime": "2.14.0",
                "numpy": "1.26.4",
                "opencv-python-headless": "4.11.0.86",
            },
        ),
        # 2.10 dies on a Pi 4, later ones want CUDA.
        Runtime("torch", "torch", pins={"torch": "2.9.1"}),
    )
}


@dataclass(frozen=True)
class Tree:
    """Where a device's Python, its packages and edge-seg lie."""

    runtime: Runtime
    python: Path
    site: Path
    app: Path

    @property
    def version(self) -> str:
        """The runtime's version on the device."""
        return app.installed(self.runtime.distribution, self.site).version


def make_tree(runtime: str = "litert", folder: Path | None = None) -> Tree:
    """Return the tree with this runtime, made where it is not there yet.

    Raises `EdgeSegError` where packages cannot be had; what was downloaded before is kept.
    """
    if runtime not in RUNTIMES:
        raise EdgeSegError(f"unknown runtime '{runtime}': {closest(runtime, RUNTIMES)}")
    wanted, folder = RUNTIMES[runtime], folder or cache_folder()
    ours = installed_app(folder)
    return Tree(
        runtime=wanted,
        python=_python(folder),
        site=_site(folder, wanted, app.requirements(ours)),
        app=ours,
    )


def installed_app(folder: Path | None = None) -> Path:
    """Return the folder that edge-seg itself is installed in."""
    return part(folder or cache_folder(), "app", key(LAYOUT, app.digest()), app.install)


def _python(folder: Path) -> Path:
    debs = part(folder, "debs", key(LAYOUT, *packages.DEBS), packages.debs)
    names = sorted(deb.name for deb in debs.glob("*.deb"))
    return part(folder, "python", key(LAYOUT, *names), lambda goal: _unpack(debs, goal))


def _site(folder: Path, runtime: Runtime, requirements: list[str]) -> Path:
    pins = closure(requirements, runtime.pins, runtime.extra)
    digest = key(LAYOUT, *(f"{name}=={version}" for name, version in sorted(pins.items())))

    def install(goal: Path) -> None:
        wheels = part(folder, "wheels", digest, lambda goal: packages.wheels(goal, pins))
        packages.install(goal, wheels)

    return part(folder, f"site-{runtime.name}", digest, install)


def _unpack(debs: Path, folder: Path) -> None:
    """Unpack the packages; Python's library is compiled, which takes a guest long."""
    for deb in sorted(debs.glob("*.deb")):
        packages.run(
            "dpkg-deb",
            *("-x", str(deb), str(folder)),
            what=f"unpacking {deb.name}",
            advice=f"remove {debs} and run again",
        )
    if sys.version_info[:2] == (3, 11):  # only the same Python's bytecode is of use
        library = str(folder / f"usr/lib/python{packages.PYTHON}")
        command = [sys.executable, "-m", "compileall", "-q", "-j", "2", library]
        subprocess.run(command, capture_output=True, check=False)
