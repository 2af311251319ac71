"""How large a model is: parameters, and multiplications of one frame.

    size = count(model)
    size.parameters, size.gmac  # 1942611, 6.07

A multiply-accumulate is counted for each weight a convolution or a matrix product applies, as
torch's FlopCounterMode does (it counts two operations for each); batch norms, activations and
interpolation are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_seg.models.model import Model

if TYPE_CHECKING:
    from torch import nn


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

    shadow = copy.deepcopy(model.module).to("meta")
    return count_shadow(shadow, model.input.height, model.input.width)


def count_shadow(network: nn.Module, height: int, width: int) -> Size:
    """Count a network whose tensors are all on torch's meta device: it has shapes and no data."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    parameters = sum(parameter.numel() for parameter in network.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty((1, 3, height, width), device="meta"))
    return Size(parameters, counter.get_total_flops() / 2 / 1e9)


def _onnx_parameters(payload: bytes) -> int:
    import math

    import onnx

    weights = onnx.load_from_string(payload).graph.initializer
    return sum(math.prod(tensor.dims) for tensor in weights)
