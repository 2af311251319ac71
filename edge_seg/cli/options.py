"""Option values that several commands parse."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated

import typer

from edge_seg.errors import EdgeSegError

if TYPE_CHECKING:
    from edge_seg.classes import ClassMap


Threads = Annotated[
    int | None, typer.Option("--threads", min=1, max=1024, help="Threads the engine may use.")
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run a TorchScript bundle that nobody trusted signed.")
]


SMALLEST, LARGEST = 10, 99_999
"""Pixels a side of what is taken for a size at all."""


def parse_names(text: str) -> tuple[str, ...]:
    """Return the names in ``litert, qnnpack``; none for ``auto``."""
    names = tuple(name for name in text.replace(" ", "").split(",") if name)
    return () if names == ("auto",) else names


def parse_size(text: str) -> tuple[int, int]:
    """Return (height, width) for ``256x512``."""
    match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text)
    if match is None:
        raise EdgeSegError(f"'{text}' is no size: write height x width, such as 256x512")
    height, width = int(match[1]), int(match[2])
    if not (min(height, width) >= SMALLEST and max(height, width) <= LARGEST):
        raise EdgeSegError(f"a size of {text}: choose {SMALLEST} to {LARGEST} pixels a side")
    return height, width


def parse_triple(text: str | None) -> tuple[float, float, float] | None:
    """Return (r, g, b) for ``0.485,0.456,0.406``."""
    if text is None:
        return None
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError as error:
        raise EdgeSegError(
            f"'{text}' is not three numbers: write them as 0.485,0.456,0.406"
        ) from error
    if not all(math.isfinite(value) for value in (red, green, blue)):
        raise EdgeSegError(
            f"'{text}' are no numbers to compute with: write them as 0.485,0.456,0.406"
        )
    return red, green, blue


def parse_std(text: str | None) -> tuple[float, float, float] | None:
    """Return (r, g, b) that frames may be divided by."""
    std = parse_triple(text)
    if std is not None and min(std) < 1e-6:
        raise EdgeSegError(f"'{text}': frames are divided by --std, so each is above 0")
    return std


def parse_classes(text: str | None) -> ClassMap | None:
    """Return a class map for ``background,road``: the project's own where the names are its."""
    if text is None:
        return None
    from edge_seg.classes import LANE
    from edge_seg.models.class_maps import generic_classes

    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise EdgeSegError(f"'{text}' are no class names: write different ones, background,road")
    return LANE if names == LANE.names else generic_classes(len(names), names)
