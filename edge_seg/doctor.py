"""What this machine has, what it lacks, and the command that installs what is missing.

    diagnosis = diagnose()
    diagnosis.parts[0]     # Part(name="openvino", state="ok", detail="2026.4.1", ...)

Looks, and loads nothing: a runtime that is broken is found by ``edge-seg verify BUNDLE``.
Nothing here is an error; a machine that only runs bundles needs few of these parts.
"""

from __future__ import annotations

import contextlib
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import msgspec
import platformdirs
import psutil

import edge_seg
from edge_seg import engines
from edge_seg.bundle.manifest import Machine
from edge_seg.bundle.signature import trusted_keys_folder
from edge_seg.errors import MissingRuntimeError
from edge_seg.machine import this_machine

SCHEMA = "edge-seg/doctor-1"

TORCH = "2.13"
"""The torch that still has the fbgemm and qnnpack kernels (`torch.ao.quantization`)."""

PACKAGES = (
    ("packing", "transformers", "pack"),
    ("packing", "safetensors", "pack"),
    ("packing", "onnx", "pack"),
    ("packing", "jinja2", "pack"),
    ("packing", "matplotlib", "pack"),
    ("rendering", "carla", "carla"),
    ("rendering", "Panda3D", "carla"),
)
"""What it is for, the distribution that pip knows, the extra that brings it."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Part(msgspec.Struct, frozen=True):
    """One thing that a machine may have.

    ``group`` says what it is for: "engine", "packing", "rendering", "testing". ``detail`` is
    its version or place. Where ``state`` is not "ok", ``fix`` is the command that mends it.
    """

    group: str
    name: str
    state: Literal["ok", "missing", "other version"]
    detail: str = ""
    fix: str = ""


class Folder(msgspec.Struct, frozen=True):
    """A folder that edge-seg uses, and what lies in it; it need not exist."""

    path: str
    files: int
    size_bytes: int


class Diagnosis(msgspec.Struct, frozen=True):
    """Everything `diagnose` found; stable as JSON."""

    schema: str
    edge_seg: str
    python: str
    platform: str
    machine: Machine
    memory_bytes: int
    memory_free_bytes: int
    parts: list[Part]
    trusted_keys: Folder
    cache: Folder


def diagnose() -> Diagnosis:
    """Look at this machine; never raises for something that is missing."""
    memory = psutil.virtual_memory()
    return Diagnosis(
        schema=SCHEMA,
        edge_seg=edge_seg.__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        machine=this_machine(),
        memory_bytes=memory.total,
        memory_free_bytes=memory.available,
        parts=[*_engines(), _torch(), *_packages(), _browser()],
        trusted_keys=_folder(trusted_keys_folder(), "*.pem"),
        cache=_folder(Path(platformdirs.user_cache_dir("edge-seg")), "**/*"),
    )


def _engines() -> Iterator[Part]:
    for name in engines.names():
        engine = engines.find(name)
        try:
            found = f"{engine.distribution} {engine.runtime_version()}"
        except MissingRuntimeError:
            fix = _install(engine.extra)
            yield Part("engine", name, "missing", engine.distribution, fix)
        else:
            yield Part("engine", name, "ok", found)


def _torch() -> Part:
    try:
        found = version("torch")
    except PackageNotFoundError:
        return Part("packing", "torch", "missing", TORCH, _install("pack"))
    if found.startswith(f"{TORCH}."):
        return Part("packing", "torch", "ok", found)
    fix = f"pip install 'torch=={TORCH}.0'"
    return Part("packing", "torch", "other version", f"{found}, packing needs {TORCH}", fix)


def _packages() -> Iterator[Part]:
    for group, distribution, extra in PACKAGES:
        try:
            yield Part(group, distribution, "ok", version(distribution))
        except PackageNotFoundError:
            yield Part(group, distribution, "missing", "", _install(extra))


def _browser() -> Part:
    """Look for the browser that the report's screenshot test drives."""
    place = next(filter(None, map(shutil.which, BROWSERS)), None)
    if place is None:
        fix = "sudo apt install chromium chromium-driver"
        return Part("testing", "chromium", "missing", "for the report's screenshot test", fix)
    return Part("testing", "chromium", "ok", place)


def _install(extra: str) -> str:
    return f"pip install 'edge-seg[{extra}]'"


def _folder(path: Path, pattern: str) -> Folder:
    sizes = []
    for file in path.glob(pattern):
        with contextlib.suppress(OSError):  # another process may just be removing it
            if file.is_file():
                sizes.append(file.stat().st_size)
    return Folder(str(path), len(sizes), sum(sizes))
