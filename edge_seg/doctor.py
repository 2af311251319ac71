"""What this machine has, what it lacks, and the command that installs what is missing.

    diagnosis = diagnose()
    diagnosis.parts[0]     # Part(name="openvino", state="ok", detail="2026.4.1", ...)

Looks, and loads nothing: a runtime that is broken is found by ``edge-seg verify BUNDLE``.
Nothing here is an error; a machine that only runs bundles needs few of these parts.
"""

from __future__ import annotations

import contextlib
import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import msgspec
import platformdirs
import psutil

import edge_seg
from edge_seg import engines
from edge_seg.bundle.manifest import DeviceState, Machine
from edge_seg.bundle.signature import trusted_keys_folder
from edge_seg.device import ROOT, Device, read_device, read_state
from edge_seg.errors import EdgeSegError, MissingRuntimeError
from edge_seg.machine import this_machine

SCHEMA = "edge-seg/doctor-1"

TORCH = "2.13"
"""The torch that still has the fbgemm and qnnpack kernels (`torch.ao.quantization`)."""

TORCH_ON_ARM = "2.9.1"
"""The last of PyPI's aarch64 builds that every 64-bit Pi can run: 2.10 ends with SIGILL on a
Cortex-A72 or A53, 2.11 and newer are CUDA builds (targets/raspberry_pi/README.md)."""

PACKAGES = (
    ("packing", "transformers", "pack"),
    ("packing", "safetensors", "pack"),
    ("packing", "onnx", "pack"),
    ("packing", "jinja2", "pack"),
    ("packing", "matplotlib", "pack"),
    ("proof", "tensorrt-rtx-cu13-bindings", "jetson-check"),
    ("rendering", "carla", "carla"),
    ("rendering", "Panda3D", "carla"),
)
"""What it is for, the distribution that pip knows, the extra that brings it."""

EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Part(msgspec.Struct, frozen=True):
    """One thing that a machine may have.

    ``group`` says what it is for: "system", "engine", "camera", "packing", "proof",
    "rendering", "testing". ``detail`` is its version or place. Where ``state`` is not "ok",
    ``fix`` is the command that mends it.
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
    device: Device
    device_state: DeviceState
    memory_bytes: int
    memory_free_bytes: int
    parts: list[Part]
    trusted_keys: Folder
    cache: Folder


def diagnose(root: Path = ROOT) -> Diagnosis:
    """Look at this machine; never raises for something that is missing.

    ``root`` is where the file system begins that the device is read from.
    """
    memory = psutil.virtual_memory()
    on_arm = platform.machine().lower().startswith(("aarch64", "arm"))
    return Diagnosis(
        schema=SCHEMA,
        edge_seg=edge_seg.__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        machine=this_machine(root),
        device=read_device(root),
        device_state=read_state(root),
        memory_bytes=memory.total,
        memory_free_bytes=memory.available,
        parts=[
            *_engines(on_arm),
            *_old_runtime(),
            *(_board() if on_arm else _host()),
            _browser(),
        ],
        trusted_keys=_folder(trusted_keys_folder(), "*.pem"),
        cache=_folder(Path(platformdirs.user_cache_dir("edge-seg")), "**/*"),
    )


def _engines(on_arm: bool) -> Iterator[Part]:
    for name in engines.names():
        engine = engines.find(name)
        try:
            found = " ".join(engine.installed_runtime()[:2])
        except MissingRuntimeError:
            of_torch = on_arm and engine.distribution == "torch"
            fix = f"pip install torch=={TORCH_ON_ARM}" if of_torch else engine.how_to_install
            yield Part("engine", name, "missing", engine.distribution, fix)
            continue
        try:
            yield Part("engine", name, "ok", " on ".join(filter(None, (found, engine.hardware()))))
        except EdgeSegError as error:  # the runtime is there, what it runs on is not
            yield Part("engine", name, "missing", found, str(error))


def _host() -> Iterator[Part]:
    """Look for what a PC packs and proves with; a board only runs bundles."""
    yield _torch()
    yield from _packages()
    yield _emulator()


def _board() -> Iterator[Part]:
    """Look for what an ARM board runs with."""
    if sys.maxsize < 2**32:  # also where the kernel has 64 bits and calls itself aarch64
        fix = "write the 64-bit Raspberry Pi OS to the card"
        yield Part("system", "64-bit Python", "missing", "the runtimes have no 32-bit wheels", fix)
    yield _torch_on_arm()
    if importlib.util.find_spec("picamera2"):
        yield Part("camera", "picamera2", "ok", "camera:pi")
    else:
        fix = (
            "sudo apt install python3-picamera2, and make the virtual environment with "
            "`python3 -m venv --system-site-packages`"
        )
        yield Part("camera", "picamera2", "missing", "for camera:pi", fix)


def _old_runtime() -> Iterator[Part]:
    """Look at TensorFlow Lite's old runtime, where it runs LiteRT's bundles alone."""
    found = {name: _version(name) for name in ("ai-edge-litert", "tflite-runtime", "numpy")}
    old, numpy = found["tflite-runtime"], found["numpy"] or ""
    if old is None or found["ai-edge-litert"]:
        return
    if numpy.startswith(("0.", "1.")):
        yield Part("engine", "tflite-runtime", "ok", f"{old}, numpy {numpy}")
        return
    detail = f"{old} was built for numpy 1 and fails with a SystemError on {numpy}"
    fix = "pip install 'numpy<2' 'opencv-python-headless<4.12', or pip install ai-edge-litert"
    yield Part("engine", "tflite-runtime", "other version", detail, fix)


def _torch_on_arm() -> Part:
    fix = f"pip install torch=={TORCH_ON_ARM}"
    found = _version("torch")
    if found is None:
        return Part("engine", "torch on ARM", "missing", "for bundles of qnnpack", fix)
    if found.partition("+")[0] == TORCH_ON_ARM:
        return Part("engine", "torch on ARM", "ok", found)
    detail = f"{found}, a Raspberry Pi runs {TORCH_ON_ARM}"
    return Part("engine", "torch on ARM", "other version", detail, fix)


def _emulator() -> Part:
    """Look for what runs an ARM bundle on this processor (``pack --prove``)."""
    place = next(filter(None, map(shutil.which, EMULATORS)), None)
    if place is None:
        fix = "sudo apt install qemu-user-static"
        return Part("proof", EMULATORS[0], "missing", "for pack --prove", fix)
    return Part("proof", EMULATORS[0], "ok", place)


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


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _install(extra: str) -> str:
    return f"pip install 'edge-seg[{extra}]'"


def _folder(path: Path, pattern: str) -> Folder:
    sizes = []
    for file in path.glob(pattern):
        with contextlib.suppress(OSError):  # another process may just be removing it
            if file.is_file():
                sizes.append(file.stat().st_size)
    return Folder(str(path), len(sizes), sum(sizes))
