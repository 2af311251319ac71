"""What a lowering gets and gives: model, recipe and calibration frames in, a file out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_seg.engines.session import Options
from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame

if TYPE_CHECKING:
    import onnx

    from edge_seg.models.model import Model
    from edge_seg.quantize.recipe import Recipe


@dataclass(frozen=True)
class Source:
    """All that a lowering may draw on.

    ``graph`` is the folded float graph (uint8 frame in, float logits out), ``recipe`` the
    quantization decisions on it, ``frames`` the calibration frames at the network's size
    (uint8 BGR) for toolchains that can only calibrate themselves. ``no_module`` says why the
    model's module does not have the graph's weights, where it does not: engines that start from
    the module cannot take the source then.
    """

    model: Model
    graph: onnx.ModelProto
    recipe: Recipe
    frames: Sequence[Frame]
    no_module: str = ""


class CannotLowerError(EdgeSegError):
    """This engine has no way to take this model; the tournament goes on without it."""


Lower = Callable[[Source, str, Options], bytes]
"""``lower(source, precision, options)`` returns the engine's file, or raises `CannotLowerError`."""
