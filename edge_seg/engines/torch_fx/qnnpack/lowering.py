"""qnnpack's file: the recipe's grid, weights per channel where the kernels take that.

FX takes no weights per channel for a transposed convolution: most become an equal 1x1 convolution
with a pixel shuffle, the rest have one scale. Clamps need care: `clamps`.
"""

from __future__ import annotations

from edge_seg.engines.lowering import Source
from edge_seg.engines.session import Options
from edge_seg.engines.torch_fx.ptq import kernels, quantized
from edge_seg.engines.torch_fx.qnnpack.clamps import with_dense_clamps
from edge_seg.engines.torch_fx.tracing import traced


def lower(source: Source, precision: str, options: Options) -> bytes:
    """Return a TorchScript archive; raises `CannotLowerError` where FX or a kernel cannot."""
    with kernels("qnnpack"):
        network = quantized(source, "qnnpack")
        return traced(with_dense_clamps(network), source.model)
