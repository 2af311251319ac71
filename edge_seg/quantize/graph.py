"""Small questions to an ONNX graph that several steps ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

LAYER_OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""The operators with weights: those that quantization makes smaller and faster."""


def layer_name(node_name: str) -> str:
    """Return the module path of an exported node: what people and recipes call the layer.

    PyTorch's exporter names a node by its scopes, where a container's child repeats the
    container: ``/down.0/down.0.3/Conv`` is module ``down.0.3``, and
    ``/stem/first/Conv`` is ``stem.first``. A name of another form is returned as it is.
    """
    if not node_name.startswith("/"):
        return node_name
    node_name = node_name.removesuffix("/MatMulAddFusion")  # ONNX Runtime's, of a linear layer
    scopes: list[str] = []
    for scope in node_name.strip("/").split("/")[:-1]:
        if scopes and scope.startswith(f"{scopes[-1]}."):
            scopes[-1] = scope
        else:
            scopes.append(scope)
    return ".".join(scopes) or node_name.strip("/")


def layers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Return the layers with constant weights, by name, in the order of the graph.

    A layer is all nodes of its name: a module that is called twice has two, and so has one
    with two convolutions of its own (``/head/Conv``, ``/head/Conv_1``).
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        if node.op_type in LAYER_OPERATORS and any(name in constants for name in node.input):
            found.setdefault(layer_name(node.name), []).append(node)
    return found


def in_groups(node: onnx.NodeProto) -> bool:
    """Say whether a node is a transposed convolution in groups, which stays in float.

    ONNX Runtime's quantizer scales its weights by a group's channels, which the bias of all groups
    does not fit; TensorRT has no int8 kernel for it either (its issue 1934).
    """
    return node.op_type == "ConvTranspose" and any(
        attribute.name == "group" and attribute.i != 1 for attribute in node.attribute
    )


def consumers(model: onnx.ModelProto, tensor: str) -> list[onnx.NodeProto]:
    """Return the nodes that read ``tensor``."""
    return [node for node in model.graph.node if tensor in node.input]


def producer(model: onnx.ModelProto, tensor: str) -> onnx.NodeProto | None:
    """Return the node that writes ``tensor``, or None for inputs and constants."""
    return next((node for node in model.graph.node if tensor in node.output), None)


def constant(model: onnx.ModelProto, name: str) -> npt.NDArray[np.generic] | None:
    """Return the value of an initializer, or None where ``name`` is none."""
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return numpy_helper.to_array(tensor)
    return None


def set_constant(model: onnx.ModelProto, name: str, value: npt.NDArray[np.generic]) -> None:
    """Replace an initializer's value, or add it."""
    tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
    for existing in model.graph.initializer:
        if existing.name == name:
            existing.CopyFrom(tensor)
            return
    model.graph.initializer.append(tensor)


def insert_before(
    model: onnx.ModelProto, anchor: onnx.NodeProto, nodes: Iterable[onnx.NodeProto]
) -> None:
    """Insert nodes in front of ``anchor``; a graph's nodes are in topological order."""
    index = list(model.graph.node).index(anchor)
    for offset, node in enumerate(nodes):
        model.graph.node.insert(index + offset, node)


def opset(model: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that a graph is written in."""
    return next((d.version for d in model.opset_import if d.domain in ("", "ai.onnx")), 0)


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs inside a node: an If's branches, a Loop's body."""
    single = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return single + [graph for attribute in node.attribute for graph in attribute.graphs]


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename tensors, old to new, wherever they are written or read, in subgraphs too."""
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for inner in subgraphs(node):
            rename(inner, names)


def remove_unused(model: onnx.ModelProto) -> None:
    """Drop the nodes and constants that no output comes from."""
    wanted = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if any(name in wanted for name in node.output):
            kept.append(node)
            wanted |= _reads(node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    constants = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    del model.graph.initializer[:]
    model.graph.initializer.extend(constants)


def _reads(node: onnx.NodeProto) -> set[str]:
    """Return the tensors that a node reads, or its subgraphs do."""
    names = set(node.input)
    for inner in subgraphs(node):
        names.update(output.name for output in inner.output)
        names.update(*map(_reads, inner.node))
    return names


def shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Return a tensor's static shape, 0 where a dimension is not known."""
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
