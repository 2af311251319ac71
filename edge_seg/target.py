"""Targets: kinds of devices, found by name through the group ``edge_seg.targets``.

    target = find("x86")
    target.engines     # ("torch", "fbgemm", "onnxruntime", "openvino"): who competes there

The core knows no target; a package adds one by registering a `Target`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_seg.errors import EdgeSegError, closest

if TYPE_CHECKING:
    from edge_seg.bundle.manifest import Proof
    from edge_seg.progress import Track

GROUP = "edge_seg.targets"

Prove = Callable[[Path, "Track"], "list[Proof]"]
"""``prove(bundle, track)`` returns one proof for each processor it was run on."""


class Facts(msgspec.Struct, frozen=True):
    """A table of an inspection: a caption, the columns' heads, rows of text."""

    caption: str
    head: list[str]
    rows: list[list[str]]


class Inspection(msgspec.Struct, frozen=True):
    """What a device's own compiler says of a lowered file, on the host.

    ``compiler`` is empty where it is not installed.
    """

    compiler: str
    tables: list[Facts] = []
    notes: list[str] = []


Inspect = Callable[[str, bytes, "Track"], "Inspection | None"]
"""``inspect(engine, file, track)`` has the device's own compiler look at a lowered file: None where
it is not for this engine; raises `EdgeSegError` where it refuses the file."""


@dataclass(frozen=True)
class DeviceKind:
    """A device that a target knows by name.

    ``accelerators`` maps what may run the model there instead of its default ("dla") to the
    precisions that it takes.
    """

    name: str
    description: str
    architecture: str
    accelerators: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """What packing must know of a kind of device.

    ``architecture`` is `platform.machine()` of the device; ``engines`` compete there, each in
    the precisions it has: int8 to be packed, float32 as a baseline; ``extra`` installs what a
    device of this kind needs. ``prove``, where there is one, runs a packed bundle's golden frames
    on that device's own runtime without the device, and raises `EdgeSegError` where it cannot;
    ``require_prover`` raises the same, as far as it is known before there is a bundle.
    ``devices`` are those that packing can be told of; ``inspect`` is the device's compiler, on the
    host.
    """

    name: str
    description: str
    architecture: str
    engines: tuple[str, ...]
    extra: str
    aliases: tuple[str, ...] = ()
    prove: Prove | None = None
    require_prover: Callable[[], None] = lambda: None
    devices: tuple[DeviceKind, ...] = ()
    inspect: Inspect | None = None

    def device(self, name: str) -> DeviceKind:
        """Return the device of that name; raises `EdgeSegError` with the closest one."""
        kinds = {kind.name: kind for kind in self.devices}
        if not kinds:
            raise EdgeSegError(f"target {self.name} knows no devices by name: leave --device out")
        if name not in kinds:
            raise EdgeSegError(f"{self.name} has no device '{name}': {closest(name, kinds)}")
        return kinds[name]


def find(name: str) -> Target:
    """Return the target of that name or alias; raises `EdgeSegError` with the closest one."""
    targets = {target.name: target for target in installed()}
    by_any_name = {a.replace("_", "-"): t for t in targets.values() for a in (t.name, *t.aliases)}
    plain = name.lower().replace("_", "-").replace(" ", "-")
    if plain not in by_any_name:
        raise EdgeSegError(f"unknown target '{name}': {closest(plain, by_any_name)}")
    return by_any_name[plain]


def installed() -> list[Target]:
    """Return every registered target, sorted by name."""
    targets: list[Target] = [point.load() for point in entry_points(group=GROUP)]
    return sorted(targets, key=lambda target: target.name)
