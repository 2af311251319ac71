"""ReLU6 as the top of a convolution's output grid.

FX fuses a ReLU into a convolution, and no ReLU6: the convolution's output then gets a grid that
reaches over 6 and below 0, and the clamp is a step of its own, which qnnpack does wrongly
(`qnnpack.clamps`). So ReLU6 behind a convolution becomes a ReLU, whose output grid ends at 6:
uint8 saturates there, and that *is* ReLU6. It costs nothing at run time, no grid step is spent on
values that are cut, and it is what the simulation does.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import fx, nn
from torch.ao.nn.intrinsic.modules.fused import _FusedModule
from torch.ao.quantization import MinMaxObserver
from torch.ao.quantization.fx.custom_config import PrepareCustomConfig
from torch.ao.quantization.quantize_fx import prepare_fx

from edge_seg.engines.torch_fx.repairs import UNTRACED


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
    untraced = PrepareCustomConfig().set_non_traceable_module_classes(UNTRACED)
    while True:
        prepared = prepare_fx(_with_relus(network, kept), mapping, example, untraced)
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
