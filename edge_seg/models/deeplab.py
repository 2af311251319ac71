"""DeepLabV3+ on MobileNetV2, built from transformers' modules, with the logits upsampled inside.

    network = build(DeepLabConfig())
    logits = network(torch.rand(1, 3, 256, 512))  # (1, 3, 256, 512)

The layers are those of `transformers.MobileNetV2ForSemanticSegmentation` (Sandler et al. 2018,
arXiv:1801.04381: MobileNetV2 and its reduced DeepLabV3 head, an image-level branch and one 1x1
branch), so its checkpoints load (`from_transformers`). Its own ``forward`` collects hidden
states and returns a dictionary, which torch.fx cannot trace, and its last 1x1 convolution to
1280 channels feeds nothing but a classifier of whole images; `DeepLab` calls the layers that
count, one after the other.

The output stride is 16 by default: the head then works on a sixteenth of the size, 1.3 GMAC at
256x512. With 8 the borders are finer, for 2.6 times the multiplications; with 32 lane markings
are lost.
"""

from __future__ import annotations

from typing import Any

import msgspec
import torch
from torch import nn

from edge_seg.errors import EdgeSegError
from edge_seg.models.pretrained import (
    Pretrained,
    labels,
    normalisation,
    read,
    read_config,
    transformers_classes,
)

CLASSES = ("MobileNetV2ForSemanticSegmentation", "MobileNetV2Config")
"""What is used of transformers."""


class DeepLabConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the network looks like.

    ``asymmetric_padding`` is for checkpoints that were trained with TensorFlow's "SAME" padding,
    which pads a strided convolution at the right and bottom only.
    """

    classes: int = 3
    output_stride: int = 16
    depth_multiplier: float = 1.0
    asymmetric_padding: bool = False
    height: int = 256
    width: int = 512

    def check(self) -> None:
        """Refuse what cannot be built, in one line."""
        if self.output_stride not in (8, 16, 32):
            raise EdgeSegError(
                f"deeplabv3plus-mobilenetv2 has an output stride of 8, 16 or 32, "
                f"not {self.output_stride}"
            )
        if self.height % 32 or self.width % 32:
            raise EdgeSegError(
                "deeplabv3plus-mobilenetv2 needs an input size in multiples of 32, "
                f"not {self.height}x{self.width}"
            )


class PadRightBottom(nn.Module):
    """TensorFlow's "SAME" padding of a 3x3, stride 2 convolution over an even size."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        convolution.padding = (0, 0)
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.convolution = convolution

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pad, then convolve."""
        return self.convolution(self.pad(features))


class DeepLab(nn.Module):
    """The layers of transformers' model, called in a straight line, for one input size.

    (N, 3, height, width) float RGB -> logits (N, classes, height, width). The size is fixed so
    that the graph holds no arithmetic on shapes: exporters and quantizers see convolutions only.
    """

    def __init__(self, config: DeepLabConfig, source: nn.Module) -> None:
        super().__init__()
        config.check()
        self.config = config
        backbone: Any = source.mobilenet_v2
        head: Any = source.segmentation_head
        self.stem = backbone.conv_stem
        self.blocks = backbone.layer
        self.pool = head.avg_pool
        self.conv_pool = head.conv_pool
        self.conv_aspp = head.conv_aspp
        self.conv_projection = head.conv_projection
        self.dropout = head.dropout
        self.classifier = head.classifier
        # Factors, not sizes: exporters write a size as arithmetic on the input's shape.
        stride = config.output_stride
        rows, columns = config.height // stride, config.width // stride
        self.broadcast = nn.Upsample(scale_factor=(float(rows), float(columns)))
        self.upsample = nn.Upsample(scale_factor=float(stride), mode="bilinear")
        if config.asymmetric_padding:
            _pad_right_bottom(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, classes, height, width)."""
        features = self.stem(images)
        for block in self.blocks:
            features = block(features)
        # One pixel repeated over the map: transformers interpolates it, which is the same.
        overall = self.broadcast(self.conv_pool(self.pool(features)))
        features = torch.cat([overall, self.conv_aspp(features)], dim=1)
        features = self.dropout(self.conv_projection(features))
        return self.upsample(self.classifier(features))


def build(config: DeepLabConfig) -> DeepLab:
    """Return the network with random weights, drawn from torch's global generator.

    He initialisation (arXiv:1502.01852) in place of transformers' fixed 0.02, which is made for
    fine-tuning; and batch norm statistics that remember the last twenty batches or so, where
    transformers' momentum of 0.997 (TensorFlow's number, meant the other way round) keeps only
    the last batch.
    """
    mobilenet, mobilenet_config = transformers_classes(*CLASSES)
    source = mobilenet(
        mobilenet_config(
            num_labels=config.classes,
            output_stride=config.output_stride,
            depth_multiplier=config.depth_multiplier,
            tf_padding=False,
            classifier_dropout_prob=0.1,
        )
    )
    network = DeepLab(config, source)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.05
    return network


def from_transformers(place: str, height: int, width: int) -> Pretrained:
    """Load a local ``save_pretrained`` folder or a checkpoint of the hub, safetensors only.

    Mean and std come from its ``preprocessor_config.json`` where there is one, else 0 and 1.
    Raises `EdgeSegError` where the place holds no such model or only pickled weights.
    """
    mobilenet, mobilenet_config = transformers_classes(*CLASSES)
    stored = read_config(place, CLASSES[0], mobilenet_config)
    padded = bool(stored.tf_padding)
    stored.tf_padding = False
    source = read(place, mobilenet, stored)
    config = DeepLabConfig(
        classes=stored.num_labels,
        output_stride=stored.output_stride,
        depth_multiplier=float(stored.depth_multiplier),
        asymmetric_padding=padded,
        height=height,
        width=width,
    )
    return Pretrained(DeepLab(config, source), labels(stored), *normalisation(place))


def _pad_right_bottom(network: nn.Module) -> None:
    """Replace the strided convolutions' padding; the others' is the same in both worlds."""
    for module in list(network.modules()):
        convolution = getattr(module, "convolution", None)
        if isinstance(convolution, nn.Conv2d) and convolution.stride == (2, 2):
            module.convolution = PadRightBottom(convolution)
