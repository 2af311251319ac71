"""Quantization after training in FX graph mode: what fbgemm and qnnpack share.

    with kernels("qnnpack"):
        network = quantized(source, minmax_mapping("qnnpack", weight))

FX calibrates itself: it sees the recipe's frames and follows the recipe's rule (min-max
observers; FX's own default is histograms, which cut outliers), and the recipe's float layers
stay in float.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from edge_seg.engines.lowering import CannotLowerError, Source
from edge_seg.engines.torch_fx.repairs import free_fixed_grids, with_float_prelu
from edge_seg.errors import in_one_line
from edge_seg.models.rewrite import with_pixel_shuffle
from edge_seg.preprocess import Frame, InputSpec

if TYPE_CHECKING:
    from torch.ao.quantization import QConfigMapping

Prepare = Callable[[nn.Module, Any, tuple[torch.Tensor, ...]], fx.GraphModule]
"""FX's ``prepare_fx`` or what is used in its place: network, mapping and example in, observed
network out."""


def module_of(source: Source) -> nn.Module:
    """Return the model's module; raises `CannotLowerError` where it has none."""
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


def quantized(source: Source, mapping: QConfigMapping, prepare: Prepare | None = None) -> nn.Module:
    """Prepare, show the calibration frames, convert; for the kernels that are set."""
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    recipe, spec = source.recipe, source.model.input
    network = module_of(source)
    example = (torch.zeros(1, 3, spec.height, spec.width),)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for layer in recipe.float_layers:
                mapping.set_module_name(layer, None)
            rewritten = with_float_prelu(with_pixel_shuffle(network)).eval()
            prepared = (prepare or prepare_fx)(rewritten, mapping, example)
            free_fixed_grids(prepared, mapping)
            _show(prepared, spec, source.frames)
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


def minmax_mapping(name: str, weight: Any = None, reduce_range: bool = False) -> QConfigMapping:
    """Return the defaults for these kernels, min-max observers wherever they have histograms.

    What needs no observing keeps its grid: a sigmoid's output is 0..1 whatever the frames are.
    ``weight`` observes the weights of all that has no rule of its own. ``reduce_range`` keeps
    activations to seven bits.
    """
    from torch.ao.quantization import (
        HistogramObserver,
        MinMaxObserver,
        QConfig,
        get_default_qconfig_mapping,
    )

    minmax = MinMaxObserver.with_args(reduce_range=reduce_range)

    def observing(config: QConfig | None) -> QConfig | None:
        if config is None or not isinstance(config.activation(), HistogramObserver):
            return config
        return QConfig(minmax, config.weight)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # every observer says that its arguments are old
        mapping = get_default_qconfig_mapping(name)
        rule = QConfig(minmax, weight) if weight is not None else observing(mapping.global_qconfig)
        mapping.set_global(rule)
        for kind, config in list(mapping.object_type_qconfigs.items()):
            mapping.set_object_type(kind, observing(config))
    return mapping


def _is_quantized(network: nn.Module) -> bool:
    kinds = {type(module).__module__ for module in network.modules()}
    return any(kind.startswith("torch.ao.nn") and "quantized" in kind for kind in kinds)


def _show(prepared: nn.Module, spec: InputSpec, frames: Sequence[Frame]) -> None:
    from edge_seg.preprocess import normalise

    with torch.inference_mode():
        for frame in frames:
            prepared(torch.from_numpy(normalise(frame, spec)))
