"""From the words of the command line to the settings of a training.

parse_options(["base=32", "up=bilinear"])  # {"base": "32", "up": "bilinear"}
parse_options(["widths=8,16,32", "depth=2"])  # {"widths": ["8", "16", "32"], "depth": "2"}
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from edge_seg.errors import EdgeSegError
from edge_seg.files import require_writable, sha256_file
from edge_seg.training.settings import Settings


def be_kind_to_memory_and_cores() -> None:
    """Set what torch's runtime libraries read when they start; call it before importing torch.

    OpenMP's threads spin while they wait, by default: on two cores with one other busy process
    a step took 30 times as long (measured), because a spinning thread keeps the one it waits
    for from the core. They sleep here.

    glibc's malloc returns large blocks to the system and asks for new ones, which the kernel
    fills with zeros, page by page, thousands of times a step. Here it keeps them: 10 % of a
    step's time. The numbers are mallopt(3)'s M_TRIM_THRESHOLD and M_MMAP_MAX.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # musl has none
            libc.mallopt(-1, 2**31 - 1)
            libc.mallopt(-4, 0)


def spare_cores() -> int:
    """Return how many processes may render beside each that trains: the cores that are left, 1..16.

    A launcher of several processes says in LOCAL_WORLD_SIZE how many share this machine.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(16, max(1, len(os.sched_getaffinity(0)) // processes - 1))


def parse_weights(text: str | None) -> tuple[float, ...]:
    """Return the weight of each class of ``1,1,3``; none where nothing was given."""
    try:
        return () if text is None else tuple(float(weight) for weight in text.split(","))
    except ValueError as error:
        raise EdgeSegError(f"'{text}' are no class weights: write numbers, 1,1,3") from error


def parse_scales(text: str) -> tuple[float, float]:
    """Return the smallest and the largest zoom of ``0.7,1.6``."""
    match = re.fullmatch(r"(\d*\.?\d+),(\d*\.?\d+)", text)
    if not match:
        raise EdgeSegError(f"'{text}' are no scales: write SMALLEST,LARGEST, such as 0.7,1.6")
    return float(match[1]), float(match[2])


def crop_of(size: tuple[int, int], asked: tuple[int, int] | None) -> tuple[int, int]:
    """Return what a step sees of the network's input; all are (height, width).

    Where nothing was asked for, it is the default of `Settings`, or all of a smaller input.
    """
    if asked is None:
        known = Settings()
        return min(known.crop_height, size[0]), min(known.crop_width, size[1])
    if asked[0] > size[0] or asked[1] > size[1]:
        raise EdgeSegError(
            f"--crop {asked[0]}x{asked[1]} is more than the network sees, {size[0]}x{size[1]}: "
            "take a smaller one, or a larger --size"
        )
    return asked


def parse_shares(text: str | None) -> tuple[float, ...]:
    """Return the shares of ``0,0.5,0.25``; none where nothing was given."""
    try:
        return () if text is None else tuple(float(share) for share in text.split(","))
    except ValueError as error:
        raise EdgeSegError(
            f"'{text}' are no shares to prune: write 0.25, or one for each size, 0,0.5,0.25"
        ) from error


def parse_options(texts: list[str]) -> dict[str, Any]:
    """Return the network's options; values are converted where the network is built."""
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise EdgeSegError(f"'{text}' is no option: write NAME=VALUE, such as base=32")
        several = value.split(",") if "," in value else value
        options[name] = {"true": True, "false": False}.get(value.lower(), several)
    return options


def prepare(settings: Settings, output: Path, start: Path | None, threads: int) -> Settings:
    """Check what can be checked before the first step, and set the threads."""
    import cv2
    import torch

    settings.check()
    if output.suffix != ".safetensors":
        raise EdgeSegError(f"the weights are a .safetensors file, not {output}")
    require_writable(output)
    if threads > 0:
        torch.set_num_threads(threads)
    cv2.setNumThreads(1)  # the augmentation has a thread of its own beside torch's
    return beginning(settings, start)


def start_of(settings: Settings, start: Path | None) -> Path | None:
    """Return the weights to begin with: where some are to be pruned and none named, the shipped."""
    from edge_seg.models.registry import shipped, weights_of

    if start is not None or not settings.prune:
        return start
    if settings.model not in shipped():
        raise EdgeSegError(
            f"{settings.model} comes without weights to prune: name them with --start"
        )
    return weights_of(settings.model)


def beginning(settings: Settings, start: Path | None = None) -> Settings:
    """Return the settings with what they say of the weights to begin with; see `start_of`.

    Where no options are given, they are those of the file's network; where that is pruned, of what
    is left.
    """
    from edge_seg.models import weights_file
    from edge_seg.training.pruning import pruned_options
    from edge_seg.training.state import options_of

    start = start_of(settings, start)
    if start is None:
        return settings
    if not start.is_file():
        raise EdgeSegError(f"cannot start from {start}: there is no such file")
    header = weights_file.read(start).header
    settings = msgspec.structs.replace(
        settings,
        start=sha256_file(start),
        start_trained_on=header.trained_on if header else start.name,
    )
    if settings.prune:
        return pruned_options(start, settings)
    if header is None or header.architecture != settings.model or settings.options:
        return settings
    return msgspec.structs.replace(settings, options=options_of(header))
