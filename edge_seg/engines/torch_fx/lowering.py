"""PyTorch's file for x86: the float module, or the module on fbgemm's int8 kernels.

Seven bits of weights are the guard against saturation (`grid`), so that activations have eight.
fbgemm's quantized transposed convolution gives wrong values on processors with AVX-512: most become
an equal 1x1 convolution with a pixel shuffle, the rest stay in float.
"""

from __future__ import annotations

from torch import nn
from torch.nn import functional

from edge_seg.engines.lowering import Source
from edge_seg.engines.session import Options
from edge_seg.engines.torch_fx.ptq import kernels, module_of, quantized
from edge_seg.engines.torch_fx.tracing import traced

TRANSPOSED = (nn.ConvTranspose2d, functional.conv_transpose2d)


def lower(source: Source, precision: str, options: Options) -> bytes:
    """Return a TorchScript archive; raises `CannotLowerError` where there is no module."""
    network = module_of(source)
    with kernels("fbgemm"):
        if precision == "int8":
            network = quantized(source, "fbgemm", float_kinds=TRANSPOSED)
        return traced(network, source.model)
