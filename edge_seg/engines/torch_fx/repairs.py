"""What FX quantizes wrongly on any kernels (torch 2.13), put right around it.

- A PReLU's quantized module gives wrong values (3 dB where its neighbours have 37): it stays in
  float.
- The average of a whole image is left on its input's grid, which is too coarse for it (a tenth of
  its range a step, in the shipped DeepLab), where the recipe has one of its own: it is computed in
  float. A qconfig of None does not help, as FX's lowering does not ask for it.
- The fixed grid of a sigmoid's output, 0..1, is also laid on its input where that comes from a
  layer in float: there the usual observer belongs.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from torch import fx, nn

if TYPE_CHECKING:
    from torch.ao.quantization import QConfigMapping


class FloatPReLU(nn.PReLU):
    """A PReLU that FX does not know, and so leaves in float."""


class FloatAverage(nn.AdaptiveAvgPool2d):
    """An average that FX does not know; it must not look into it either (`UNTRACED`)."""


FLOAT: dict[type[nn.Module], type[nn.Module]] = {
    nn.PReLU: FloatPReLU,
    nn.AdaptiveAvgPool2d: FloatAverage,
}
UNTRACED: list[type] = [FloatAverage]


def with_float_modules(network: nn.Module) -> nn.Module:
    """Return a copy in which every module of `FLOAT` is one that FX leaves in float."""
    rewritten = copy.deepcopy(network)
    for module in rewritten.modules():
        if type(module) in FLOAT:
            module.__class__ = FLOAT[type(module)]
    return rewritten


def free_fixed_grids(prepared: fx.GraphModule, mapping: QConfigMapping) -> None:
    """Leave fixed grids only to the outputs of the operators that ``mapping`` gives them to."""
    usual = mapping.global_qconfig
    assert usual is not None
    kinds = mapping.object_type_qconfigs.items()
    fixed = {kind for kind, config in kinds if config and _is_fixed(config.activation())}
    modules = dict(prepared.named_modules(remove_duplicate=False))
    for node in prepared.graph.nodes:
        observer = modules.get(str(node.target)) if node.op == "call_module" else None
        if _is_fixed(observer) and _kind(node.args[0], modules) not in fixed:
            prepared.set_submodule(str(node.target), usual.activation())


def _is_fixed(observer: Any) -> bool:
    from torch.ao.quantization import FixedQParamsObserver

    return isinstance(observer, FixedQParamsObserver)


def _kind(node: Any, modules: dict[str, nn.Module]) -> Any:
    """Return what a mapping knows an operator by: a module's class, a function, a method's name."""
    return type(modules[str(node.target)]) if node.op == "call_module" else node.target
