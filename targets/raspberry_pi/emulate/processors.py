"""Processors of Raspberry Pis: what qemu calls them, and what Linux says of them on the board.

    PROCESSORS["cortex-a72"].cpuinfo(cores=4)       # a Pi 4's /proc/cpuinfo

qemu 7.2 shows a guest the host's /proc/cpuinfo. LiteRT asks that file which kernels the
processor can run, finds x86 flags, and crashes; so a guest is given the file of its board.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_seg.errors import EdgeSegError, closest


@dataclass(frozen=True)
class Processor:
    """``name`` is qemu's; the rest is what /proc/cpuinfo of the board holds."""

    name: str
    boards: str
    part: str
    variant: str
    revision: int
    features: str

    def cpuinfo(self, cores: int) -> str:
        """Return /proc/cpuinfo of a board with this many cores."""
        return "".join(self._core(number) for number in range(cores))

    def _core(self, number: int) -> str:
        return (
            f"processor\t: {number}\n"
            "BogoMIPS\t: 108.00\n"
            f"Features\t: {self.features}\n"
            "CPU implementer\t: 0x41\n"
            "CPU architecture: 8\n"
            f"CPU variant\t: {self.variant}\n"
            f"CPU part\t: {self.part}\n"
            f"CPU revision\t: {self.revision}\n\n"
        )


_BASE = "fp asimd evtstrm crc32 cpuid"
_A76 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
    "asimddp"
)

PROCESSORS = {
    processor.name: processor
    for processor in (
        Processor("cortex-a53", "Pi 3, Zero 2 W", "0xd03", "0x0", 4, _BASE),
        Processor("cortex-a72", "Pi 4", "0xd08", "0x0", 3, _BASE),
        Processor("cortex-a76", "Pi 5", "0xd0b", "0x4", 1, _A76),
    )
}


def find(name: str) -> Processor:
    """Return the processor of that name, or raise `EdgeSegError` with the closest one."""
    if name not in PROCESSORS:
        raise EdgeSegError(f"unknown processor '{name}': {closest(name, PROCESSORS)}")
    return PROCESSORS[name]
