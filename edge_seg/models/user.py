"""A model that the user brings as Python: ``package.module:factory`` and a weights file.

    model = load("mynets.lanes:make_network", "lanes.safetensors")

The factory is called without arguments and returns a `torch.nn.Module`. Naming a factory runs
its code, as importing any module does; the weights file never runs code: safetensors holds
numbers only, and a state dict is read with torch's ``weights_only``.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_seg.classes import LANE, ClassMap
from edge_seg.errors import EdgeSegError, closest, in_one_line
from edge_seg.models import weights_file
from edge_seg.models.class_maps import generic_classes
from edge_seg.models.model import Model, Overrides, from_network
from edge_seg.preprocess import InputSpec


def load(name: str, weights: str | Path | None, overrides: Overrides) -> Model:
    """Return the factory's network, filled with the weights.

    ``weights`` None keeps the weights the factory made. Without ``classes`` the
    class map follows from the number of outputs: ours where there are three.
    """
    network = _make(name)
    source = f"{name}, the factory's own weights"
    if weights is not None:
        weights_file.fill(network, read_state(weights), str(weights))
        source = f"{name}, {Path(weights).name}"
    weights_file.refuse_not_finite(network.state_dict(), source)
    spec = overrides.spec(*(overrides.input_size or (256, 512)))
    network.eval()
    classes = overrides.classes or guess_classes(network, spec)
    return from_network(name, network, spec, classes, source)


def guess_classes(network: nn.Module, spec: InputSpec) -> ClassMap:
    """Return a class map of as many classes as the network has outputs.

    Where the network has no proper output, return ours: the trial run says what is wrong.
    """
    try:
        with torch.no_grad():
            logits = network(torch.zeros(1, 3, spec.height, spec.width))
        count = int(logits.shape[1])
    except Exception:  # the user's own code runs here: anything may come
        return LANE
    return LANE if count == len(LANE) else generic_classes(count)


def _make(name: str) -> nn.Module:
    """Import and call the factory; each way it can fail is one line."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise EdgeSegError(f"'{name}' is no factory: write package.module:factory")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does: a module beside you is found
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's own code runs here: anything may come
        raise EdgeSegError(
            f"cannot import {module_name} for the model {name}: "
            f"{type(error).__name__}: {in_one_line(error)}"
        ) from error
    factory: Any = getattr(module, attribute, None)
    if not callable(factory):
        callables = [key for key, value in vars(module).items() if callable(value)]
        raise EdgeSegError(
            f"{module_name} has no factory '{attribute}': {closest(attribute, callables)}"
        )
    try:
        network = factory()
    except Exception as error:
        raise EdgeSegError(
            f"the factory {name} fails: {type(error).__name__}: {in_one_line(error)}; "
            "it is called without arguments"
        ) from error
    if not isinstance(network, nn.Module):
        raise EdgeSegError(
            f"the factory {name} returns {type(network).__name__}, not a torch.nn.Module"
        )
    return network


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read weights: safetensors, or a pickled state dict through torch's ``weights_only``.

    A dictionary with its weights under ``state_dict`` or ``model`` is unwrapped. Raises
    `EdgeSegError` where the file is missing, or holds anything but tensors.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return weights_file.read(path).tensors
    if not path.is_file():
        raise EdgeSegError(f"cannot read the weights {path}: there is no such file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or a hostile pickle: torch raises many kinds
        raise EdgeSegError(
            f"cannot read {path} as a state dict without running code in it: "
            "save it with torch.save(model.state_dict(), ...) or as safetensors"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise EdgeSegError(f"{path} holds no state dict (names and tensors)")
    return dict(state)
