"""NVIDIA Jetson, and desktop GPUs: TensorRT builds the engine on the device, from the bundle.

What NVIDIA's own builder says of a graph, on any host, is in `check`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_seg.target import DeviceKind, Target

if TYPE_CHECKING:
    from edge_seg.progress import Track
    from edge_seg.target import Inspection


def _inspect(engine: str, model: bytes, track: Track) -> Inspection | None:
    """Build the graph ahead of time, where TensorRT for RTX is installed."""
    if engine != "tensorrt":
        return None
    from targets.jetson.inspection import inspect

    return inspect(model, track)


_DLA = {"dla": ("float16",)}
"""TensorRT takes no Q/DQ graph for it (README beside this file)."""

TARGET = Target(
    name="jetson",
    description="NVIDIA Jetson with JetPack 6 or newer, and desktop GPUs",
    architecture="aarch64",
    engines=("torch", "tensorrt"),
    extra="jetson",
    aliases=("orin",),
    devices=(
        DeviceKind("orin-nano", "Jetson Orin Nano, compute capability 8.7", "aarch64"),
        DeviceKind("orin-nx", "Jetson Orin NX, 8.7", "aarch64", _DLA),
        DeviceKind("agx-orin", "Jetson AGX Orin, 8.7", "aarch64", _DLA),
        DeviceKind("xavier", "Jetson AGX Xavier and Xavier NX, 7.2", "aarch64", _DLA),
        DeviceKind("thor", "Jetson AGX Thor", "aarch64"),
        DeviceKind("rtx", "desktop and workstation GPUs", "x86_64"),
    ),
    inspect=_inspect,
)
