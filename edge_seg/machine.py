"""What the processor is: name, cores, and the instruction sets that quantized kernels use.

this_machine().isa      # ["asimd", "asimddp"] on a Raspberry Pi 5: it multiplies int8 four by four
"""

from __future__ import annotations

import os
import platform
import re
from functools import cache
from pathlib import Path

from edge_seg.bundle.manifest import Machine

RELEVANT_ISA = (
    "avx2",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
)
"""Flags of /proc/cpuinfo: wide vectors, integer dot products, matrix tiles (x86 and ARM)."""


ARM_CORES = {
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
}
"""Part numbers of Arm's own cores: Linux, arch/arm64/include/asm/cputype.h. On ARM the kernel
gives a core's number and no name."""
ARM = 0x41
"""Arm's number among the implementers."""


@cache
def this_machine(root: Path = Path("/")) -> Machine:
    """Return this machine's processor; unknown parts are empty, never an error.

    ``root`` is where the file system begins that ``/proc`` is read from.
    """
    try:
        text = (root / "proc/cpuinfo").read_text(errors="replace")
    except OSError:
        text = ""
    rows = [line.partition(":") for line in text.splitlines()]
    fields = {key.strip(): value.strip() for key, _, value in rows}
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    cpu = fields.get("model name") or _arm_cores(text) or fields.get("Model")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(
        cpu=cpu or platform.processor() or platform.machine(),
        cores=cores or 1,
        isa=[flag for flag in RELEVANT_ISA if flag in flags],
    )


def _arm_cores(cpuinfo: str) -> str:
    """Return what cores there are: ``Cortex-A72``, or both kinds of a board that has two."""
    implementers = re.findall(r"^CPU implementer\s*: (0x[0-9a-f]+)$", cpuinfo, re.MULTILINE)
    parts = re.findall(r"^CPU part\s*: (0x[0-9a-f]+)$", cpuinfo, re.MULTILINE)
    names = [
        ARM_CORES.get(int(part, 16), "") if int(implementer, 16) == ARM else ""
        for implementer, part in zip(implementers, parts, strict=False)
    ]
    return " and ".join(dict.fromkeys(filter(None, names)))


def peak_rss_bytes() -> int:
    """Return this process's highest resident memory.

    From VmHWM and not ``getrusage``, whose figure a process inherits from its parent.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmHWM in /proc/self/status")
