"""The weights of a graph's nodes: read and replaced.

node = layers(graph)["stem.first"][0]
set_bias(graph, node, bias_of(graph, node, 16) + shift)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx

from edge_seg.errors import EdgeSegError
from edge_seg.quantize.graph import constant, layer_name, set_constant

Array = npt.NDArray[np.float32]


def group_of(node: onnx.NodeProto) -> int:
    """Return the number of groups of a convolution."""
    return next((a.i for a in node.attribute if a.name == "group"), 1)


def weight_of(graph: onnx.ModelProto, node: onnx.NodeProto) -> Array:
    """Return the weights of a node of `layers`."""
    value = constant(graph, node.input[1])
    if value is None:
        raise EdgeSegError(f"layer '{layer_name(node.name)}' has its weights before its input")
    return value.astype(np.float32)


def bias_of(graph: onnx.ModelProto, node: onnx.NodeProto, channels: int) -> Array:
    """Return the bias of a node, zeros (channels,) where it has none."""
    value = constant(graph, node.input[2]) if len(node.input) > 2 else None
    return np.zeros(channels, np.float32) if value is None else value.astype(np.float32)


def set_bias(graph: onnx.ModelProto, node: onnx.NodeProto, bias: Array) -> None:
    """Give a node its bias, under a name of its own: two nodes may have shared one."""
    name = f"{node.output[0]}.bias"
    set_constant(graph, name, bias.astype(np.float32))
    del node.input[2:]
    node.input.append(name)


def set_weight(graph: onnx.ModelProto, node: onnx.NodeProto, weight: Array) -> None:
    """Replace a node's weights. A module that is called twice has them once."""
    set_constant(graph, node.input[1], weight.astype(np.float32))
