"""How large a model is: parameters, and multiplications of one frame.

    size = count(model)
    size.parameters, size.gmac  # 1942611, 6.07

A multiply-accumulate is counted for each weight a convolution or a matrix product applies, as
torch's FlopCounterMode does (it counts two operations for each); batch norms, activations and
interpolation are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_seg.models.model import Model


@dataclass(frozen=True)
class Size:
    """``gmac`` is thousands of millions of multiply-accumulates of one frame, None for ONNX."""

    parameters: int
    gmac: float | None


def count(model: Model) -> Size:
    """Count by running one frame through the network on no data (torch's meta tensors)."""
    if model.module is None:
        return Size(_onnx_parameters(model.onnx or b""), None)
    import copy

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    parameters = sum(parameter.numel() for parameter in model.module.parameters())
    shape = (1, 3, model.input.height, model.input.width)
    shadow = copy.deepcopy(model.module).to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(torch.empty(shape, device="meta"))
    return Size(parameters, counter.get_total_flops() / 2 / 1e9)


def _onnx_parameters(payload: bytes) -> int:
    import math

    import onnx

    weights = onnx.load_from_string(payload).graph.initializer
    return sum(math.prod(tensor.dims) for tensor in weights)
