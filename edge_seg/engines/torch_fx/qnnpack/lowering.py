"""qnnpack's file: eight bits, weights per channel where the kernels take that.

FX takes no weights per channel for a transposed convolution: most become an equal 1x1 convolution
with a pixel shuffle, the rest have one scale. ReLU6, hardtanh and clamp need care: `ceilings`.
"""

from __future__ import annotations

from edge_seg.engines.lowering import Source
from edge_seg.engines.session import Options
from edge_seg.engines.torch_fx.ptq import kernels, minmax_mapping, quantized
from edge_seg.engines.torch_fx.qnnpack.ceilings import prepare_with_ceilings, with_dense_clamps
from edge_seg.engines.torch_fx.tracing import traced


def lower(source: Source, precision: str, options: Options) -> bytes:
    """Return a TorchScript archive; raises `CannotLowerError` where FX or a kernel cannot."""
    from torch.ao.quantization import default_per_channel_weight_observer

    mapping = minmax_mapping("qnnpack", weight=default_per_channel_weight_observer)
    with kernels("qnnpack"):
        network = quantized(source, mapping, prepare_with_ceilings)
        return traced(with_dense_clamps(network), source.model.input)
