"""FCN on ResNet-50: the large, plain network that others are compared with.

    network = build(FcnResNetConfig())
    logits = network(torch.rand(1, 3, 256, 512))  # (1, 3, 256, 512)

The encoder is ResNet-50 (He et al. 2016, arXiv:1512.03385) with the stride of a block in its 3x3
convolution, as torchvision and transformers have it. The head is that of a fully convolutional
network (Long, Shelhamer and Darrell 2015, arXiv:1411.4038) in the form that torchvision's
``fcn_resnet50`` made usual: the last two stages dilate in place of halving the size (Chen et al.
2017, arXiv:1706.05587), then a 3x3 convolution to a quarter of the channels, a 1x1 convolution to
the classes, and a bilinear upsampling. The auxiliary head, which only training uses, is left out.

With the default width it has 33 million parameters and takes 69 GMAC at 256x512, ten times
lane-unet: for a Raspberry Pi that is too much, and ``base=16`` is a sixteenth of it.
"""

from __future__ import annotations

import msgspec
import torch
from torch import nn

from edge_seg.errors import EdgeSegError
from edge_seg.models.layers import conv_norm, he_initialise

DEPTHS = (3, 4, 6, 3)
"""Blocks of each stage: ResNet-50's column of the paper's table 1."""
EXPANSION = 4
"""What a bottleneck's last convolution multiplies the channels by."""


class FcnResNetConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the network looks like.

    ``base`` is the number of channels behind the stem, the paper's is 64; all others are
    multiples of it. ``output_stride`` is by how much the features are smaller than the input,
    before the upsampling: with 8 the last two stages dilate, with 16 the last, with 32 none.
    """

    classes: int = 3
    base: int = 64
    output_stride: int = 8
    height: int = 256
    width: int = 512

    def check(self) -> None:
        """Refuse what cannot be built, in one line."""
        if not 4 <= self.base <= 256:
            raise EdgeSegError(f"fcn-resnet50 has a base width of 4 to 256, not {self.base}")
        if self.output_stride not in (8, 16, 32):
            raise EdgeSegError(
                f"fcn-resnet50 has an output stride of 8, 16 or 32, not {self.output_stride}"
            )
        if self.height % self.output_stride or self.width % self.output_stride:
            raise EdgeSegError(
                f"fcn-resnet50 needs an input size in multiples of {self.output_stride}, "
                f"not {self.height}x{self.width}"
            )


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, and the input added: (N, inputs, h, w) -> (N, 4 inner, h', w')."""

    def __init__(self, inputs: int, inner: int, stride: int, dilation: int) -> None:
        super().__init__()
        outputs = EXPANSION * inner
        self.reduce = conv_norm(inputs, inner, activation=nn.ReLU())
        self.spatial = conv_norm(
            inner, inner, 3, stride=stride, dilation=dilation, activation=nn.ReLU()
        )
        self.expand = conv_norm(inner, outputs)
        fits = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if fits else conv_norm(inputs, outputs, stride=stride)
        self.act = nn.ReLU()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the input (or its projection) plus what the three convolutions make of it."""
        residual = self.expand(self.spatial(self.reduce(features)))
        return self.act(residual + self.shortcut(features))


class ResNet50(nn.Module):
    """The encoder: (N, 3, h, w) float RGB -> features (N, 32 base, h / s, w / s), s its stride."""

    def __init__(self, base: int, output_stride: int) -> None:
        super().__init__()
        self.stem = conv_norm(3, base, 7, stride=2, activation=nn.ReLU())
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.blocks = nn.ModuleList()
        inputs, reached, dilation = base, 4, 1
        for stage, depth in enumerate(DEPTHS):
            halves = stage > 0 and reached < output_stride
            # The first block of a stage that dilates still has the dilation of the one before.
            first, dilation = dilation, dilation if halves or stage == 0 else 2 * dilation
            reached *= 2 if halves else 1
            for block in range(depth):
                stride = 2 if halves and block == 0 else 1
                around = dilation if block else first
                inner = base * 2**stage
                self.blocks.append(Bottleneck(inputs, inner, stride, around))
                inputs = EXPANSION * inner
        self.channels = inputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last stage's features."""
        features = self.pool(self.stem(images))
        for block in self.blocks:
            features = block(features)
        return features


class FcnResNet(nn.Module):
    """(N, 3, height, width) float RGB -> logits (N, classes, height, width)."""

    def __init__(self, config: FcnResNetConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        self.encoder = ResNet50(config.base, config.output_stride)
        inner = self.encoder.channels // EXPANSION
        self.head = conv_norm(self.encoder.channels, inner, 3, activation=nn.ReLU())
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Conv2d(inner, config.classes, 1)
        # A factor, not a size: exporters write a size as arithmetic on the input's shape.
        self.upsample = nn.Upsample(scale_factor=float(config.output_stride), mode="bilinear")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, classes, height, width)."""
        features = self.dropout(self.head(self.encoder(images)))
        return self.upsample(self.classifier(features))


def build(config: FcnResNetConfig) -> FcnResNet:
    """Return the network with random weights, drawn from torch's global generator."""
    network = FcnResNet(config)
    he_initialise(network, network.classifier)
    return network
