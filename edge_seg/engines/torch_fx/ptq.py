"""Quantization after training in FX graph mode: what fbgemm and qnnpack share.

    with kernels("qnnpack"):
        network = quantized(source, "qnnpack")

Weights and activations lie on the recipe's grid (`grid`), between the recipe's ends (`ranges`), and
the recipe's float layers stay in float. A tensor that is FX's own gets the range that it has on the
recipe's frames (min-max; FX's default is histograms, which cut outliers).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from edge_seg.engines.lowering import CannotLowerError, Source
from edge_seg.engines.torch_fx.ceilings import prepare_with_ceilings
from edge_seg.engines.torch_fx.grid import grid_mapping, round_biases
from edge_seg.engines.torch_fx.logits import leave_logits_float
from edge_seg.engines.torch_fx.ranges import known_ranges, observers, set_ranges
from edge_seg.engines.torch_fx.repairs import free_fixed_grids, with_float_modules
from edge_seg.errors import in_one_line
from edge_seg.models.rewrite import with_pixel_shuffle
from edge_seg.preprocess import Frame, InputSpec


def module_of(source: Source) -> nn.Module:
    """Return the model's module; raises `CannotLowerError` where it has none."""
    if source.no_module:
        raise CannotLowerError(source.no_module)
    if source.model.module is None:
        raise CannotLowerError("the model came as ONNX: PyTorch has no module to quantize")
    return source.model.module


@contextmanager
def kernels(name: str) -> Iterator[None]:
    """Pack weights for, and run on, the quantized kernels of that name."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = name
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def quantized(source: Source, name: str, float_kinds: Iterable[Any] = ()) -> nn.Module:
    """Return the network for the kernels of that name, which are set; ``float_kinds`` stay float.

    Raises `CannotLowerError` where FX cannot take the module.
    """
    from torch.ao.quantization.quantize_fx import convert_fx

    recipe, spec = source.recipe, source.model.input
    network = module_of(source)
    example = (torch.zeros(1, 3, spec.height, spec.width),)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rewritten = with_float_modules(with_pixel_shuffle(network)).eval()
            shuffled = _shuffled(network, rewritten) - set(recipe.float_layers)
            mapping = grid_mapping(name, recipe.weights, [f"{layer}.0" for layer in shuffled])
            for kind in float_kinds:
                mapping.set_object_type(kind, None)
            for layer in recipe.float_layers:
                mapping.set_module_name(layer, None)
            prepared = prepare_with_ceilings(rewritten, mapping, example)
            free_fixed_grids(prepared, mapping)
            leave_logits_float(prepared)
            known = known_ranges(prepared, source)
            if len(known) < len(observers(prepared)):
                _show(prepared, spec, source.frames)
            set_ranges(prepared, known)
            round_biases(prepared)
            converted = convert_fx(prepared)
    except Exception as error:  # FX raises what its tracer met in the user's code
        reason = in_one_line(error, 200)
        raise CannotLowerError(f"FX cannot quantize the module: {reason}") from error
    if set(recipe.layers) - set(recipe.float_layers) and not _is_quantized(converted):
        raise CannotLowerError(
            "FX found no layer to quantize: it sees torch.nn modules, and an exported program "
            "has none; bring the model as package.module:factory"
        )
    return converted


def _shuffled(network: nn.Module, rewritten: nn.Module) -> set[str]:
    """Name the transposed convolutions in whose places `with_pixel_shuffle` put 1x1 ones."""
    return {
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.ConvTranspose2d)
        and isinstance(rewritten.get_submodule(name), nn.Sequential)
    }


def _is_quantized(network: nn.Module) -> bool:
    kinds = {type(module).__module__ for module in network.modules()}
    return any(kind.startswith("torch.ao.nn") and "quantized" in kind for kind in kinds)


def _show(prepared: nn.Module, spec: InputSpec, frames: Sequence[Frame]) -> None:
    from edge_seg.preprocess import normalise

    with torch.inference_mode():
        for frame in frames:
            prepared(torch.from_numpy(normalise(frame, spec)))
