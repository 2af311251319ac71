"""EfficientNet-B0 with FFNet's decoder: features of four sizes, brought to one and summed up.

    network = build(EfficientNetFfnetConfig(activation="relu6"))
    logits = network(torch.rand(1, 3, 256, 512))  # (1, 3, 256, 512)

The decoder is "up-C" of Mehta et al. 2022, "Simple and Efficient Architectures for Semantic
Segmentation" (arXiv:2206.08236), the smallest of theirs and made for phones: 1x1 and 3x3
convolutions with ReLU and nearest upsampling, nothing else. From the smallest size up, each
feature map gets 128 channels, takes up the one below it, and is narrowed; all four are
concatenated at a quarter of the input's size, where the head C (3x3, 1x1) decides. `UpC` knows
nothing of classes: a depth map of one channel is ``classes=1``.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch
from torch import nn

from edge_seg.errors import EdgeSegError
from edge_seg.models.efficientnet import CHANNELS, Activation, EfficientNetB0, initialise
from edge_seg.models.layers import conv_norm, he_initialise

INNER = 128
"""Channels of every size on the way up, and of the head."""
NARROWED = (128, 16, 16, 16)
"""Channels of each size in the concatenation, from a quarter of the input's size down."""


class EfficientNetFfnetConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the network looks like; ``activation`` is the encoder's, and "silu" the paper's."""

    classes: int = 3
    activation: Activation = "silu"
    height: int = 256
    width: int = 512

    def check(self) -> None:
        """Refuse what cannot be built, in one line."""
        if self.height % 32 or self.width % 32:
            raise EdgeSegError(
                "efficientnet-ffnet needs an input size in multiples of 32, "
                f"not {self.height}x{self.width}"
            )


class UpC(nn.Module):
    """Four features, (N, c, h / s, w / s) with s 4 to 32 -> one (N, 176, h / 4, w / 4).

    ``inputs`` are the channels of each, the largest map first.
    """

    def __init__(self, inputs: Sequence[int]) -> None:
        super().__init__()
        act = nn.ReLU
        self.adapt = nn.ModuleList(conv_norm(c, INNER, activation=act()) for c in inputs)
        self.up = nn.ModuleList(conv_norm(INNER, INNER, activation=act()) for _ in inputs[1:])
        self.narrow = nn.ModuleList(conv_norm(INNER, c, 3, activation=act()) for c in NARROWED)
        self.twice = nn.Upsample(scale_factor=2.0)  # nearest, as FFNet's mobile ones
        factors = [2.0**level for level in range(1, len(inputs))]
        self.grow = nn.ModuleList(nn.Upsample(scale_factor=factor) for factor in factors)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return all sizes side by side, at the size of the largest."""
        level = len(self.adapt) - 1
        whole = self.adapt[level](features[level])
        parts = [self.grow[level - 1](self.narrow[level](whole))]
        for level in range(len(self.adapt) - 2, -1, -1):
            whole = self.twice(self.up[level](whole)) + self.adapt[level](features[level])
            part = self.narrow[level](whole)
            parts.append(self.grow[level - 1](part) if level else part)
        return torch.cat(parts[::-1], dim=1)


class EfficientNetFfnet(nn.Module):
    """(N, 3, h, w) float RGB -> logits (N, classes, h, w); h and w are multiples of 32."""

    def __init__(self, config: EfficientNetFfnetConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        self.encoder = EfficientNetB0(config.activation)
        self.decoder = UpC(CHANNELS)
        self.head = conv_norm(sum(NARROWED), INNER, 3, activation=nn.ReLU())
        self.classifier = nn.Conv2d(INNER, config.classes, 1)
        self.upsample = nn.Upsample(scale_factor=4.0, mode="bilinear")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, classes, h, w) of images (N, 3, h, w)."""
        features = self.head(self.decoder(self.encoder(images)))
        return self.upsample(self.classifier(features))


def build(config: EfficientNetFfnetConfig) -> EfficientNetFfnet:
    """Return the network with random weights, drawn from torch's global generator."""
    network = EfficientNetFfnet(config)
    he_initialise(network, network.classifier)
    initialise(network.encoder)
    return network
