"""All that a training step changes, and the checkpoint that keeps it.

    state = fresh(settings, classes)
    save_checkpoint(path, state)
    state = load_checkpoint(path, settings, classes)  # the same numbers, bit for bit

A checkpoint is one safetensors file: the weights, their average, both moments of AdamW, and in
the header, as JSON, the settings, the step, the history and what its next line will say. It
replaces the one before it in one rename, so a kill loses what came after it and nothing else.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from edge_seg.errors import EdgeSegError, closest
from edge_seg.files import write_bytes
from edge_seg.metrics import Confusion
from edge_seg.models import weights_file
from edge_seg.models.architectures import architecture
from edge_seg.training.settings import Settings, first_difference

KEY = "edge_seg_training"
BETAS = (0.9, 0.999)
"""AdamW's defaults (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

FROM_ELSEWHERE = {
    "classes": "the frames' masks",
    "height": "--size",
    "width": "--size",
}
"""What of a network's configuration is no option of a training, and where it comes from."""


class Record(msgspec.Struct):
    """One line of the history; losses are means since the line before, IoU in percent."""

    step: int
    loss: float
    lr: float
    seconds: float
    train_iou: dict[str, float]
    val_iou: dict[str, float] | None = None
    val_miou: float | None = None


@dataclass
class State:
    """The network in training, its average, the optimizer, and how far they are.

    ``network`` is built for crops, ``average`` for the network's own input size. ``losses`` and
    ``seen`` are since the last line of the history.
    """

    settings: Settings
    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.AdamW
    seen: Confusion
    losses: list[float] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    history: list[Record] = field(default_factory=list)


class _Stored(msgspec.Struct):
    settings: Settings
    step: int
    seconds: float
    history: list[Record]
    losses: list[float] = []
    seen: list[list[int]] = []


def config_of(settings: Settings, classes: int, height: int, width: int) -> Any:
    """Return the network's configuration for a size; a wrong option raises `EdgeSegError`."""
    known = architecture(settings.model)
    values = {**settings.options, "classes": classes, "height": height, "width": width}
    fields = [field.name for field in msgspec.structs.fields(known.config)]
    names = [name for name in fields if name not in FROM_ELSEWHERE]
    for name in settings.options:
        if name in FROM_ELSEWHERE:
            raise EdgeSegError(
                f"'{name}' is no option: it comes from {FROM_ELSEWHERE[name]}; leave it out"
            )
        if name not in names:
            raise EdgeSegError(f"{settings.model} has no option '{name}': {closest(name, names)}")
    try:
        return msgspec.convert(values, known.config, strict=False)
    except msgspec.ValidationError as error:
        raise EdgeSegError(f"an option of {settings.model} does not fit: {error}") from error


def options_of(header: weights_file.Header) -> dict[str, Any]:
    """Return the options with which a training makes the network of a weights file.

    Those that are left out are the defaults.
    """
    # Through JSON, as the file's own: lists in place of tuples.
    default = msgspec.json.decode(msgspec.json.encode(architecture(header.architecture).config()))
    return {
        name: value
        for name, value in header.config.items()
        if name not in FROM_ELSEWHERE and value != default.get(name)
    }


def fresh(settings: Settings, classes: int, device: torch.device | str = "cpu") -> State:
    """Return the state before the first step, random weights drawn with the seed."""
    known = architecture(settings.model)
    torch.manual_seed(settings.seed)
    network = known.build(config_of(settings, classes, settings.crop_height, settings.crop_width))
    average = known.build(config_of(settings, classes, settings.height, settings.width))
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average.load_state_dict(copy.deepcopy(network.state_dict()))
    average.to(device).eval().requires_grad_(False)
    return State(settings, network, average, _optimizer(network, settings), Confusion(classes))


