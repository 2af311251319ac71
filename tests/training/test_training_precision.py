"""What a network does otherwise while it trains gives the same numbers, and finite ones."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edge_seg.models import unet
from edge_seg.training.precision import (
    keep_depthwise_in_float32,
    quickened,
    without_transposed_convolutions,
)


def test_only_depthwise_convolutions_ignore_autocast() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 2, 1))
    kinds = []
    for layer in keep_depthwise_in_float32(network):
        layer.register_forward_hook(lambda _, __, output: kinds.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.rand(1, 3, 8, 8))
    assert kinds == [torch.bfloat16, torch.float32, torch.bfloat16]


def test_a_wide_depthwise_convolution_has_the_gradient_of_float32() -> None:
    """The case that goes wrong in bfloat16: 960 channels, channels last, many times over."""
    torch.manual_seed(0)
    layer = nn.Conv2d(960, 960, 3, padding=1, groups=960, bias=False)
    layer.to(memory_format=torch.channels_last)
    features = torch.rand(2, 960, 16, 32).contiguous(memory_format=torch.channels_last)
    features = features.bfloat16().float()
    layer(features).sum().backward()
    wanted = layer.weight.grad
    assert wanted is not None
    keep_depthwise_in_float32(nn.Sequential(layer))
    for _ in range(10):
        layer.weight.grad = None
        with torch.autocast("cpu", torch.bfloat16):
            layer(features).sum().backward()
        assert torch.allclose(layer.weight.grad, wanted, rtol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose2d(6, 4, 2, stride=2),
        nn.ConvTranspose2d(6, 4, (2, 3), stride=(2, 3), bias=False),
        nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1),  # overlaps: as it was
    ],
)
def test_a_transposed_convolution_is_a_pointwise_one(layer: nn.Module) -> None:
    quick = without_transposed_convolutions(copy.deepcopy(layer))
    features = torch.randn(2, 6, 5, 7)
    results = []
    for module in (layer, quick):
        given = features.clone().requires_grad_()
        output = module(given)
        (output**3).sum().backward()
        results.append([output, given.grad, *(weight.grad for weight in module.parameters())])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_quickened_network_gives_the_same_gradients() -> None:
    torch.manual_seed(0)
    wanted = unet.build(unet.UNetConfig(depth=2, height=16, width=32))
    wanted.to(memory_format=torch.channels_last)
    quick = quickened(copy.deepcopy(wanted), torch.device("cpu"), bf16=False)
    images = torch.rand(2, 3, 16, 32)
    for network in (wanted, quick):
        network(images).square().mean().backward()
    for one, other in zip(wanted.parameters(), quick.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-5)
    for name, value in wanted.state_dict().items():
        torch.testing.assert_close(quick.state_dict()[name], value)


def test_elsewhere_than_on_cpus_nothing_changes() -> None:
    network = nn.Sequential(nn.ConvTranspose2d(6, 4, 2, stride=2), nn.Conv2d(4, 4, 3, groups=4))
    quickened(network, torch.device("cuda"), bf16=True)
    assert all("forward" not in vars(layer) for layer in network)
    quickened(network, torch.device("cpu"), bf16=True)
    assert all("forward" in vars(layer) for layer in network)
