"""Channel pruning: a lighter U-Net out of a trained one, which is then trained on.

    lighter = prune(network, kept_widths(network.config, (0.25,)))
    lighter.config.widths        # (16, 24, 48, 96, 192) of (16, 32, 64, 128, 256)

    edge-seg train --prune 0.25 ...    # the same for a weights file, and the training after it

Whole channels go, so what is left is an ordinary dense network that every engine runs faster. Of
each layer those channels stay that weigh most: by the scale of their batch norm (Liu et al. 2017,
"Learning Efficient Convolutional Networks through Network Slimming", arXiv:1708.06519), or
where there is none by the L1 norm of their weights (Li et al. 2017, "Pruning Filters for Efficient
ConvNets", arXiv:1608.08710). Liu et al. rank the channels of all layers together; here every
size has a width of its own, as latency depends on the size above all. docs/training.md compares
both measures, and says how fast the networks are.

Law: channels that are zero can go, and no output changes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from edge_seg.errors import EdgeSegError
from edge_seg.files import scratch_folder
from edge_seg.models import weights_file
from edge_seg.models.unet import BilinearUp, UNet, UNetConfig
from edge_seg.training.settings import Settings
from edge_seg.training.state import FROM_ELSEWHERE

STEP = 8
"""Widths are multiples of it: kernels compute 8 or 16 channels at a time, and 12 in place of 16 at
the full size made OpenVINO's int8 only 6 % faster (AVX-512)."""
NETWORK = "lane-unet"


def kept_widths(config: UNetConfig, shares: tuple[float, ...]) -> tuple[int, ...]:
    """Return the channels that are left at each size, to the nearest multiple of `STEP`.

    ``shares`` are what goes, in 0..1: one for all sizes, or one for each, the largest size first.
    Raises `EdgeSegError` where they are of another number.

    >>> kept_widths(UNetConfig(base=16), (0.0, 0.5, 0.25, 0.25, 0.25))
    (16, 16, 48, 96, 192)
    """
    widths = config.channels()
    if len(shares) not in (1, len(widths)):
        raise EdgeSegError(
            f"--prune takes one share, or one for each of the {len(widths)} sizes of the network, "
            f"not {len(shares)}"
        )
    each = shares * len(widths) if len(shares) == 1 else shares
    return tuple(_left(width, share) for width, share in zip(widths, each, strict=True))


def _left(width: int, share: float) -> int:
    """Return what is left of a width; halves are rounded up, and something is always left."""
    steps = int(width * (1 - share) / STEP + 0.5)
    return min(width, max(1, steps) * STEP)


def pruned_options(start: Path, settings: Settings) -> Settings:
    """Return the settings with the options of the network that `pruned` makes of ``start``.

    Raises `EdgeSegError` where the model or the file's network is not `NETWORK`.
    """
    if settings.model != NETWORK:
        raise EdgeSegError(f"--prune knows {NETWORK}, not {settings.model}: leave it out")
    if settings.options:
        raise EdgeSegError(
            f"--prune takes the network from {start.name}: leave --option "
            f"{', '.join(settings.options)} out"
        )
    config = _header(start)[1]
    widths = kept_widths(config, settings.prune)
    options = {**msgspec.to_builtins(config), "widths": list(widths)}
    for given in FROM_ELSEWHERE:
        del options[given]
    words = f"pruned to {', '.join(map(str, widths))} channels"
    history = "; then ".join(filter(None, [settings.start_trained_on, words]))
    return msgspec.structs.replace(settings, options=options, start_trained_on=history)


