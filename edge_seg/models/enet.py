"""ENet: the small network that was made for embedded devices before there were any for it.

    network = build(ENetConfig())
    logits = network(torch.rand(1, 3, 256, 512))  # (1, 3, 256, 512)

Paszke, Chaurasia, Kim and Culurciello 2016 (arXiv:1606.02147), table 1 row by row: an initial
block that halves the size with a convolution and a max-pooling side by side, an encoder of narrow
bottlenecks, some dilated, some with a 5x1 and a 1x5 convolution, and a decoder of five. Four
things are not as in the paper, because ONNX, LiteRT or integer kernels have no way to do them:

* **No max-unpooling.** The decoder puts values back where the encoder's max-pooling took them
  from. LiteRT and OpenVINO have no such operator, torch's exporter does not write ONNX's, and no
  engine has it in int8. Here each value is copied to all four pixels (nearest upsampling) and
  stays on its int8 grid; the branch beside it learns the rest.
* **No channels of zeros.** Where a block widens, the paper pads the max-pooled branch with zero
  channels and adds. To add zero is to do nothing, so the block's last convolution comes in two
  parts: one that the pooled channels are added to, one that is concatenated. The same function
  of the same weights, without an operator that pads channels.
* **ReLU, not PReLU**, by default. `activation="prelu"` is the paper's. torch's FX quantizes a PReLU
  wrongly (`edge_seg.engines.torch_fx.repairs`), and the other engines leave it in float between
  two int8 convolutions, or cannot fuse it.
* **A transposed convolution is a 1x1 convolution and a pixel shuffle** (Shi et al. 2016,
  arXiv:1609.05158), which is equal to one whose 2x2 kernel is its stride; the paper does not say
  how large its kernels are. All integer engines have both, and a batch norm folds into it; no
  exporter folds one into a transposed convolution. The last one, to the classes, has no batch
  norm and is left as it is.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import torch
from torch import nn

from edge_seg.errors import EdgeSegError
from edge_seg.models.layers import conv_norm, he_initialise

RATIO = 4
"""By how much a bottleneck narrows its input (section 3)."""
DROPOUT = 0.1
EARLY_DROPOUT = 0.01
"""Shares of channels that training drops; the low one before bottleneck 2.0 (section 4)."""
MIDDLE = (1, 2, (5, 1), 4, 1, 8, (5, 1), 16)
"""Bottlenecks 2.1 to 2.8, and 3.1 to 3.8: dilations, and the kernels of the asymmetric ones."""

Activation = Literal["relu", "prelu"]


class ENetConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the network looks like; ``activation`` "prelu" is the paper's."""

    classes: int = 3
    activation: Activation = "relu"
    height: int = 256
    width: int = 512

    def check(self) -> None:
        """Refuse what cannot be built, in one line."""
        if self.height % 8 or self.width % 8:
            raise EdgeSegError(
                f"enet needs an input size in multiples of 8, not {self.height}x{self.width}"
            )


def _act(kind: Activation, channels: int) -> nn.Module:
    """Return the activation of ``channels`` channels; a PReLU has a slope for each."""
    return nn.PReLU(channels) if kind == "prelu" else nn.ReLU()


class Initial(nn.Module):
    """A convolution and a max-pooling, side by side: (N, 3, h, w) -> (N, 16, h / 2, w / 2)."""

    def __init__(self, kind: Activation) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 13, 3, stride=2, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.norm = nn.BatchNorm2d(13)
        self.act = _act(kind, 13)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Concatenate both; pooled pixels stay as they are."""
        return torch.cat([self.act(self.norm(self.conv(images))), self.pool(images)], dim=1)


class Bottleneck(nn.Module):
    """1x1, a spatial convolution, 1x1, and the input added: (N, c, h, w) as it came.

    ``shape`` is a dilation of the 3x3 convolution, or the kernel of an asymmetric one, which is
    followed by the same, turned.
    """

    def __init__(
        self, channels: int, shape: int | tuple[int, int], dropout: float, kind: Activation
    ) -> None:
        super().__init__()
        inner = channels // RATIO
        self.reduce = conv_norm(channels, inner, activation=_act(kind, inner))
        if isinstance(shape, int):
            dilated = conv_norm(inner, inner, 3, dilation=shape, activation=_act(kind, inner))
            self.spatial = nn.Sequential(dilated)
        else:
            self.spatial = nn.Sequential(
                conv_norm(inner, inner, shape, activation=_act(kind, inner)),
                conv_norm(inner, inner, shape[::-1], activation=_act(kind, inner)),
            )
        self.expand = conv_norm(inner, channels)
        self.dropout = nn.Dropout2d(dropout)
        self.act = _act(kind, channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the input plus what the convolutions make of it."""
        residual = self.dropout(self.expand(self.spatial(self.reduce(features))))
        return self.act(features + residual)


