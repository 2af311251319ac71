"""Raspberry Pi 3, 4, 5 and Zero 2 W with a 64-bit system; proof by emulation is in `emulate`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from edge_seg.errors import EdgeSegError
from edge_seg.target import Target

if TYPE_CHECKING:
    from edge_seg.bundle.manifest import Proof
    from edge_seg.progress import Track


def _prove(bundle: Path, track: Track) -> list[Proof]:
    """Run the golden frames in the emulator, whose code is imported only then."""
    from targets.raspberry_pi.emulate.proof import prove

    return prove(bundle, track)


def _require_prover() -> None:
    """Look for the emulator and what fetches its packages."""
    from targets.raspberry_pi.emulate.guest import find_emulator

    find_emulator()
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise EdgeSegError(
            "--prove takes the Pi's Python from Debian's packages and needs apt-get and dpkg-deb: "
            "pack on a Debian or Ubuntu, or leave --prove out and run edge-seg verify on the device"
        )


TARGET = Target(
    name="raspberry-pi",
    description="Raspberry Pi 3, 4, 5 and Zero 2 W with a 64-bit system",
    architecture="aarch64",
    engines=("torch", "litert", "qnnpack"),
    extra="raspberry-pi",
    aliases=("rpi", "pi", "raspberrypi"),
    prove=_prove,
    require_prover=_require_prover,
)
