"""What the processor is: name, cores, and the instruction sets that quantized kernels use."""

from __future__ import annotations

import os
import platform
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


@cache
def this_machine() -> Machine:
    """Return this machine's processor; unknown parts are empty, never an error."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    fields = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    cpu = fields.get("model name") or fields.get("Model") or platform.processor()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(
        cpu=cpu or platform.machine(),
        cores=cores or 1,
        isa=[flag for flag in RELEVANT_ISA if flag in flags],
    )


def peak_rss_bytes() -> int:
    """Return this process's highest resident memory.

    From VmHWM and not ``getrusage``, whose figure a process inherits from its parent.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmHWM in /proc/self/status")
