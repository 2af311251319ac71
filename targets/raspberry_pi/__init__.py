"""Raspberry Pi 3, 4, 5 and Zero 2 W with a 64-bit system; proof by emulation is in `emulate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_seg.target import Target

if TYPE_CHECKING:
    from edge_seg.bundle.manifest import Proof
    from edge_seg.progress import Track


def _prove(bundle: Path, track: Track) -> list[Proof]:
    """Run the golden frames in the emulator, whose code is imported only then."""
    from targets.raspberry_pi.emulate.proof import prove

    return prove(bundle, track)


TARGET = Target(
    name="raspberry-pi",
    description="Raspberry Pi 3, 4, 5 and Zero 2 W with a 64-bit system",
    architecture="aarch64",
    engines=("torch", "litert", "qnnpack"),
    extra="raspberry-pi",
    aliases=("rpi", "pi"),
    prove=_prove,
)
