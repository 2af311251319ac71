"""The networks that edge-seg builds itself, by name.

names()                              # ["deeplabv3plus-mobilenetv2", "efficientnet-ffnet", ...]
architecture("lane-unet").build(architecture("lane-unet").config(base=32))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_seg.errors import EdgeSegError, closest

if TYPE_CHECKING:
    from torch import nn

    from edge_seg.models.pretrained import Pretrained


@dataclass(frozen=True)
class Architecture:
    """One of the networks that edge-seg can build: its configuration and its builder.

    ``from_transformers`` reads a checkpoint of transformers at (place, height, width); None where
    transformers has no such network.
    """

    config: type[Any]
    build: Callable[[Any], nn.Module]
    from_transformers: Callable[[str, int, int], Pretrained] | None = None


def _unet() -> Architecture:
    from edge_seg.models import unet

    return Architecture(unet.UNetConfig, unet.build)


def _light_unet() -> Architecture:
    from edge_seg.models import unet

    return Architecture(unet.LightUNetConfig, unet.build)


def _deeplab() -> Architecture:
    from edge_seg.models import deeplab

    return Architecture(deeplab.DeepLabConfig, deeplab.build, deeplab.from_transformers)


def _fcn() -> Architecture:
    from edge_seg.models import fcn_resnet

    return Architecture(fcn_resnet.FcnResNetConfig, fcn_resnet.build)


def _enet() -> Architecture:
    from edge_seg.models import enet

    return Architecture(enet.ENetConfig, enet.build)


def _segformer() -> Architecture:
    from edge_seg.models import segformer

    return Architecture(segformer.SegformerConfig, segformer.build, segformer.from_transformers)


def _ffnet() -> Architecture:
    from edge_seg.models import ffnet

    return Architecture(ffnet.EfficientNetFfnetConfig, ffnet.build)


_ARCHITECTURES: dict[str, Callable[[], Architecture]] = {
    "lane-unet": _unet,
    "lane-unet-light": _light_unet,
    "deeplabv3plus-mobilenetv2": _deeplab,
    "fcn-resnet50": _fcn,
    "enet": _enet,
    "segformer-b0": _segformer,
    "efficientnet-ffnet": _ffnet,
}


def names() -> list[str]:
    """Return the names of the networks, sorted; `registry.shipped` names those with weights."""
    return sorted(_ARCHITECTURES)


def architecture(name: str) -> Architecture:
    """Return the architecture of that name; an unknown name raises `EdgeSegError`."""
    if name not in _ARCHITECTURES:
        raise EdgeSegError(f"unknown model '{name}': {closest(name, names())}")
    return _ARCHITECTURES[name]()