@contextlib.contextmanager
def pruned(start: Path | None, shares: tuple[float, ...]) -> Iterator[Path | None]:
    """Yield a weights file to begin with: ``start`` itself where no shares are to go.

    Else it is the file of the pruned network, and gone at the end; the same start and shares give
    the same bytes.
    """
    if start is None or not shares:
        yield start
        return
    header, config = _header(start)
    network = UNet(config)
    weights_file.fill(network, weights_file.read(start).tensors, str(start))
    lighter = prune(network, kept_widths(config, shares))
    described = msgspec.to_builtins(lighter.config)
    with scratch_folder() as folder:
        path = folder / start.name
        header = msgspec.structs.replace(header, config=described)
        weights_file.save(path, header, lighter.state_dict())
        yield path


def _header(start: Path) -> tuple[weights_file.Header, UNetConfig]:
    """Return what a weights file says of its network, which must be one that can be pruned."""
    header = weights_file.read(start).header
    if header is None or header.architecture != NETWORK:
        holds = "another maker's network" if header is None else header.architecture
        raise EdgeSegError(f"--prune knows {NETWORK}, and {start} holds {holds}: leave it out")
    return header, msgspec.convert(header.config, UNetConfig)


@torch.no_grad()
def prune(network: UNet, widths: tuple[int, ...]) -> UNet:
    """Return the U-Net of these widths whose weights are the strongest channels of ``network``.

    ``widths`` are at most the network's own; channels keep their order. The network itself is
    left as it was.
    """
    lighter = UNet(msgspec.structs.replace(network.config, widths=widths)).eval()
    left = torch.arange(3)
    copies = []
    for block, small in zip(network.encoder, lighter.encoder, strict=True):
        left = _prune_block(block, small, left)
        copies.append(left)
    copies.pop()  # the smallest size goes up itself
    for up, block, small_up, small in zip(
        network.up, network.decoder, lighter.up, lighter.decoder, strict=True
    ):
        layer, small_layer = _convolution(up), _convolution(small_up)
        grown = strongest(layer, None, small_layer.out_channels)
        _copy(layer, small_layer, left, grown)
        left = _prune_block(block, small, torch.cat([copies.pop(), layer.out_channels + grown]))
    _copy(network.head, lighter.head, left, torch.arange(network.config.classes))
    return lighter


def strongest(layer: nn.Conv2d | nn.ConvTranspose2d, norm: Any, count: int) -> torch.Tensor:
    """Return the indices of the ``count`` output channels that weigh most, in their order.

    The weight of a channel is the size of its scale in ``norm``, the batch norm after it; where
    that is none, the sum of the sizes of its weights. Of equal ones the first stay.
    """
    if isinstance(norm, nn.BatchNorm2d):
        weight = norm.weight.abs()
    else:
        outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        weight = layer.weight.abs().transpose(0, outputs).flatten(1).sum(dim=1)
    return weight.argsort(descending=True, stable=True)[:count].sort().values


def _prune_block(block: Any, small: Any, inputs: torch.Tensor) -> torch.Tensor:
    """Fill the smaller form of a `ConvBlock`; returns which of its outputs are left."""
    for layer, norm, small_layer, small_norm in (
        (block.conv1, block.bn1, small.conv1, small.bn1),
        (block.conv2, block.bn2, small.conv2, small.bn2),
    ):
        outputs = strongest(layer, norm, small_layer.out_channels)
        _copy(layer, small_layer, inputs, outputs)
        for name, values in norm.state_dict().items():
            each = values[outputs] if values.dim() else values  # one number counts the steps
            small_norm.state_dict()[name].copy_(each)
        inputs = outputs
    return inputs


def _copy(layer: Any, small: Any, inputs: torch.Tensor, outputs: torch.Tensor) -> None:
    """Copy the weights between these channels; a transposed convolution has its inputs first."""
    first, second = outputs, inputs
    if isinstance(layer, nn.ConvTranspose2d):
        first, second = inputs, outputs
    small.weight.copy_(layer.weight[first][:, second])
    if layer.bias is not None:
        small.bias.copy_(layer.bias[outputs])


def _convolution(up: nn.Module) -> Any:
    return up.conv if isinstance(up, BilinearUp) else up
