"""A segmentation model, ready to be packed: the network and what must be known of it.

model = registry.load("lane-unet")
model.input.height, model.input.width  # 256, 512
model.classes.names                    # ("background", "road", "lane_marking")
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_seg.classes import ClassMap
from edge_seg.preprocess import InputSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Model:
    """A float model: exactly one of ``module`` and ``onnx`` is set.

    ``module`` is in eval mode, takes a float32 tensor (N, 3, input.height, input.width) of RGB
    normalised as ``input`` says, and returns float32 logits (N, len(classes), height, width).
    ``onnx`` is the file's bytes, of a graph with the same contract at N = 1.
    ``source`` says in words where the weights came from; ``digest`` is the hex SHA-256 of the
    configuration and the weights, so equal digests mean equal masks.
    """

    name: str
    input: InputSpec
    classes: ClassMap
    module: nn.Module | None
    onnx: bytes | None
    source: str
    digest: str
