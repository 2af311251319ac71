"""ReLU6 on qnnpack: as the top of a convolution's output grid, or on another layout.

qnnpack's clamp, and so its ReLU6 and hardtanh, is wrong on channels-last tensors: it computes in
the order of memory and hands the result on as NCHW (torch 2.13 and before: qclamp.cpp,
``_empty_affine_quantized`` without a memory format). Its convolutions give channels-last tensors,
so every MobileNetV2 collapses. Two cures:

- ReLU6 behind a convolution becomes a ReLU, which FX fuses into the convolution, whose output
  grid ends at 6: uint8 saturates there, and that *is* ReLU6. It costs nothing at run time, and
  no grid step is spent on values over 6 (`prepare_with_ceilings`).
- Any other clamp gets its input in NCHW order (`with_dense_clamps`). Keeping it in float through
  FX's mapping would not do: FX quantizes it whatever the mapping says, as it shares its
  input's grid.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import fx, nn
from torch.ao.nn.intrinsic.modules.fused import _FusedModule
from torch.ao.quantization import MinMaxObserver
from torch.ao.quantization.quantize_fx import prepare_fx
from torch.nn import functional

CLAMPS = {
    *(functional.relu6, functional.hardtanh, functional.hardtanh_),
    *(torch.clamp, "clamp"),
}
"""What FX quantizes beside `torch.nn.Hardtanh`, of which ReLU6 is a kind; ``clip`` it does not."""


class Ceiling(NamedTuple):
    """What a ReLU stands in for: the activation's name in the network, and its highest value."""

    path: str
    value: float


class CeilingObserver(MinMaxObserver):
    """A min-max observer that cuts what it sees: the grid ends at the ceiling or below."""

    def __init__(self, ceiling: float) -> None:
        super().__init__(dtype=torch.quint8, reduce_range=False)
        self.ceiling = ceiling

    def forward(self, x_orig: torch.Tensor) -> torch.Tensor:
        """Observe and return the cut values: calibration goes on with what ReLU6 gives."""
        cut: torch.Tensor = super().forward(x_orig.clamp(max=self.ceiling))
        return cut


def prepare_with_ceilings(
    network: nn.Module, mapping: Any, example: tuple[torch.Tensor, ...]
) -> fx.GraphModule:
    """Return FX's observed network, with ceilings where a ReLU6 was fused into a layer.

    A ReLU6 that FX fuses into none stays what it is, as its ceiling would be lost.
    """
    kept: set[str] = set()
    while True:
        prepared = prepare_fx(_with_relus(network, kept), mapping, example)
        loose = _set_ceilings(prepared)
        if not loose:
            return prepared
        kept |= loose


def _with_relus(network: nn.Module, kept: Collection[str]) -> nn.Module:
    """Return a copy with a ReLU, marked with its ceiling, for each ReLU6 that is not ``kept``."""
    rewritten = copy.deepcopy(network)
    for path, module in list(rewritten.named_modules(remove_duplicate=False)):
        if isinstance(module, nn.Hardtanh) and module.min_val == 0 and path not in kept:
            relu = cast("Any", nn.ReLU())
            relu.stands_for = Ceiling(path, float(module.max_val))
            rewritten.set_submodule(path, relu)
    return rewritten.eval()  # a new module is in training mode, which FX does not fuse


def _set_ceilings(prepared: fx.GraphModule) -> set[str]:
    """Give each fused ReLU its ceiling; return the names of those that can have none."""
    loose = set()
    modules = dict(prepared.named_modules(remove_duplicate=False))
    for node in prepared.graph.nodes:
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        fused = isinstance(module, _FusedModule)
        relu = list(cast("nn.Module", module).children())[-1] if fused else module
        ceiling: Ceiling | None = getattr(relu, "stands_for", None)
        if ceiling is None:
            continue
        readers = [str(reader.target) for reader in node.users]
        if fused and len(readers) == 1 and _is_its_own(readers[0], modules):
            prepared.set_submodule(readers[0], CeilingObserver(ceiling.value))
        else:
            loose.add(ceiling.path)
    return loose


def _is_its_own(observer: str, modules: Mapping[str, nn.Module]) -> bool:
    """Say whether this is an observer whose grid is of no other tensor.

    What is concatenated shares a grid, which then must reach further.
    """
    module = modules.get(observer)
    return isinstance(module, MinMaxObserver) and list(modules.values()).count(module) == 1


def with_dense_clamps(network: nn.Module) -> nn.Module:
    """Return the quantized network with every clamp's input in NCHW order."""
    if not isinstance(network, fx.GraphModule):
        return network
    modules = dict(network.named_modules())
    for node in list(network.graph.nodes):
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Hardtanh) or node.target in CLAMPS:
            given = node.all_input_nodes[0]
            with network.graph.inserting_before(node):
                dense = network.graph.call_method("contiguous", (given,))
            node.replace_input_with(given, dense)
    network.recompile()
    return network
