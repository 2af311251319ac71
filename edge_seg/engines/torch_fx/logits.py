"""The logits stay in float, as in the simulation: the classes are decided there.

FX would put them on a grid of 256 values, where classes tie. Without that grid the last layer's
input and weights lie on theirs, and it computes in float.
"""

from __future__ import annotations

from typing import Any

from torch import fx, nn
from torch.ao.quantization import ObserverBase
from torch.nn import functional

from edge_seg.engines.torch_fx.ceilings import CeilingObserver

MOVES = (nn.Upsample, nn.PixelShuffle, nn.Dropout, nn.Dropout2d, nn.Identity)
"""What logits only pass through."""


def leave_logits_float(prepared: fx.GraphModule) -> None:
    """Take the observers off the output, and off what it is resized from.

    A ceiling stays, as it is the clamp itself; and so does the grid of a layer that is called
    elsewhere too, as one module cannot be both.
    """
    modules = dict(prepared.named_modules(remove_duplicate=False))
    (output,) = (node for node in prepared.graph.nodes if node.op == "output")
    node: Any = output.args[0]
    passed = []
    while isinstance(node, fx.Node):
        kind = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(kind, ObserverBase) and not isinstance(kind, CeilingObserver):
            passed.append(node)
        elif not isinstance(kind, MOVES) and node.target is not functional.interpolate:
            break
        node = node.args[0] if node.args else None
    if isinstance(node, fx.Node) and _calls(prepared, node) > 1:
        return
    for observer in passed:
        (given,) = observer.all_input_nodes
        observer.replace_all_uses_with(given)
        prepared.graph.erase_node(observer)
    prepared.recompile()


def _calls(prepared: fx.GraphModule, node: fx.Node) -> int:
    """Count the calls of a node's module, 1 where it is a function."""
    if node.op != "call_module":
        return 1
    return sum(other.target == node.target for other in prepared.graph.nodes)
