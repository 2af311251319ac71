"""Rewrites of a network that change its layers and not what it computes.

network = with_pixel_shuffle(network)  # no ConvTranspose2d left where one can go
"""

from __future__ import annotations

import copy

import torch
from torch import nn


def with_pixel_shuffle(network: nn.Module) -> nn.Module:
    """Return a copy in which 2x2, stride 2 transposed convolutions are 1x1 convolutions.

    Such a layer writes every input pixel to four output pixels and no two overlap, so it is a
    1x1 convolution to four times the channels, reordered (Shi et al. 2016, arXiv:1609.05158).
    Equal in exact arithmetic; integer engines have a fast 1x1 convolution, and the quantized
    transposed one of torch's fbgemm is wrong (measured on lane-unet: its masks agree with
    float in 73 % of the pixels, rewritten in 99.8 %).
    """
    rewritten = copy.deepcopy(network)
    for parent in list(rewritten.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ConvTranspose2d) and _is_plain(child):
                setattr(parent, name, _shuffled(child))
    return rewritten.train(network.training)


def _is_plain(layer: nn.ConvTranspose2d) -> bool:
    pair = (2, 2)
    return (
        (layer.kernel_size, layer.stride) == (pair, pair)
        and layer.padding == layer.output_padding == (0, 0)
        and layer.dilation == (1, 1)
        and layer.groups == 1
    )


def _shuffled(layer: nn.ConvTranspose2d) -> nn.Sequential:
    """(in, out, 2, 2) weights become (4 out, in, 1, 1), in PixelShuffle's order."""
    convolution = nn.Conv2d(
        layer.in_channels, 4 * layer.out_channels, 1, bias=layer.bias is not None
    )
    with torch.no_grad():
        weight = layer.weight.permute(1, 2, 3, 0).reshape(-1, layer.in_channels, 1, 1)
        convolution.weight.copy_(weight)
        if layer.bias is not None and convolution.bias is not None:
            convolution.bias.copy_(layer.bias.repeat_interleave(4))
    convolution.requires_grad_(layer.weight.requires_grad)
    return nn.Sequential(convolution, nn.PixelShuffle(2))
