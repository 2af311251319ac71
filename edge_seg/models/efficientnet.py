"""The encoder EfficientNet-B0: features of an image at four sizes.

    encoder = EfficientNetB0("silu")
    quarter, eighth, sixteenth, last = encoder(torch.rand(1, 3, 256, 512))

Tan and Le 2019 (arXiv:1905.11946), table 1: inverted residual blocks (Sandler et al. 2018,
arXiv:1801.04381), each with a squeeze-and-excitation (Hu et al. 2018, arXiv:1709.01507). The last
1x1 convolution to 1280 channels feeds a classifier of whole images and is left out, and so is
stochastic depth. Convolutions pad as much on all sides, where TensorFlow's pad right and bottom:
padding is then part of the convolution in every engine.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import nn

from edge_seg.models.layers import conv_norm

Activation = Literal["silu", "relu6", "hardswish"]
"""SiLU is the paper's; the other two are what MobileNets have in its place. On an int8 grid per
tensor, after 100 steps of training at 64x128, the logits keep 4 dB with SiLU, 10 with Hardswish and
28 with ReLU6 (docs/models.md), which alone is bounded above and fused into convolutions."""
_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "silu": nn.SiLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
}
EPSILON = 1e-3
"""Of the batch norms: that of TensorFlow's original."""
SQUEEZE = 4
"""A block's squeeze has a quarter of the block's input channels."""


class Stage(NamedTuple):
    """One row of the paper's table 1: ``depth`` blocks, the first of them with the stride."""

    expansion: int
    kernel: int
    stride: int
    outputs: int
    depth: int


STEM = 32
STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
CHANNELS = (24, 40, 112, 320)
"""Of the features at strides 4, 8, 16 and 32: each the last of its size."""


class SqueezeExcite(nn.Module):
    """Scale each channel by what all channels' means say: (N, c, h, w) as it came."""

    def __init__(self, channels: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.act = _ACTIVATIONS[activation]()
        self.expand = nn.Conv2d(inner, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the features times one factor in 0..1 a channel."""
        return features * self.gate(self.expand(self.act(self.reduce(self.pool(features)))))


class InvertedResidual(nn.Module):
    """Widen, convolve each channel, scale, narrow; the input is added where it has the shape."""

    def __init__(self, inputs: int, stage: Stage, stride: int, activation: Activation) -> None:
        super().__init__()
        wide = inputs * stage.expansion
        act = _ACTIVATIONS[activation]
        same = stage.expansion == 1
        self.expand = nn.Identity() if same else conv_norm(inputs, wide, activation=act())
        self.depthwise = conv_norm(
            wide, wide, stage.kernel, stride=stride, groups=wide, activation=act()
        )
        self.excite = SqueezeExcite(wide, inputs // SQUEEZE, activation)
        self.project = conv_norm(wide, stage.outputs)
        self.adds = stride == 1 and inputs == stage.outputs

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, inputs, h, w) -> (N, outputs, h / stride, w / stride)."""
        made = self.project(self.excite(self.depthwise(self.expand(features))))
        return features + made if self.adds else made


class EfficientNetB0(nn.Module):
    """(N, 3, h, w) float RGB -> four features, (N, c, h / s, w / s) with s 4, 8, 16 and 32."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.stem = conv_norm(3, STEM, 3, stride=2, activation=_ACTIVATIONS[activation]())
        self.stages = nn.ModuleList()
        inputs = STEM
        for stage in STAGES:
            blocks = nn.Sequential()
            for index in range(stage.depth):
                stride = stage.stride if index == 0 else 1
                blocks.append(InvertedResidual(inputs, stage, stride, activation))
                inputs = stage.outputs
            self.stages.append(blocks)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = EPSILON
        # A stage is the last of its size where the next one halves it.
        self.last = [i for i in range(1, 7) if i == 6 or STAGES[i + 1].stride == 2]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the features at each size, the largest first; their channels are `CHANNELS`."""
        features, kept = self.stem(images), []
        for index, stage in enumerate(self.stages):
            features = stage(features)
            if index in self.last:
                kept.append(features)
        return kept


def initialise(network: nn.Module) -> None:
    """Draw the weights of all convolutions as the original does; biases are 0.

    Normal with variance 2 / (outputs x kernel), the outputs counted in one group.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size) // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
