"""A network with a dead channel and a dead layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from edge_seg.quantize.graph import constant, layers
from edge_seg.quantize.weights import bias_of


class DeadParts(nn.Module):
    """Channel `CHANNEL` of ``middle`` has no weights and is cut by a ReLU; ``nothing`` is zero."""

    CHANNEL, BIAS = 1, -0.5

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.stem = nn.Conv2d(3, 4, 3, padding=1)
            self.middle = nn.Conv2d(4, 4, 3, padding=1)
            self.nothing = nn.Conv2d(4, 4, 3, padding=1)
            self.head = nn.Conv2d(4, 3, 1)
        with torch.no_grad():
            self.nothing.weight.zero_()
            self.nothing.bias.zero_()
            self.middle.weight[self.CHANNEL] = 0
            self.middle.bias[self.CHANNEL] = self.BIAS

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = torch.relu(self.middle(torch.relu(self.stem(x))))
        return self.head(middle + torch.relu(self.nothing(middle)))


def weights_and_bias(
    graph: onnx.ModelProto, layer: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return a layer's weights (outputs, inputs, h, w) and its bias (outputs,)."""
    (node,) = layers(graph)[layer]
    weight = constant(graph, node.input[1])
    assert weight is not None
    return weight.astype(np.float32), bias_of(graph, node, len(weight))


def require_dead(graph: onnx.ModelProto) -> None:
    """Fail where what was dead is not any more, or a weight is no number."""
    for layer in ("stem", "middle", "nothing", "head"):
        assert all(np.isfinite(part).all() for part in weights_and_bias(graph, layer))
    assert not any(part.any() for part in weights_and_bias(graph, "nothing"))
    weight, bias = weights_and_bias(graph, "middle")
    assert not weight[DeadParts.CHANNEL].any()
    # Without weights a bias has the steps of the layer's input.
    assert abs(bias[DeadParts.CHANNEL] - DeadParts.BIAS) < 0.01
