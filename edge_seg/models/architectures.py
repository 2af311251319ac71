"""The networks that edge-seg builds itself, by name.

names()                              # ["deeplabv3plus-mobilenetv2", "lane-unet"]
architecture("lane-unet").build(architecture("lane-unet").config(base=32))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_seg.errors import EdgeSegError, closest

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Architecture:
    """One of the networks that edge-seg can build: its configuration and its builder."""

    config: type[Any]
    build: Callable[[Any], nn.Module]


def _unet() -> Architecture:
    from edge_seg.models import unet

    return Architecture(unet.UNetConfig, unet.build)


def _deeplab() -> Architecture:
    from edge_seg.models import deeplab

    return Architecture(deeplab.DeepLabConfig, deeplab.build)


_ARCHITECTURES: dict[str, Callable[[], Architecture]] = {
    "lane-unet": _unet,
    "deeplabv3plus-mobilenetv2": _deeplab,
}


def names() -> list[str]:
    """Return the names of the models that ship, sorted."""
    return sorted(_ARCHITECTURES)


def architecture(name: str) -> Architecture:
    """Return the architecture of that name; an unknown name raises `EdgeSegError`."""
    if name not in _ARCHITECTURES:
        raise EdgeSegError(f"unknown model '{name}': {closest(name, names())}")
    return _ARCHITECTURES[name]()
