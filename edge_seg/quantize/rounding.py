"""Adaptive rounding: each weight goes up or down as keeps its layer's output, not the weight.

    graph = round_adaptively(graph, recipe, frames)   # its weights lie on the recipe's grid

Layer after layer: the rounded layer, on the inputs that come out of the quantized and rounded
layers before it, is to give what the float layer gives on the float network's inputs, behind the
ReLU or Clip that directly follows (AdaRound: Nagel et al. 2020, arXiv:2004.10568, section 3, with
its asymmetric reconstruction). The paper relaxes that choice and descends along gradients, ten
thousand steps a layer. Here the whole numbers are searched themselves (`rounding_rows`): 400 such
steps took three times as long and left more error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor

from edge_seg.preprocess import Frame
from edge_seg.progress import Track, silent
from edge_seg.quantize.coarse import output_axis
from edge_seg.quantize.float_graph import LOGITS, NORMALISE
from edge_seg.quantize.graph import constant, consumers, layers, set_constant
from edge_seg.quantize.learn.operators import OPERATORS
from edge_seg.quantize.learn.program import Node, Program, batch, spread
from edge_seg.quantize.qdq import quantize_graph
from edge_seg.quantize.recipe import Recipe
from edge_seg.quantize.rounding_rows import Places, Rows, as_rows, from_rows, patches, round_rows
from edge_seg.quantize.weights import weight_of

FRAMES = 16
"""A layer at 1/16 of 256x512 has 8192 positions in them."""
LEAST, MOST, PER_WEIGHT = 2048, 8192, 16
"""Positions a layer is rounded on: so many for each weight of a row, but within these."""
SEED = 0
ON_THE_GRID = 1e-4
"""In steps: a weight this near to a whole number is that number."""

Sample = tuple[Places, Tensor]
"""Some positions of a layer's output, and what the float layer gives there, (n, channels)."""


@dataclass(frozen=True)
class _Grid:
    """A node's weights in steps of their grid. ``free`` says which are to be rounded."""

    weight: Tensor
    units: Tensor
    step: Tensor
    largest: Tensor
    last: int
    free: Tensor

    def value(self, whole: Tensor) -> Tensor:
        """Return whole numbers as weights. The last step is the largest magnitude, to the bit.

        The quantizer takes the scale from it, and is to find the same.
        """
        at_end = whole.abs() == self.last
        value = torch.where(at_end, whole.sign() * self.largest, whole * self.step)
        return torch.where(self.free, value, self.weight)


def round_adaptively(
    graph: onnx.ModelProto, recipe: Recipe, frames: Sequence[Frame], track: Track = silent
) -> onnx.ModelProto:
    """Return a copy of a float graph with the weights of its quantized convolutions rounded.

    ``frames`` are uint8 BGR (h, w, 3) at the network's size. Law: quantizing the copy gives
    these whole numbers back, and each is the floor or the ceil of the original. Layers in float,
    modules that are called twice, weights of one bit (a sign has no neighbours) and channels with
    nothing in them stay as they are. Raises `EdgeSegError` where an operator is not known here.
    """
    quantized = quantize_graph(graph, recipe)
    grids = dict(_grids(graph, quantized, recipe))
    shown = batch(spread(frames, FRAMES))
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    steps = iter(track(range(len(grids)), "rounding", len(grids)))

    def keep(name: str, weight: Tensor) -> None:
        next(steps)
        set_constant(model, name, weight.numpy())

    with torch.inference_mode():
        spots = _targets(graph, shown, grids)
        _round_layers(graph, quantized, shown, grids, spots, keep)
    next(steps, None)  # a bar is full when it is asked for one more
    return model


def _grids(
    graph: onnx.ModelProto, quantized: onnx.ModelProto, recipe: Recipe
) -> Iterator[tuple[str, _Grid]]:
    """Yield by node the grids of the weights that are quantized and read once."""
    if recipe.weights.bits == 1:
        return
    for name, nodes in layers(graph).items():
        node = nodes[0]
        if (
            len(nodes) == 1
            and name != NORMALISE
            and node.op_type in ("Conv", "ConvTranspose")
            and name not in recipe.float_layers
            and len(consumers(graph, node.input[1])) == 1
            and constant(quantized, f"{node.input[1]}_quantized") is not None
        ):
            yield node.name, _grid(graph, quantized, recipe, node)


