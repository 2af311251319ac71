"""A graph of ours as a PyTorch function: batches of frames in, logits out, gradients through.

    program = Program(quantize_graph(graph, recipe))
    logits = program(frames)     # uint8 BGR (n, h, w, 3) -> (n, classes, h, w)
    logits = program(frames, {"stem.weight_quantized": q})     # other values of constants

A pair rounds with a straight-through gradient (Bengio et al. 2013, arXiv:1308.3432), and its
gradient to the scale is the one of learned step sizes (Esser et al. 2020, arXiv:1902.08153). Law:
on one frame it equals ONNX Runtime's literal run of the same graph but for the order of float sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame
from edge_seg.quantize.float_graph import FRAME, LOGITS
from edge_seg.quantize.graph import layer_name, shape
from edge_seg.quantize.learn.operators import OPERATORS, Attributes, Operator

T = TypeVar("T")


@dataclass(frozen=True)
class Node:
    """One operator: what it reads, what it writes, and what nothing reads after it."""

    operator: str
    name: str
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    output: str
    last_read: tuple[str, ...]

    @property
    def layer(self) -> str:
        """The layer's name, as in the recipe."""
        return layer_name(self.name)


Visit = Callable[[Node, Tensor], Tensor]
"""Called with every node's output; what it returns goes on in its place."""


class Program:
    """A graph, ready to be run in PyTorch; raises `EdgeSegError` where an operator is not known."""

    def __init__(self, graph: onnx.ModelProto) -> None:
        self.constants = {tensor.name: _tensor(tensor) for tensor in graph.graph.initializer}
        for node in graph.graph.node:
            if node.op_type == "Constant":
                value = helper.get_attribute_value(node.attribute[0])
                self.constants[node.output[0]] = _tensor(value)
            elif node.op_type not in _ALL:
                raise EdgeSegError(
                    f"layer '{layer_name(node.name)}' is a {node.op_type}, which cannot be run in "
                    "PyTorch here: --method ptq does without"
                )
        given = [node for node in graph.graph.node if node.op_type != "Constant"]
        self.nodes = _nodes(_with_pairs(given), _shapes(graph))

    def __call__(
        self,
        frames: Tensor,
        constants: Mapping[str, Tensor] | None = None,
        visit: Visit | None = None,
    ) -> Tensor:
        """Return the logits of frames; ``constants`` take the place of the graph's own."""
        values = {**self.constants, **(constants or {}), FRAME: frames}
        for node in self.nodes:
            inputs = [values[name] if name else None for name in node.inputs]
            try:
                output = _ALL[node.operator](node.attributes, *inputs)
            except NotImplementedError as error:
                raise EdgeSegError(f"layer '{node.layer}' has no gradient here: {error}") from error
            values[node.output] = visit(node, output) if visit else output
            for name in node.last_read:
                del values[name]
        return values[LOGITS]


def batch(frames: Sequence[Frame]) -> Tensor:
    """Return frames (h, w, 3) uint8 as one tensor (n, h, w, 3)."""
    return torch.from_numpy(np.stack(frames))


def spread(things: Sequence[T], count: int) -> list[T]:
    """Return up to ``count`` of them, evenly spread: neighbouring frames show the same scene."""
    places = np.linspace(0, len(things) - 1, min(count, len(things))).round().astype(int)
    return [things[index] for index in places]


def round_through(x: Tensor) -> Tensor:
    """Round to even; the gradient passes as if nothing had happened."""
    return x + (torch.round(x) - x).detach()


def _quantize(
    given: Attributes, x: Tensor, scale: Tensor, zero_point: Tensor | None = None
) -> Tensor:
    """Return the whole numbers as floats: gradients do not go through integers."""
    kind = torch.iinfo(torch.uint8 if zero_point is None else zero_point.dtype)
    offset = 0 if zero_point is None else zero_point.float()
    return torch.clamp(round_through(x / scale) + offset, kind.min, kind.max)


def _dequantize(
    given: Attributes, q: Tensor, scale: Tensor, zero_point: Tensor | None = None
) -> Tensor:
    if scale.dim() == 1 and len(scale) > 1:
        around = [1] * q.dim()
        around[given.get("axis", 1)] = len(scale)
        scale = scale.reshape(around)
        zero_point = None if zero_point is None else zero_point.reshape(around)
    offset = 0 if zero_point is None else zero_point.float()
    return (q.float() - offset) * scale


def _there_and_back(given: Attributes, x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Return a tensor on its grid: QuantizeLinear and DequantizeLinear in one kernel."""
    kind = torch.iinfo(zero_point.dtype)
    return torch._fake_quantize_learnable_per_tensor_affine(
        x, scale.reshape(1), zero_point.reshape(1).float(), kind.min, kind.max, 1.0
    )


PAIR = "QuantizeDequantize"
_ALL: dict[str, Operator] = {
    **OPERATORS,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    PAIR: _there_and_back,
}


def _with_pairs(given: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the nodes with every activation's pair as one: three passes less over its memory."""
    makers = {node.output[0]: node for node in given if node.op_type == "QuantizeLinear"}
    readers: dict[str, list[str]] = {}
    for node in given:
        for name in node.input:
            readers.setdefault(name, []).append(node.op_type)
    alone = {name for name in makers if set(readers.get(name, ())) == {"DequantizeLinear"}}
    nodes = []
    for node in given:
        if node.output[0] in alone and len(node.input) == 3:
            continue
        maker = makers.get(node.input[0]) if node.input else None
        if maker is not None and maker.output[0] in alone and len(maker.input) == 3:
            inputs = [maker.input[0], *maker.input[1:]]
            node = helper.make_node(PAIR, inputs, list(node.output), maker.name)
        nodes.append(node)
    return nodes


def _shapes(graph: onnx.ModelProto) -> dict[str, list[int]]:
    """Return the shape of each tensor that a Reshape writes, for one frame, where it is known."""
    written = {node.output[0] for node in graph.graph.node if node.op_type == "Reshape"}
    if not written:
        return {}
    inferred = onnx.shape_inference.infer_shapes(graph, data_prop=True).graph
    found = {value.name: list(shape(value)) for value in (*inferred.value_info, *inferred.output)}
    return {name: found[name] for name in written if 0 not in found.get(name, [0])}


def _nodes(given: list[onnx.NodeProto], shapes: Mapping[str, list[int]]) -> list[Node]:
    made = {name for node in given for name in node.output} - {LOGITS}
    reads = [tuple(made.intersection(node.input)) for node in given]
    last = {name: index for index, names in enumerate(reads) for name in names}
    return [
        Node(
            operator=node.op_type,
            name=node.name,
            attributes={a.name: helper.get_attribute_value(a) for a in node.attribute}
            | ({"sizes": shapes[node.output[0]]} if node.output[0] in shapes else {}),
            inputs=tuple(node.input),
            output=node.output[0],
            last_read=tuple(name for name in reads[index] if last[name] == index),
        )
        for index, node in enumerate(given)
    ]


def _tensor(value: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(numpy_helper.to_array(value).copy())
