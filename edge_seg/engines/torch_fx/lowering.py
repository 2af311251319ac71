"""PyTorch's file: the module, quantized by FX graph mode, traced with frame in and ids out.

FX calibrates itself: it sees the recipe's frames and follows the recipe's rule (min-max
observers; FX's own default is histograms, which cut outliers). Seven-bit activations are fbgemm's
own guard against saturation.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from edge_seg.engines.lowering import CannotLowerError, Source
from edge_seg.engines.session import Options
from edge_seg.errors import in_one_line
from edge_seg.models.rewrite import with_pixel_shuffle
from edge_seg.preprocess import Frame, InputSpec

if TYPE_CHECKING:
    from torch.ao.quantization import QConfigMapping

    from edge_seg.quantize.recipe import Recipe


class FrameToIds(nn.Module):
    """The network with its ends on: uint8 BGR (1, h, w, 3) in, uint8 ids (1, h, w) out."""

    def __init__(self, network: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.network = network
        std = torch.tensor(spec.std).reshape(1, 3, 1, 1)
        self.scale = nn.Buffer(1.0 / (255.0 * std))
        self.offset = nn.Buffer(-torch.tensor(spec.mean).reshape(1, 3, 1, 1) / std)

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """Normalise, run, decide."""
        rgb = frame.permute(0, 3, 1, 2).flip(1).float()
        logits = self.network(rgb * self.scale + self.offset)
        return logits.argmax(1).to(torch.uint8)


def lower(source: Source, precision: str, options: Options) -> bytes:
    """Return a TorchScript archive; raises `CannotLowerError` where there is no module."""
    if source.model.module is None:
        raise CannotLowerError("the model came as ONNX: PyTorch has no module to quantize")
    network = source.model.module
    spec = source.model.input
    if precision == "int8":
        network = _quantize(network, spec, source.recipe, source.frames)
    frame = torch.zeros(1, spec.height, spec.width, 3, dtype=torch.uint8)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(FrameToIds(network, spec).eval(), frame, check_trace=False)
        frozen = torch.jit.freeze(traced)
    buffer = io.BytesIO()
    torch.jit.save(frozen, buffer)
    return buffer.getvalue()


def _quantize(
    network: nn.Module, spec: InputSpec, recipe: Recipe, frames: Sequence[Frame]
) -> nn.Module:
    """Prepare, show the calibration frames, convert."""
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    example = (torch.zeros(1, 3, spec.height, spec.width),)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mapping = _minmax_mapping()
            for layer in recipe.float_layers:
                mapping.set_module_name(layer, None)
            prepared = prepare_fx(with_pixel_shuffle(network).eval(), mapping, example)
            _show(prepared, spec, frames)
            torch.backends.quantized.engine = "fbgemm"
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


def _minmax_mapping() -> QConfigMapping:
    """Return fbgemm's defaults with a min-max observer wherever they have a histogram.

    What needs no observing keeps its grid: a sigmoid's output is 0..1 whatever the frames are.
    Weights stay symmetric per channel.
    """
    from torch.ao.quantization import (
        HistogramObserver,
        MinMaxObserver,
        QConfig,
        get_default_qconfig_mapping,
    )

    mapping = get_default_qconfig_mapping("fbgemm")
    minmax = MinMaxObserver.with_args(reduce_range=True)

    def observing(config: QConfig | None) -> QConfig | None:
        if config is None or not isinstance(config.activation(), HistogramObserver):
            return config
        return QConfig(minmax, config.weight)

    mapping.set_global(observing(mapping.global_qconfig))
    for kind, config in list(mapping.object_type_qconfigs.items()):
        mapping.set_object_type(kind, observing(config))
    # fbgemm's quantized transposed convolution gives wrong values on processors with AVX-512:
    # most become an equal 1x1 convolution with a pixel shuffle, the rest stay in float.
    for transposed in (nn.ConvTranspose2d, functional.conv_transpose2d):
        mapping.set_object_type(transposed, None)
    return mapping


def _is_quantized(network: nn.Module) -> bool:
    kinds = {type(module).__module__ for module in network.modules()}
    return any(kind.startswith("torch.ao.nn") and "quantized" in kind for kind in kinds)


def _show(prepared: nn.Module, spec: InputSpec, frames: Sequence[Frame]) -> None:
    from edge_seg.preprocess import normalise

    with torch.inference_mode():
        for frame in frames:
            prepared(torch.from_numpy(normalise(frame, spec)))
