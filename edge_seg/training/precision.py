"""bfloat16 training: which layers stay out of it.

    network = keep_depthwise_in_float32(network)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images)

torch 2.13's bfloat16 depthwise convolution gives, now and then, a gradient with garbage in one
channel (1e8 to 1e32, seen in a quarter of the steps of a MobileNetV2 at 256x512 on a processor with
AMX, always at 960 channels, never in float32): the step is then lost, or the loss becomes NaN.
In float32 its backward pass is also faster there: 87 instead of 154 ms for 96 channels at 128x256.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def keep_depthwise_in_float32(network: nn.Module) -> nn.Module:
    """Let the network's depthwise convolutions ignore autocast; returns the network."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.forward = _without_autocast(module.forward)  # type: ignore[assignment, method-assign]
    return network


def _without_autocast(
    forward: Callable[[torch.Tensor], torch.Tensor],
) -> Callable[[torch.Tensor], torch.Tensor]:
    def in_float32(features: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return forward(features.float())

    return in_float32
