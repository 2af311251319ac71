"""The Q/DQ graph as TensorRT wants it: signed, symmetric, with nothing inside a fusion.

    quantized = quantize_signed(graph, recipe)    # of the same ranges as `quantize_graph`

TensorRT refuses zero points and 32-bit biases, and reads the places of the pairs literally: they
say where a kernel begins and ends ("Working with Quantized Types", TensorRT developer guide).
ONNX Runtime's quantizer writes the pairs; what is added here are the rules of the table in
docs/quantization.md, each of which has a test. The same file runs in ONNX Runtime and OpenVINO.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from edge_seg.quantize.coarse import limits, with_coarse_weights
from edge_seg.quantize.float_graph import FRAME
from edge_seg.quantize.graph import (
    constant,
    consumers,
    insert_before,
    producer,
    remove_unused,
    set_constant,
)
from edge_seg.quantize.qdq import (
    bypass_pair,
    check_standard,
    float_nodes,
    insert_pairs,
    leave_logits_float,
)
from edge_seg.quantize.recipe import Recipe

IR_VERSION = 8
"""What the ONNX of TensorRT 8.5 and 8.6 knows (ONNX 1.12); opset 17 is `float_graph`'s."""
FUSED_WITH_ACTIVATION = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add")
"""Kernels that end with their ReLU: a pair between the two would end them before it."""
SCALE_KEEPING = ("Concat", "MaxPool", "Resize", "DepthToSpace")
"""Operators that only move bytes, or mix them convexly, where both sides have one scale."""
LARGEST = 127
NESTED = 126
"""Where the largest of fewer bits lies: their last steps, 7, 3 and 1, divide it."""


def quantize_signed(graph: onnx.ModelProto, recipe: Recipe) -> onnx.ModelProto:
    """Return the signed Q/DQ graph of ``graph`` under ``recipe``; neither is changed.

    Weights of seven bits take all 8: no kernel of these runtimes saturates on the way. Those of
    fewer lie on their grid.
    """
    from onnxruntime.quantization import QuantType

    model = onnx.ModelProto()
    model.CopyFrom(with_coarse_weights(graph, recipe))
    ranges = dict(recipe.ranges)
    _shuffle_transposed_convolutions(model, ranges)
    quantized = insert_pairs(
        model,
        shared_ranges(model, ranges),
        per_channel=recipe.weights.per_channel,
        reduce_range=False,
        activation_qType=QuantType.QInt8,
        nodes_to_quantize=[],
        nodes_to_exclude=float_nodes(model, recipe) + _sums_and_products_with_a_number(model),
        extra_options={
            "WeightSymmetric": True,
            "ActivationSymmetric": True,
            "QuantizeBias": False,
            "TensorQuantOverrides": limits(model, recipe, beyond=LARGEST / NESTED),
        },
    )
    leave_logits_float(quantized)
    _fuse_activations(quantized)
    _saturate_instead_of_clip(quantized)
    cast_frame_first(quantized)
    remove_unused(quantized)
    quantized.ir_version = IR_VERSION
    check_standard(quantized)
    return quantized


def cast_frame_first(model: onnx.ModelProto) -> None:
    """Let the Cast read the frame and the Transpose its floats: TensorRT only casts uint8."""
    (transpose,) = consumers(model, FRAME)
    cast = next((n for n in consumers(model, transpose.output[0]) if n.op_type == "Cast"), None)
    if cast is None:
        return
    model.graph.node.remove(transpose)
    model.graph.node.remove(cast)
    planes = cast.output[0]
    cast.input[0], cast.output[0] = FRAME, "frame_float"
    transpose.input[0], transpose.output[0] = "frame_float", planes
    insert_before(model, model.graph.node[0], [cast, transpose])


