"""The network as TFLite gets it: pixels in, logits out, both with channels last.

    network = takes_pixels(model, folded=True)
    logits = network(frame[None].float())   # (1, h, w, 3) BGR 0..255 -> (1, h, w, classes)

The channel order and the normalisation go into the first convolution where they went into it
in the float graph (`edge_seg.quantize.float_graph` says when that is exact).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from edge_seg.models.model import Model
    from edge_seg.preprocess import InputSpec


class PixelsToLogits(nn.Module):
    """The network behind its first step, where that could not be folded into it."""

    def __init__(self, network: nn.Module, normalise: nn.Module) -> None:
        super().__init__()
        self.normalise = normalise
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return logits (1, classes, h, w) of pixels (1, 3, h, w) BGR 0..255."""
        return self.network(self.normalise(pixels))


def takes_pixels(model: Model, folded: bool) -> nn.Module:
    """Return a copy of the model's module that reads pixels; channels come last at both ends.

    ``folded`` says that the first convolutions may take the normalisation. A module without
    `nn.Conv2d` (an exported program) gets it in front all the same.
    """
    import litert_torch

    assert model.module is not None
    network = copy.deepcopy(model.module).eval()
    scale, offset = _affine(model.input)
    first = _first_convolutions(network, model.input) if folded else []
    for convolution in first:
        _fold_into(convolution, scale, offset)
    normalise = nn.Identity() if first else _normalisation(scale, offset)
    whole = PixelsToLogits(network, normalise).eval()
    return litert_torch.to_channel_last_io(whole, args=[0], outputs=[0]).eval()


def _affine(spec: InputSpec) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and offset (3,) that turn RGB pixels 0..255 into the network's input."""
    std = torch.tensor(spec.std, dtype=torch.float64)
    return 1.0 / (255.0 * std), -torch.tensor(spec.mean, dtype=torch.float64) / std


def _first_convolutions(network: nn.Module, spec: InputSpec) -> list[nn.Conv2d]:
    """Return the convolutions that read the network's input, found by running it once."""
    example = torch.zeros(1, 3, spec.height, spec.width)
    found: list[nn.Conv2d] = []

    def look(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0] is example and isinstance(module, nn.Conv2d):
            found.append(module)

    hooks = [
        module.register_forward_pre_hook(look)
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.inference_mode():
        network(example)
    for hook in hooks:
        hook.remove()
    return found


def _fold_into(convolution: nn.Conv2d, scale: torch.Tensor, offset: torch.Tensor) -> None:
    """Let ``convolution`` read BGR pixels 0..255 instead of RGB, with the same result."""
    with torch.no_grad():
        weight = convolution.weight.double()
        bias = torch.zeros(len(weight), dtype=torch.float64)
        if convolution.bias is not None:
            bias = convolution.bias.double()
        bias = bias + torch.einsum("ochw,c->o", weight, offset)
        weight = (weight * scale[None, :, None, None]).flip(1)
        convolution.weight = nn.Parameter(weight.float(), requires_grad=False)
        convolution.bias = nn.Parameter(bias.float(), requires_grad=False)


def _normalisation(scale: torch.Tensor, offset: torch.Tensor) -> nn.Conv2d:
    """BGR pixels to normalised RGB: a 1x1 convolution reorders and scales."""
    layer = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(scale).flip(1)[:, :, None, None])
        layer.bias.copy_(offset)  # type: ignore[union-attr]
    return layer.requires_grad_(False)