def _grid(
    graph: onnx.ModelProto, quantized: onnx.ModelProto, recipe: Recipe, node: onnx.NodeProto
) -> _Grid:
    weight = torch.from_numpy(weight_of(graph, node))
    last, axis = recipe.weights.last_step, output_axis(node) if recipe.weights.per_channel else None
    others = [d for d in range(weight.dim()) if d != axis]
    largest = weight.abs().amax(others, keepdim=True)
    step = largest / last
    units = weight / step.where(step > 0, 1)
    whole = units.round()
    units = torch.where((units - whole).abs() < ON_THE_GRID, whole, units).clamp(-last, last)
    # The quantizer widens the grid of a channel with next to no weights, for its bias to fit.
    taken = np.abs(_value(quantized, f"{node.input[1]}_quantized").astype(np.float32))
    scale = torch.from_numpy(_value(quantized, f"{node.input[1]}_scale")).reshape(largest.shape)
    there = torch.from_numpy(taken).amax(others, keepdim=True) * scale
    free = (step > 0) & ((there - largest).abs() < ON_THE_GRID * step)
    units, step = torch.where(free, units, 0), torch.where(free, step, 1)
    return _Grid(weight, units, step.expand_as(weight), largest, last, free)


def _targets(
    graph: onnx.ModelProto, frames: Tensor, grids: Mapping[str, _Grid]
) -> dict[str, Sample]:
    """Return by node some positions of its output, in random order, and what is there in float."""
    spots: dict[str, Sample] = {}
    generator = torch.Generator().manual_seed(SEED)

    def look(node: Node, output: Tensor) -> Tensor:
        if node.name in grids:
            count, _, height, width = output.shape
            row_length = as_rows(node, grids[node.name].weight).shape[2]
            wanted = min(max(LEAST, PER_WEIGHT * row_length), MOST)
            places = torch.randperm(count * height * width, generator=generator)[:wanted]
            frame, row = places // (height * width), places // width % height
            target = output[frame, :, row, places % width]
            spots[node.name] = Places(frame, row, places % width), target
        return output

    Program(graph)(frames, visit=look)
    return spots


def _round_layers(
    graph: onnx.ModelProto,
    quantized: onnx.ModelProto,
    frames: Tensor,
    grids: Mapping[str, _Grid],
    spots: Mapping[str, Sample],
    done: Callable[[str, Tensor], None],
) -> None:
    """Run the quantized network, rounding each layer on the inputs that it gets; tell `done`."""
    program, known = Program(quantized), {node.name: node for node in graph.graph.node}
    read = {name for node in program.nodes if node.name in grids for name in node.inputs}
    values = {name: value for name, value in program.constants.items() if name in read}

    def visit(node: Node, output: Tensor) -> Tensor:
        if node.name in grids:
            grid, inputs = grids[node.name], [values[name] for name in node.inputs if name]
            bias = inputs[2] if len(inputs) > 2 else output.new_zeros(output.shape[1])
            activation = _activation(graph, known[node.name])
            rows = _rows(node, grid, inputs[0], bias, spots[node.name], activation)
            weight = grid.value(from_rows(node, round_rows(rows), grid.weight))
            done(known[node.name].input[1], weight)
            output = OPERATORS[node.operator](node.attributes, inputs[0], weight, bias)
        if node.output in read:
            values[node.output] = output
        for name in node.last_read:
            values.pop(name, None)
        return output

    program(frames, visit=visit)


def _rows(
    node: Node,
    grid: _Grid,
    given: Tensor,
    bias: Tensor,
    spots: Sample,
    activation: Callable[[Tensor], Tensor],
) -> Rows:
    places, target = spots
    units = as_rows(node, grid.units)
    groups, count, _ = units.shape
    return Rows(
        units=units,
        step=as_rows(node, grid.step)[:, :, :1],
        inputs=patches(node, given, grid.weight.shape[2:], places),
        bias=bias.reshape(groups, 1, count),
        target=target.reshape(-1, groups, count).transpose(0, 1),
        activation=activation,
    )


def _activation(graph: onnx.ModelProto, node: onnx.NodeProto) -> Callable[[Tensor], Tensor]:
    """Return the ReLU or Clip that alone reads a node, or what changes nothing."""
    readers = consumers(graph, node.output[0])
    if len(readers) != 1 or node.output[0] == LOGITS or readers[0].op_type not in ("Relu", "Clip"):
        return lambda y: y
    ends = [constant(graph, name) if name else None for name in readers[0].input[1:]]
    tensors = [None if end is None else torch.from_numpy(np.array(end)) for end in ends]
    return lambda y: OPERATORS[readers[0].op_type]({}, y, *tensors)


def _value(graph: onnx.ModelProto, name: str) -> npt.NDArray[np.generic]:
    value = constant(graph, name)
    assert value is not None
    return np.array(value)
