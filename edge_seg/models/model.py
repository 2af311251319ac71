"""A segmentation model, ready to be packed: the network and what must be known of it.

model = registry.load("lane-unet")
model.input.height, model.input.width  # 256, 512
model.classes.names                    # ("background", "road", "lane_marking")
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_seg.classes import ClassMap
from edge_seg.preprocess import InputSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

Triple = tuple[float, float, float]
"""A number for each channel: red, green, blue."""


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


@dataclass(frozen=True)
class Overrides:
    """What the user says of a model; None leaves it at what the model's own files say.

    ``input_size`` is (height, width); ``mean`` and ``std`` are of a frame scaled to 0..1.
    """

    input_size: tuple[int, int] | None = None
    classes: ClassMap | None = None
    mean: Triple | None = None
    std: Triple | None = None

    def spec(
        self,
        height: int,
        width: int,
        mean: Triple = (0.0, 0.0, 0.0),
        std: Triple = (1.0, 1.0, 1.0),
    ) -> InputSpec:
        """Return the network's input of this size; ``mean`` and ``std`` are the model's own."""
        return InputSpec(height, width, self.mean or mean, self.std or std)


def from_network(
    name: str, network: nn.Module, spec: InputSpec, classes: ClassMap, source: str
) -> Model:
    """Return the `Model` of a network, in eval mode, its weights frozen."""
    network.eval().requires_grad_(False)
    state = network.state_dict()
    digest = state_digest(state, repr((name, getattr(network, "config", None), spec, classes)))
    return Model(name, spec, classes, network, None, source, digest)


def state_digest(state: Mapping[str, torch.Tensor], description: str) -> str:
    """Return the hex SHA-256 over a description and all tensors in order of name."""
    digest = hashlib.sha256(description.encode())
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def weight_bytes(model: Model) -> int:
    """Return how many bytes a model's weights take in float32."""
    if model.module is None:
        return len(model.onnx or b"")
    return sum(4 * tensor.numel() for tensor in model.module.state_dict().values())
