"""The grids of a Q/DQ graph as things that learn: weights, biases and activation ranges.

    grids = Grids(graph, quantized, recipe)          # of quantize_graph(graph, recipe)
    logits = Program(quantized)(frames, grids())     # gradients reach each part's `delta`
    graph, ranges = grids.learnt(graph)

Everything is learnt in units of its own: a weight in steps of its grid, a bias in steps of its
layer's output, a range in parts of itself. One rate then suits layers whose weights differ a
thousandfold, such as a first layer that reads pixels of 0 to 255.

Law: quantizing what was learnt gives the graph that was simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from edge_seg.quantize.float_graph import NORMALISE
from edge_seg.quantize.graph import constant, consumers, set_constant
from edge_seg.quantize.learn.program import round_through
from edge_seg.quantize.recipe import Recipe, Weights

STEPS = 255
"""Of an activation's grid, whichever sign it has."""


class Part(Protocol):
    """What the three kinds have in common."""

    name: str
    delta: nn.Parameter

    def constants(self) -> dict[str, Tensor]:
        """Return the Q/DQ graph's constants that follow."""


class Weight:
    """A layer's weights: rounded with a straight-through gradient, the scale from their largest.

    As the quantizer has it: symmetric, so that the largest magnitude of a channel (along ``axis``,
    None: of all) is its last step. A channel of zeros stays that.
    """

    def __init__(self, name: str, start: Tensor, axis: int | None, last_step: int = 63) -> None:
        self.name, self.start, self._last = name, start, last_step
        self._others = [d for d in range(start.dim()) if d != axis]
        self._step = self._step_of(start)
        self.delta = nn.Parameter(torch.zeros_like(start))

    def value(self) -> Tensor:
        """Return the weights in float."""
        return self.start + self._step * self.delta

    def constants(self) -> dict[str, Tensor]:
        """Return whole numbers and scale."""
        value = self.value()
        step = self._step_of(value.detach())
        scale = torch.where(step > 0, step, 1.0)
        whole = self._whole(value / scale) * (step > 0)  # zero has a sign too, of one bit
        return {f"{self.name}_quantized": whole, f"{self.name}_scale": scale.flatten()}

    def _step_of(self, value: Tensor) -> Tensor:
        return value.abs().amax(self._others, keepdim=True) / self._last

    def _whole(self, steps: Tensor) -> Tensor:
        return round_through(steps)


class SignWeight(Weight):
    """The same in one bit: a sign, times the mean magnitude (`quantize.coarse` has the source)."""

    def _step_of(self, value: Tensor) -> Tensor:
        return value.abs().mean(self._others, keepdim=True)

    def _whole(self, steps: Tensor) -> Tensor:
        sign = torch.where(steps < 0, -1.0, 1.0)
        return steps + (sign - steps).detach()


class Bias:
    """A layer's bias, in steps of the layer's output; its own grid has 32 bits."""

    def __init__(self, name: str, start: Tensor, step: float) -> None:
        self.name, self.start, self._step = name, start, step
        self.delta = nn.Parameter(torch.zeros_like(start))

    def value(self) -> Tensor:
        """Return the bias in float."""
        return self.start + self._step * self.delta

    def constants(self) -> dict[str, Tensor]:
        """Return the bias as it is, with a scale of one."""
        name = f"{self.name}_quantized"
        return {name: self.value(), f"{name}_scale": torch.ones(1)}


class Range:
    """An activation's range (low, high) with zero in it; each end learns as a part of itself."""

    def __init__(self, name: str, scale: float, zero_point: Tensor) -> None:
        self.name = name
        self._kind = zero_point.dtype
        self._least = torch.iinfo(self._kind).min
        below = float(zero_point) - self._least
        self._start = torch.tensor([-below * scale, (STEPS - below) * scale])
        self.delta = nn.Parameter(torch.zeros(2))

    def value(self) -> Tensor:
        """Return (low, high)."""
        return self._start * torch.exp(self.delta)

    def constants(self) -> dict[str, Tensor]:
        """Return scale and zero point."""
        low, high = self.value()
        scale = (high - low) / STEPS
        zero_point = torch.round(self._least - low / scale).detach().to(self._kind)
        return {f"{self.name}_scale": scale, f"{self.name}_zero_point": zero_point}


