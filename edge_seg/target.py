"""Targets: kinds of devices, found by name through the group ``edge_seg.targets``.

    target = find("x86")
    target.engines     # ("torch", "fbgemm", "onnxruntime", "openvino"): who competes there

The core knows no target; a package adds one by registering a `Target`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from edge_seg.errors import EdgeSegError, closest

if TYPE_CHECKING:
    from edge_seg.bundle.manifest import Proof
    from edge_seg.progress import Track

GROUP = "edge_seg.targets"

Prove = Callable[[Path, "Track"], "list[Proof]"]
"""``prove(bundle, track)`` returns one proof for each processor it was run on."""


@dataclass(frozen=True)
class Target:
    """What packing must know of a kind of device.

    ``architecture`` is `platform.machine()` of the device; ``engines`` compete there, each in
    the precisions it has: int8 to be packed, float32 as a baseline; ``extra`` installs what a
    device of this kind needs. ``prove``, where there is one, runs a packed bundle's golden frames
    on that device's own runtime without the device, and raises `EdgeSegError` where it cannot;
    ``require_prover`` raises the same, as far as it is known before there is a bundle.
    """

    name: str
    description: str
    architecture: str
    engines: tuple[str, ...]
    extra: str
    aliases: tuple[str, ...] = ()
    prove: Prove | None = None
    require_prover: Callable[[], None] = lambda: None


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