def _optimizer(network: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """Return AdamW that decays convolution weights, and not biases and batch norms."""
    decayed = [weight for weight in network.parameters() if weight.ndim > 1]
    others = [weight for weight in network.parameters() if weight.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=BETAS, fused=True)


@torch.no_grad()
def update_average(state: State) -> None:
    """Move the averaged weights a little towards the network's.

    The decay starts small, min(ema, (1 + step) / (10 + step)), so that the random weights of
    the start are soon forgotten. Batch norm statistics are averaged as weights are.
    """
    decay = min(state.settings.ema, (1 + state.step) / (10 + state.step))
    current = state.network.state_dict()
    pairs = [(kept, current[name]) for name, kept in state.average.state_dict().items()]
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    kept, new = map(list, zip(*floats, strict=True))
    get_ema_multi_avg_fn(decay)(kept, new, 0)
    for count, now in (pair for pair in pairs if not pair[0].is_floating_point()):
        count.copy_(now)


def save_checkpoint(path: Path, state: State) -> None:
    """Write the checkpoint, whole or not at all."""
    from safetensors.torch import save as serialise

    tensors = {}
    for prefix, module in (("network", state.network), ("average", state.average)):
        for name, tensor in module.state_dict().items():
            tensors[f"{prefix}/{name}"] = tensor.contiguous()
    for name, parameter in state.network.named_parameters():
        for key, value in state.optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = value.contiguous()
    seen = state.seen.matrix.tolist()
    stored = _Stored(state.settings, state.step, state.seconds, state.history, state.losses, seen)
    text = msgspec.json.encode(stored).decode()
    write_bytes(path, serialise(tensors, metadata={KEY: text}))


def load_checkpoint(
    path: Path, settings: Settings, classes: int, device: torch.device | str = "cpu"
) -> State:
    """Return the state at the checkpoint; raises `EdgeSegError` where it is of other settings."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        with safe_open(path, framework="pt") as file:
            stored = msgspec.json.decode((file.metadata() or {})[KEY], type=_Stored)
        tensors = load_file(path)
    except (SafetensorError, OSError, KeyError, msgspec.MsgspecError) as error:
        raise EdgeSegError(
            f"{path} is no checkpoint of edge-seg train ({error}): delete it and start anew"
        ) from error
    difference = first_difference(settings, stored.settings)
    if difference:
        raise EdgeSegError(f"{path} is of another training: {difference}; resume with the same")
    state = fresh(settings, classes, device)
    for prefix, module in (("network", state.network), ("average", state.average)):
        module.load_state_dict(_below(tensors, prefix))
    for name, parameter in state.network.named_parameters():
        moments = {key: tensors.get(f"optimizer/{key}/{name}") for key in _MOMENTS}
        if moments["step"] is not None:
            state.optimizer.state[parameter] = {
                key: _laid_out_as(parameter, value) for key, value in moments.items()
            }
    state.step, state.seconds, state.history = stored.step, stored.seconds, stored.history
    state.losses = stored.losses
    if stored.seen:
        state.seen.matrix = np.array(stored.seen, np.int64)
    return state


_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    cut = len(prefix) + 1
    return {name[cut:]: value for name, value in tensors.items() if name.startswith(prefix + "/")}


def _laid_out_as(parameter: torch.Tensor, value: Any) -> torch.Tensor:
    """Give a moment its parameter's memory layout, so that sums run in the same order."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter, requires_grad=False).copy_(value).detach()


def start_from(state: State, path: Path) -> None:
    """Begin with the weights of a file in place of random ones; raises `EdgeSegError`."""
    stored = weights_file.read(path)
    try:
        for module in (state.network, state.average):
            weights_file.fill(module, stored.tensors, str(path))
    except EdgeSegError as error:
        if stored.header is None:
            raise
        raise EdgeSegError(f"{error}: they are of {_asked_for(stored.header)}") from error


def _asked_for(header: weights_file.Header) -> str:
    """Return the words of the command line that make a file's network."""
    words = [f"--model {header.architecture}"]
    for name, value in options_of(header).items():
        values = value if isinstance(value, list) else [value]
        words.append(f"--option {name}={','.join(str(each).lower() for each in values)}")
    return f"{' '.join(words)}, with masks of {header.classes}"