class Grids:
    """All that learns of a Q/DQ graph; called, it gives the constants that follow."""

    def __init__(
        self,
        graph: onnx.ModelProto,
        quantized: onnx.ModelProto,
        recipe: Recipe,
    ) -> None:
        ranges = recipe.ranges
        self.weights: list[Weight] = []
        self.biases: list[Bias] = []
        self.ranges: list[Range] = []
        names: set[str] = set()
        for node in quantized.graph.node:
            if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or node.input[1] in names:
                continue
            names.add(node.input[1])
            name = node.input[1].removesuffix("_scale")
            if node.op_type == "QuantizeLinear":
                low, high = ranges.get(name, (0.0, 0.0))
                if low < high:  # what has one value has no grid, and its scale says nothing
                    self.ranges.append(_range(quantized, node, name))
            elif constant(graph, name.removesuffix("_quantized")) is not None:
                self._add(graph, quantized, node, name.removesuffix("_quantized"), recipe)

    def _add(
        self,
        graph: onnx.ModelProto,
        quantized: onnx.ModelProto,
        node: onnx.NodeProto,
        name: str,
        recipe: Recipe,
    ) -> None:
        start = _tensor(graph, name)
        if node.input[0] == node.input[1].removesuffix("_scale"):  # a bias: NAME_quantized_scale
            layer = consumers(quantized, node.output[0])[0].output[0]
            low, high = recipe.ranges.get(layer, (0.0, 0.0))
            self.biases.append(Bias(name, start, (high - low) / STEPS))
        else:
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            own = axis if recipe.weights.per_channel else None
            reader = consumers(quantized, node.output[0])[0]
            grid = Weights() if reader.name == NORMALISE else recipe.weights
            kind = SignWeight if grid.bits == 1 else Weight
            self.weights.append(kind(name, start, own, grid.last_step))

    def __call__(self) -> dict[str, Tensor]:
        """Return the constants of the Q/DQ graph that follow from what is learnt so far."""
        found: dict[str, Tensor] = {}
        for part in self._parts():
            found |= part.constants()
        return found

    def _parts(self) -> list[Part]:
        return [*self.weights, *self.biases, *self.ranges]

    def state(self) -> dict[str, Tensor]:
        """Return a copy of what is learnt, by tensor."""
        return {part.name: part.delta.detach().clone() for part in self._parts()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to what `state` returned."""
        with torch.no_grad():
            for part in self._parts():
                part.delta.copy_(state[part.name])

    def in_float(self) -> dict[str, Tensor]:
        """Return the float graph's constants that follow: weights and biases as they are."""
        weights = {part.name: part.value() for part in self.weights}
        return weights | {part.name: part.value() for part in self.biases}

    def learnt(
        self, graph: onnx.ModelProto
    ) -> tuple[onnx.ModelProto, dict[str, tuple[float, float]]]:
        """Return a copy of the float graph with the weights and biases, and the ranges."""
        model = onnx.ModelProto()
        model.CopyFrom(graph)
        with torch.no_grad():
            for name, value in self.in_float().items():
                set_constant(model, name, value.numpy().astype(np.float32))
            ends = {part.name: part.value().tolist() for part in self.ranges}
        return model, {name: (low, high) for name, (low, high) in ends.items()}


def _range(quantized: onnx.ModelProto, node: onnx.NodeProto, name: str) -> Range:
    return Range(name, float(_tensor(quantized, node.input[1])), _tensor(quantized, node.input[2]))


def _tensor(graph: onnx.ModelProto, name: str) -> Tensor:
    value = constant(graph, name)
    assert value is not None
    return torch.from_numpy(np.array(value))
