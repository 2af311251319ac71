"""The lane U-Net: an encoder, a decoder, and a copy of the encoder's features at each size.

    network = build(UNetConfig(base=16))
    logits = network(torch.rand(1, 3, 256, 512))  # (1, 3, 256, 512)

The shape is that of Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for
Biomedical Image Segmentation" (MICCAI 2015, arXiv:1505.04597), with padded convolutions (the
output is as large as the input) and batch normalisation (Ioffe and Szegedy 2015,
arXiv:1502.03167). The original has base width 64 and depth 4. Every convolution is followed by
its batch norm and ReLU as modules of their own, so that torch.fx finds and fuses them.

Two options make it lighter than the paper's, both for the sake of a device:

    UNetConfig(widths=(12, 24, 48, 96, 192))             # what pruning leaves of base 16
    UNetConfig(base=24, stem_stride=2)                   # works at half the size from the start
"""

from __future__ import annotations

from typing import Literal

import msgspec
import torch
from torch import nn

from edge_seg.errors import EdgeSegError

WIDTHS = (16, 24, 32, 64, 128)
WIDEST = 4096
"""Channels that no level goes beyond; a typing error becomes no network that fills the memory."""


class UNetConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a U-Net looks like.

    ``base`` is the number of channels at full size; each of the ``depth`` downsamplings halves
    the size and doubles the channels. ``up`` is how the decoder doubles the size: "transpose"
    (learned, 2x2, stride 2) or "bilinear" (a 1x1 convolution, then interpolation).

    ``widths`` are the channels at each size, the largest first, ``depth + 1`` numbers; they take
    the place of ``base``. ``stem_stride`` 2 halves the size in the first convolution already, and
    doubles it again after the last, by bilinear interpolation of the logits.
    """

    classes: int = 3
    base: int = 16
    depth: int = 4
    batch_norm: bool = True
    up: Literal["transpose", "bilinear"] = "transpose"
    widths: tuple[int, ...] = ()
    stem_stride: Literal[1, 2] = 1
    height: int = 256
    width: int = 512

    def check(self) -> None:
        """Refuse what cannot be built, in one line."""
        if self.base not in WIDTHS:
            raise EdgeSegError(f"lane-unet has no base width {self.base}: choose one of {WIDTHS}")
        if not 1 <= self.depth <= 6:
            raise EdgeSegError(f"lane-unet has a depth of 1 to 6, not {self.depth}")
        self._check_widths()
        factor = self.stem_stride * 2**self.depth
        if self.height % factor or self.width % factor:
            raise EdgeSegError(
                f"a lane-unet of depth {self.depth}{self._stem} needs an input size in multiples "
                f"of {factor}, not {self.height}x{self.width}"
            )

    def channels(self) -> tuple[int, ...]:
        """Return the channels at each size, the largest first: ``depth + 1`` numbers."""
        return self.widths or tuple(self.base * 2**level for level in range(self.depth + 1))

    @property
    def _stem(self) -> str:
        return "" if self.stem_stride == 1 else f" with a stem of stride {self.stem_stride}"

    def _check_widths(self) -> None:
        if self.widths and len(self.widths) != self.depth + 1:
            raise EdgeSegError(
                f"a lane-unet of depth {self.depth} has {self.depth + 1} widths, one for each "
                f"size: {len(self.widths)} were given"
            )
        for width in self.widths:
            if not 1 <= width <= WIDEST:
                raise EdgeSegError(f"the widths of a lane-unet are 1 to {WIDEST}, not {width}")


class LightUNetConfig(UNetConfig, frozen=True, forbid_unknown_fields=True):
    """``lane-unet-light``: what pruning left of ``lane-unet``, three fifths of its arithmetic."""

    widths: tuple[int, ...] = (16, 16, 48, 96, 192)


class ConvBlock(nn.Module):
    """Twice a 3x3 convolution, batch norm and ReLU.

    (N, inputs, h, w) -> (N, outputs, h / stride, w / stride)
    """

    def __init__(self, inputs: int, outputs: int, batch_norm: bool, stride: int = 1) -> None:
        super().__init__()
        bias = not batch_norm  # a batch norm has its own
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=bias)
        self.bn1 = nn.BatchNorm2d(outputs) if batch_norm else nn.Identity()
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(outputs) if batch_norm else nn.Identity()
        self.relu2 = nn.ReLU()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Run both convolutions."""
        features = self.relu1(self.bn1(self.conv1(features)))
        return self.relu2(self.bn2(self.conv2(features)))


class BilinearUp(nn.Module):
    """Fewer channels, twice the size: (N, inputs, h, w) -> (N, outputs, 2h, 2w).

    The 1x1 convolution comes first: the two commute, and at the small size it costs a quarter.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)
        self.upsample = nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Convolve, then interpolate."""
        return self.upsample(self.conv(features))


class UNet(nn.Module):
    """A U-Net over (N, 3, h, w) float RGB; returns logits (N, classes, h, w).

    h and w are multiples of ``stem_stride * 2**depth``; the weights fit any such size.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        widths = config.channels()
        strides = [config.stem_stride] + [1] * config.depth
        self.encoder = nn.ModuleList(
            ConvBlock(inputs, outputs, config.batch_norm, stride)
            for inputs, outputs, stride in zip([3, *widths], widths, strides, strict=False)
        )
        self.down = nn.MaxPool2d(2)
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for level in reversed(range(config.depth)):
            inputs, outputs = widths[level + 1], widths[level]
            if config.up == "transpose":
                self.up.append(nn.ConvTranspose2d(inputs, outputs, 2, stride=2))
            else:
                self.up.append(BilinearUp(inputs, outputs))
            self.decoder.append(ConvBlock(2 * outputs, outputs, config.batch_norm))
        self.head = nn.Conv2d(widths[0], config.classes, 1)
        self.whole: nn.Module | None = None
        if config.stem_stride > 1:
            self.whole = nn.Upsample(scale_factor=float(config.stem_stride), mode="bilinear")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, classes, h, w) of images (N, 3, h, w)."""
        copies = []
        features = images
        for level, block in enumerate(self.encoder):
            if level > 0:
                copies.append(features)
                features = self.down(features)
            features = block(features)
        for up, block in zip(self.up, self.decoder, strict=True):
            features = block(torch.cat([copies.pop(), up(features)], dim=1))
        logits = self.head(features)
        return logits if self.whole is None else self.whole(logits)


def build(config: UNetConfig) -> UNet:
    """Return a U-Net with random weights, drawn from torch's global generator.

    He initialisation (He et al. 2015, arXiv:1502.01852), which keeps the variance through
    ReLU layers.
    """
    network = UNet(config)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