def shared_ranges(
    model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Return the ranges, widened where tensors must share a scale.

    What an operator of `SCALE_KEEPING` reads and writes is one group, and so are the two sides of
    an Add: int8 is then copied, or added, without going through floats.
    """
    group = {name: name for name in ranges}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for node in model.graph.node:
        tensors = [name for name in node.input if name in ranges]
        if node.op_type in SCALE_KEEPING:
            tensors += [name for name in node.output if name in ranges]
        elif node.op_type != "Add":
            continue
        for name in tensors[1:]:
            group[root(name)] = root(tensors[0])
    members: dict[str, list[str]] = {}
    for name in ranges:
        members.setdefault(root(name), []).append(name)
    return {
        name: (min(ranges[other][0] for other in names), max(ranges[other][1] for other in names))
        for names in members.values()
        for name in names
    }


def _sums_and_products_with_a_number(model: onnx.ModelProto) -> list[str]:
    """Name the adds and muls with one constant number, around which TensorRT refuses a pair."""
    return [
        node.name
        for node in model.graph.node
        if node.op_type in ("Add", "Mul")
        and any((value := constant(model, n)) is not None and value.ndim == 0 for n in node.input)
    ]


def _shuffle_transposed_convolutions(
    model: onnx.ModelProto, ranges: dict[str, tuple[float, float]]
) -> None:
    """Write a transposed convolution whose kernel is its stride as 1x1 convolution and shuffle.

    The same sums: no two kernel positions meet in one pixel (Shi et al. 2016, "Is the
    deconvolution layer the same as a convolutional layer?"). TensorRT for RTX has no int8 kernel
    for the transposed form and goes back to float.
    """
    for node in [n for n in model.graph.node if n.op_type == "ConvTranspose"]:
        weight = constant(model, node.input[1])
        stride = _stride_of_unfolding(node, weight)
        if weight is None or stride == 0:
            continue
        # The activation goes before the shuffle, which it commutes with, to its convolution.
        activation = _only_activation(model, node.output[0])
        last = activation or node
        out, spread = last.output[0], f"{last.output[0]}_spread"
        made = [_unfolded(model, node, weight, stride)]
        if activation is not None:
            made.append(onnx.NodeProto())
            made[-1].CopyFrom(activation)
            made[-1].input[0] = made[0].output[0]
            ranges[made[0].output[0]] = ranges.pop(node.output[0])
        made[-1].output[0] = spread
        ranges[spread] = ranges[out]
        shuffle = helper.make_node(
            "DepthToSpace", [spread], [out], f"{node.name}_shuffle", blocksize=stride, mode="CRD"
        )
        insert_before(model, node, [*made, shuffle])
        for old in (node, activation):
            if old is not None:
                model.graph.node.remove(old)
    remove_unused(model)


def _only_activation(model: onnx.ModelProto, tensor: str) -> onnx.NodeProto | None:
    readers = consumers(model, tensor)
    alone = len(readers) == 1 and readers[0].op_type in ("Relu", "Clip")
    return readers[0] if alone else None


def _unfolded(
    model: onnx.ModelProto, node: onnx.NodeProto, weight: np.ndarray, stride: int
) -> onnx.NodeProto:
    """Return the 1x1 convolution that gives all the pixels under one as channels."""
    inputs, outputs = weight.shape[:2]
    name = node.input[1]
    spread = weight.reshape(inputs, outputs * stride**2).T
    set_constant(model, f"{name}.shuffled", spread[:, :, None, None])
    parameters = [f"{name}.shuffled"]
    if len(node.input) > 2:
        bias = constant(model, node.input[2])
        assert bias is not None
        set_constant(model, f"{name}.shuffled_bias", np.repeat(bias, stride**2))
        parameters.append(f"{name}.shuffled_bias")
    tensors = [node.input[0], *parameters]
    return helper.make_node(
        "Conv", tensors, [f"{node.output[0]}_spread"], node.name, kernel_shape=[1, 1]
    )


def _stride_of_unfolding(node: onnx.NodeProto, weight: np.ndarray | None) -> int:
    """Return the stride of a transposed convolution whose kernel positions never meet, else 0."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if weight is None or weight.ndim != 4 or attributes.get("group", 1) != 1:
        return 0
    strides = attributes.get("strides", [1, 1])
    plain = (
        list(weight.shape[2:]) == list(strides)
        and strides[0] == strides[1]
        and not any(attributes.get("pads", []))
        and not any(attributes.get("output_padding", []))
        and attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
        and "output_shape" not in attributes
    )
    return int(strides[0]) if plain else 0


def _fuse_activations(model: onnx.ModelProto) -> None:
    """Take the pair from between a kernel and its ReLU, where nothing else reads it."""
    for activation in [n for n in model.graph.node if n.op_type in ("Relu", "Clip")]:
        dequantize = producer(model, activation.input[0])
        if dequantize is None or dequantize.op_type != "DequantizeLinear":
            continue
        quantize = producer(model, dequantize.input[0])
        if quantize is None:
            continue
        maker = producer(model, quantize.input[0])
        alone = all(
            len(consumers(model, tensor)) == 1
            for tensor in (quantize.input[0], quantize.output[0], dequantize.output[0])
        )
        if alone and maker is not None and maker.op_type in FUSED_WITH_ACTIVATION:
            bypass_pair(model, dequantize)


def _saturate_instead_of_clip(model: onnx.ModelProto) -> None:
    """Make a Clip from zero a Relu where the grid behind it ends below the Clip's ceiling.

    The int8 grid saturates there itself, and every TensorRT fuses a Relu.
    """
    for clip in [n for n in model.graph.node if n.op_type == "Clip"]:
        limits = [constant(model, name) for name in clip.input[1:]]
        readers = consumers(model, clip.output[0])
        if len(limits) != 2 or limits[0] is None or limits[1] is None or float(limits[0]) != 0:
            continue
        if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
            continue
        scale = constant(model, readers[0].input[1])
        # Half a step above the last one still rounds to it.
        if scale is not None and float(scale) * LARGEST <= float(limits[1]) + float(scale) / 2:
            clip.op_type = "Relu"
            del clip.input[1:]
