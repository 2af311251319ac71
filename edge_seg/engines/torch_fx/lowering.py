"""PyTorch's file for x86: the float module, or the module on fbgemm's int8 kernels.

Seven-bit activations are fbgemm's own guard against saturation; weights are symmetric per channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

from edge_seg.engines.lowering import Source
from edge_seg.engines.session import Options
from edge_seg.engines.torch_fx.ptq import kernels, minmax_mapping, module_of, quantized
from edge_seg.engines.torch_fx.tracing import traced

if TYPE_CHECKING:
    from torch.ao.quantization import QConfigMapping


def lower(source: Source, precision: str, options: Options) -> bytes:
    """Return a TorchScript archive; raises `CannotLowerError` where there is no module."""
    network = module_of(source)
    with kernels("fbgemm"):
        if precision == "int8":
            network = quantized(source, _minmax_mapping())
        return traced(network, source.model.input)


def _minmax_mapping() -> QConfigMapping:
    """Return the rules: min-max ranges, and no transposed convolution in int8.

    fbgemm's quantized one gives wrong values on processors with AVX-512: most become an equal
    1x1 convolution with a pixel shuffle, the rest stay in float.
    """
    mapping = minmax_mapping("fbgemm", reduce_range=True)
    for transposed in (nn.ConvTranspose2d, functional.conv_transpose2d):
        mapping.set_object_type(transposed, None)
    return mapping
