"""Engines: the runtimes that execute a lowered model, found by name.

    engine = find("openvino")
    session = engine.open(model, spec, options={}, threads=2)

Each engine is a folder with the same two files: ``lowering.py`` (on the host, may need
torch and ONNX) and ``session.py`` (on the device, needs numpy, OpenCV and its runtime).
Engines are found through the entry-point group ``edge_seg.engines``, so that another
package can add one; nothing of an engine is imported before it is asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import (
    EntryPoint,
    PackageNotFoundError,
    entry_points,
    packages_distributions,
    version,
)
from typing import TYPE_CHECKING, Any

from edge_seg.errors import EdgeSegError, MissingRuntimeError, closest

if TYPE_CHECKING:
    from edge_seg.engines.lowering import Lower
    from edge_seg.engines.session import Options, Session
    from edge_seg.preprocess import InputSpec
    from edge_seg.progress import Track

GROUP = "edge_seg.engines"


@dataclass(frozen=True)
class OlderRuntime:
    """A predecessor that runs the same files where nothing newer is installed."""

    runtime: str
    distribution: str
    minimum_version: str


@dataclass(frozen=True)
class Engine:
    """What is known of an engine without importing it.

    ``folder`` is the package that holds ``lowering`` and ``session``. ``variants`` maps a
    precision that the engine competes with to the ways of running it (`Options`) that are
    worth timing against each other; those in ``on_demand`` compete only where they are asked
    for. ``runtime`` is the import name and ``distribution`` the pip name of what executes the
    model; ``extra`` brings it; ``older`` does where that is not there. ``suffix`` ends the
    model file; ``minimum_version`` is the oldest runtime that is meant to run it.

    ``unpickles`` says that opening a file runs an unpickler, so that it must be trusted;
    ``fragile`` that a damaged file can end the process, so that a file is first loaded in
    another; ``portable`` that a file gives the same masks on every processor architecture;
    ``from_module`` that int8 files are made of the PyTorch module, by a toolchain that folds batch
    norm itself.

    ``stand_in`` is the engine that runs the same files on a host that lacks this one's hardware;
    what is fastest is then decided on the device, among all that hold the gate (`edge_seg.choice`).
    ``install`` is how its runtime is installed, where that is not by the extra.
    """

    name: str
    folder: str
    runtime: str
    distribution: str
    extra: str
    suffix: str
    minimum_version: str
    variants: Mapping[str, tuple[Options, ...]]
    on_demand: tuple[str, ...] = ()
    older: OlderRuntime | None = None
    unpickles: bool = False
    fragile: bool = False
    portable: bool = False
    from_module: bool = False
    stand_in: str = ""
    install: str = ""

    def here(self) -> Engine:
        """Return what runs this engine's files on this machine: itself, or its stand-in."""
        if not self.stand_in:
            return self
        try:
            self.hardware()
        except EdgeSegError:
            return find(self.stand_in)
        return self

    def hardware(self) -> str:
        """Name the hardware besides the processor that files run on, "" where there is none.

        Raises `EdgeSegError` where it, or what drives it, is missing.
        """
        if not self.stand_in:
            return ""
        if not self.installed:
            raise self._missing()
        return str(importlib.import_module(f"{self.folder}.session").hardware())

    def file_here(self, model: bytes) -> bytes:
        """Return what `here` is given of a file: the same values, in its stand-in's form."""
        if self.here() is self:
            return model
        lowering = importlib.import_module(f"{self.folder}.lowering")
        same: bytes = getattr(lowering, "for_stand_in", bytes)(model)
        return same

    def prepare(self, model: bytes, options: Options, track: Track) -> None:
        """Make what opening a file needs, ahead of time; only engines with a stand-in build."""
        if self.stand_in:
            importlib.import_module(f"{self.folder}.session").prepare(model, options, track)

    @property
    def how_to_install(self) -> str:
        """The command, or words, that bring the runtime."""
        return self.install or f"pip install 'edge-seg[{self.extra}]'"

    @property
    def installed(self) -> bool:
        """Say whether a runtime is there, without importing it."""
        runtimes = [self.runtime, *([self.older.runtime] if self.older else [])]
        return any(importlib.util.find_spec(name) is not None for name in runtimes)

    def installed_runtime(self) -> tuple[str, str, str]:
        """Return distribution, version and oldest version meant of the runtime that will run.

        Raises `MissingRuntimeError` where there is none.
        """
        with contextlib.suppress(PackageNotFoundError):
            return self.distribution, version(self.distribution), self.minimum_version
        if self.older:
            with contextlib.suppress(PackageNotFoundError):
                name = self.older.distribution
                return name, version(name), self.older.minimum_version
        # The same runtime comes under other names too (onnxruntime-gpu, openvino-nightly); to
        # look for one reads every installed package.
        others = packages_distributions().get(self.runtime) if self.installed else None
        if not others:
            raise self._missing()
        return others[0], version(others[0]), self.minimum_version

    def runtime_version(self) -> str:
        """Return the installed runtime's version, or raise `MissingRuntimeError`."""
        return self.installed_runtime()[1]

    def open(
        self, model: bytes, spec: InputSpec, options: Options, threads: int | None = None
    ) -> Session:
        """Load a lowered file; raises `EdgeSegError` when the runtime is missing or refuses it."""
        if not self.installed:
            raise self._missing()
        module = importlib.import_module(f"{self.folder}.session")
        return module.open_session(model, spec, options, threads)

    def lowering(self) -> Lower:
        """Return the function that makes this engine's file."""
        return importlib.import_module(f"{self.folder}.lowering").lower

    def _missing(self) -> MissingRuntimeError:
        if platform.machine().startswith("armv"):
            return MissingRuntimeError(
                f"engine '{self.name}' needs {self.distribution}, which is not built for this "
                "32-bit system: install the 64-bit Raspberry Pi OS"
            )
        return MissingRuntimeError(
            f"engine '{self.name}' needs {self.distribution}, which is not installed: "
            f"{self.how_to_install}"
        )


def find(name: str) -> Engine:
    """Return the engine of that name, or raise `EdgeSegError` with the closest one."""
    points = _points(tuple(sys.path))
    if name not in points:
        raise EdgeSegError(f"unknown engine '{name}': {closest(name, points)}")
    engine: Any = points[name].load()
    return engine


def names() -> list[str]:
    """Return the names of all engines, sorted."""
    return sorted(_points(tuple(sys.path)))


@cache
def _points(path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Return the registered engines; to look for them reads every installed package's file."""
    return {point.name: point for point in entry_points(group=GROUP)}
