"""A small network with every operator that TensorRT's rules for Q/DQ pairs speak of."""

from __future__ import annotations

import torch
from torch import nn


class EveryOperator(nn.Module):
    """Residual add, concat, transposed, dilated, depthwise convolution, bilinear resize."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.down = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.head = nn.Conv2d(20, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = nn.functional.relu6(self.stem(x))
        inner = nn.functional.relu6(self.depthwise(stem))
        added = torch.relu(self.dilated(inner) + stem)
        low = torch.relu(self.down(added))
        wide = nn.functional.interpolate(low, scale_factor=2, mode="bilinear")
        both = torch.cat([torch.relu(self.up(low)), wide, added], 1)
        logits = self.head(both)
        return nn.functional.interpolate(logits, scale_factor=2, mode="bilinear")


def every_operator() -> nn.Module:
    """Return the network, its weights the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return EveryOperator()
