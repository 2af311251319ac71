"""Which width and input size: networks that are trained on equally many frames, on photographs.

for base, size in candidates():
    row = run(base, size, settings, pictures, workers=1)

What a larger network costs stands beside what it gains: its arithmetic, and a forward pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import msgspec
import torch

from benchmarks.transfer import Photograph, learn, scores
from edge_seg.classes import LANE
from edge_seg.models.count import count
from edge_seg.models.model import from_network
from edge_seg.preprocess import InputSpec
from edge_seg.training.settings import Settings

BASES = (16, 24)
"""The widest whose weights, in float16, have less than 10 MB is 24."""
SIZES = ((192, 384), (256, 512), (320, 640))
LOSS = "ce+lovasz"
"""Of those compared, the one that finds lane markings in so few steps (docs/training.md)."""
TIMED = 20


def candidates() -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield (base width, (height, width))."""
    return itertools.product(BASES, SIZES)


def name_of(base: int, size: tuple[int, int]) -> str:
    """Return the name in the table: "base 16, 256x512"."""
    return f"base {base}, {size[0]}x{size[1]}"


def run(
    base: int,
    size: tuple[int, int],
    settings: Settings,
    pictures: list[Photograph],
    workers: int,
) -> dict[str, Any]:
    """Train one candidate and measure it."""
    height, width = size
    settings = msgspec.structs.replace(
        settings,
        options={**settings.options, "base": base},
        height=height,
        width=width,
        crop_height=height,
        crop_width=width,
        loss=LOSS,
    )
    begin = perf_counter()
    state = learn(settings, (), workers)
    spent = perf_counter() - begin
    spec = InputSpec(height, width)
    model = from_network("candidate", state.average, spec, LANE, "trained for a comparison")
    return {
        "name": name_of(base, size),
        "seed": settings.seed,
        "steps": settings.steps,
        "train_s": round(spent, 1),
        "gmac": count(model).gmac,
        "forward_ms": _forward_ms(state.average, spec),
        "loss": state.history[-1].loss,
        "scores": scores(state, pictures),
    }


def _forward_ms(network: torch.nn.Module, spec: InputSpec) -> float:
    """Return the fastest of a few float32 forward passes of one frame."""
    image = torch.rand(1, 3, spec.height, spec.width).contiguous(memory_format=torch.channels_last)
    times = []
    with torch.inference_mode():
        for _ in range(TIMED):
            begin = perf_counter()
            network(image)
            times.append(1e3 * (perf_counter() - begin))
    return round(min(times), 1)