class Down(nn.Module):
    """A bottleneck that halves the size: (N, inputs, h, w) -> (N, outputs, h / 2, w / 2)."""

    def __init__(self, inputs: int, outputs: int, dropout: float, kind: Activation) -> None:
        super().__init__()
        inner = inputs // RATIO
        self.pool = nn.MaxPool2d(2)
        self.reduce = nn.Conv2d(inputs, inner, 2, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(inner)
        self.act1 = _act(kind, inner)
        self.spatial = conv_norm(inner, inner, 3, activation=_act(kind, inner))
        self.expand = conv_norm(inner, inputs)
        self.widen = conv_norm(inner, outputs - inputs)
        self.dropout1 = nn.Dropout2d(dropout)
        self.dropout2 = nn.Dropout2d(dropout)
        self.act = _act(kind, outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Add the pooled input to the channels that it has, and put the new ones beside them."""
        inner = self.spatial(self.act1(self.norm(self.reduce(features))))
        kept = self.pool(features) + self.dropout1(self.expand(inner))
        return self.act(torch.cat([kept, self.dropout2(self.widen(inner))], dim=1))


class Up(nn.Module):
    """A bottleneck that doubles the size: (N, inputs, h, w) -> (N, outputs, 2h, 2w)."""

    def __init__(self, inputs: int, outputs: int, kind: Activation) -> None:
        super().__init__()
        inner = inputs // RATIO
        self.project = conv_norm(inputs, outputs)
        self.copies = nn.Upsample(scale_factor=2.0)  # nearest
        self.reduce = conv_norm(inputs, inner, activation=_act(kind, inner))
        self.spread = conv_norm(inner, 4 * inner, activation=_act(kind, 4 * inner))
        self.shuffle = nn.PixelShuffle(2)
        self.expand = conv_norm(inner, outputs)
        self.dropout = nn.Dropout2d(DROPOUT)
        self.act = _act(kind, outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the copied pixels plus what the convolutions make of the input."""
        inner = self.shuffle(self.spread(self.reduce(features)))
        return self.act(self.copies(self.project(features)) + self.dropout(self.expand(inner)))


class ENet(nn.Module):
    """(N, 3, h, w) float RGB -> logits (N, classes, h, w); h and w are multiples of 8."""

    def __init__(self, config: ENetConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        kind = config.activation
        blocks: list[nn.Module] = [Initial(kind), Down(16, 64, EARLY_DROPOUT, kind)]
        blocks += [Bottleneck(64, 1, EARLY_DROPOUT, kind) for _ in range(4)]
        blocks.append(Down(64, 128, DROPOUT, kind))
        blocks += [Bottleneck(128, shape, DROPOUT, kind) for shape in MIDDLE + MIDDLE]
        blocks += [Up(128, 64, kind), *(Bottleneck(64, 1, DROPOUT, kind) for _ in range(2))]
        blocks += [Up(64, 16, kind), Bottleneck(16, 1, DROPOUT, kind)]
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.ConvTranspose2d(16, config.classes, 2, stride=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, classes, h, w) of images (N, 3, h, w)."""
        return self.classifier(self.blocks(images))


def build(config: ENetConfig) -> ENet:
    """Return the network with random weights, drawn from torch's global generator."""
    network = ENet(config)
    he_initialise(network, network.classifier)
    return network
