"""The recipe's ranges, brought to FX's observers.

    known = known_ranges(prepared, source)     # observer -> (low, high)
    ...                                        # calibrate, where something is not known
    set_ranges(prepared, known)

FX has names of its own for all tensors. Both networks are run on two frames, and an observer gets
the grid of the tensor whose values it sees (`edge_seg.engines.equal_tensors`). Observers that FX
shares, along a concatenation or a pooling, stay shared: theirs is the widest of their tensors'
grids, which is that of the concatenation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import fx, nn
from torch.ao.quantization import MinMaxObserver

from edge_seg.engines.equal_tensors import PROBES, Ranges, Values, equal_tensors, graph_values
from edge_seg.engines.lowering import Source
from edge_seg.preprocess import InputSpec, normalise
from edge_seg.quantize.graph import constant
from edge_seg.quantize.qdq import quantize_graph

if TYPE_CHECKING:
    import onnx

STEPS = 255


def observers(prepared: fx.GraphModule) -> dict[str, MinMaxObserver]:
    """Return the observers that look for a range, by their names in the graph.

    One may have several names. Those of grids that are fixed are not among them.
    """
    modules = dict(prepared.named_modules(remove_duplicate=False))
    names = [str(node.target) for node in prepared.graph.nodes if node.op == "call_module"]
    found = {name: modules[name] for name in names}
    return {name: one for name, one in found.items() if isinstance(one, MinMaxObserver)}


def known_ranges(prepared: fx.GraphModule, source: Source) -> Ranges:
    """Return the range of every observer whose tensor is one of the float graph's, by its name."""
    grids = _grids(source)
    probes = source.frames[:PROBES]
    ours = list(graph_values(source.graph, source.recipe, probes))
    theirs = [_seen(prepared, normalise(frame, source.model.input)) for frame in probes]
    pairs = equal_tensors(theirs, ours, grids)
    ranges = {name: grids[tensor] for name, tensor in pairs.items()}
    for before, behind in _shuffles(prepared):
        if before not in ranges and behind in ranges:
            ranges[before] = ranges[behind]
    entered = _entrances(prepared) & set(theirs[0]) - set(ranges)
    return ranges | dict.fromkeys(entered, _pixels(source.model.input))


def set_ranges(prepared: fx.GraphModule, known: Mapping[str, tuple[float, float]]) -> None:
    """Let observers end where ``known`` says, by name; the others keep what they saw.

    A ceiling (`ceilings`) stays one: no grid goes beyond it.
    """
    shared: dict[MinMaxObserver, list[tuple[float, float]]] = {}
    for name, observer in observers(prepared).items():
        if name in known:
            shared.setdefault(observer, []).append(known[name])
    for observer, ranges in shared.items():
        low, high = max(ranges, key=lambda ends: ends[1] - ends[0])
        high = min(high, getattr(observer, "ceiling", high))
        observer.min_val, observer.max_val = torch.tensor(low), torch.tensor(high)


def _grids(source: Source) -> Ranges:
    """Return the ends of every tensor's grid: the simulation's, the recipe's where it has none.

    They are not the same everywhere: what a pooling gives is on its input's grid.
    """
    quantized = quantize_graph(source.graph, source.recipe)
    grids = dict(source.recipe.ranges)
    for node in quantized.graph.node:
        if node.op_type == "QuantizeLinear":
            scale, zero = (_number(quantized, name) for name in node.input[1:])
            grids[node.input[0]] = (-zero * scale, (STEPS - zero) * scale)
    return grids


def _number(graph: onnx.ModelProto, name: str) -> float:
    value = constant(graph, name)
    assert value is not None
    return float(np.asarray(value).item())


class _Watched(fx.Interpreter):
    """Runs a network and remembers what its observers see."""

    def __init__(self, prepared: fx.GraphModule) -> None:
        super().__init__(prepared)
        self.seen: Values = {}
        self._watched = set(observers(prepared))

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Run one layer; an observer's value is copied, as what follows may work in place."""
        value = super().call_module(target, args, kwargs)
        if target in self._watched:
            self.seen[target] = value.clone().numpy()
        return value


def _seen(prepared: fx.GraphModule, image: np.ndarray) -> Values:
    watched = _Watched(prepared)
    with torch.inference_mode():
        watched.run(torch.from_numpy(image))
    return watched.seen


def _shuffles(prepared: fx.GraphModule) -> Iterator[tuple[str, str]]:
    """Yield the observers before and behind each pixel shuffle: the same values in another order.

    Where a transposed convolution was, the graph has no tensor but the second.
    """
    modules = dict(prepared.named_modules(remove_duplicate=False))
    for node in prepared.graph.nodes:
        if node.op == "call_module" and isinstance(modules[str(node.target)], nn.PixelShuffle):
            for reader in node.users:
                yield str(node.args[0].target), str(reader.target)


def _entrances(prepared: fx.GraphModule) -> set[str]:
    """Return the observers of the network's input."""
    inputs = [node for node in prepared.graph.nodes if node.op == "placeholder"]
    return {str(reader.target) for node in inputs for reader in node.users}


def _pixels(spec: InputSpec) -> tuple[float, float]:
    """Return the values of the pixels 0 and 255: with one mean and std, a step of the grid each."""
    mean, std = np.asarray(spec.mean), np.asarray(spec.std)
    return float(((0 - mean) / std).min()), float(((1 - mean) / std).max())
