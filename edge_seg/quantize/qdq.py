"""The Q/DQ graph: the float graph with every quantized tensor's grid written into it.

ONNX Runtime and OpenVINO run this one file with integer kernels; run literally, without
fusions, it is the simulation that their masks are compared with. Made with ONNX Runtime's
own quantizer from the recipe's ranges; what is added here is what it does not do:

* the uint8 frame itself is the first quantized tensor (scale 1, zero point 0), so the
  pixels enter the integer kernels as they are, with no rounding and no float copy;
* the logits stay unquantized, as the class ids are decided there;
* a Softmax reads floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from edge_seg.errors import EdgeSegError
from edge_seg.files import libraries_in_scratch
from edge_seg.quantize.coarse import Limits, limits, with_coarse_weights
from edge_seg.quantize.float_graph import FRAME, LOGITS
from edge_seg.quantize.graph import (
    consumers,
    in_groups,
    layers,
    producer,
    remove_unused,
    set_constant,
)
from edge_seg.quantize.recipe import Recipe

QUANTIZED_OPERATORS = [
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "Add",
    "Mul",
    "Concat",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Relu",
    "Clip",
    "Resize",
    "DepthToSpace",
]


def quantize_graph(graph: onnx.ModelProto, recipe: Recipe) -> onnx.ModelProto:
    """Return the Q/DQ graph of ``graph`` under ``recipe``; neither is changed.

    Raises `EdgeSegError` where the recipe was made for another model.
    """
    _require_its_recipe(graph, recipe)
    coarse = with_coarse_weights(graph, recipe)
    excluded = float_nodes(graph, recipe)
    return _quantize(coarse, recipe, nodes=[], excluded=excluded, limits=limits(coarse, recipe))


def quantize_one_layer(graph: onnx.ModelProto, recipe: Recipe, layer: str) -> onnx.ModelProto:
    """Return a copy of ``graph`` in which one layer, with its activations, is quantized."""
    nodes = []
    for node in layers(graph)[layer]:
        readers = consumers(graph, node.output[0])
        activation = [n.name for n in readers if n.op_type in ("Relu", "Clip")]
        nodes += [node.name, *(activation if len(readers) == 1 else [])]
    coarse = with_coarse_weights(graph, recipe, (layer,))
    excluded = [node.name for node in graph.graph.node if in_groups(node)]
    near = limits(coarse, recipe, (layer,))
    return _quantize(coarse, recipe, nodes=nodes, excluded=excluded, limits=near)


def _require_its_recipe(graph: onnx.ModelProto, recipe: Recipe) -> None:
    foreign = sorted(set(recipe.layers) - set(layers(graph)))
    if foreign:
        raise EdgeSegError(
            f"the recipe is of another model: {len(foreign)} of its layers are not in this one, "
            f"such as '{foreign[0]}'; pack the model again"
        )


def _quantize(
    graph: onnx.ModelProto,
    recipe: Recipe,
    nodes: list[str],
    excluded: list[str],
    limits: Limits,
) -> onnx.ModelProto:
    """Quantize the named nodes (all where none is named) but for the excluded ones."""
    from onnxruntime.quantization import QuantType

    quantized = insert_pairs(
        graph,
        recipe.ranges,
        per_channel=recipe.weights.per_channel,
        reduce_range=True,  # seven bits
        activation_qType=QuantType.QUInt8,
        nodes_to_quantize=nodes,
        nodes_to_exclude=excluded,
        extra_options={"WeightSymmetric": True, "TensorQuantOverrides": limits},
    )
    _read_pixels_as_quantized(quantized)
    leave_logits_float(quantized)
    _feed_softmax_floats(quantized)
    _drop_bias_zero_points(quantized)
    remove_unused(quantized)
    check_standard(quantized)
    return quantized


def insert_pairs(
    graph: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]], **grid: Any
) -> onnx.ModelProto:
    """Return a copy of ``graph`` with a Q/DQ pair on every tensor that ``ranges`` names.

    ``grid`` is for `onnxruntime.quantization.qdq_quantizer.QDQQuantizer`: the types and bits.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    model = onnx.ModelProto()
    model.CopyFrom(graph)
    limits = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    cast = producer_of_cast(model)
    if cast is not None and cast.output[0] in limits:  # however dark the frames were
        limits[cast.output[0]] = (np.float32(0), np.float32(255))
    with libraries_in_scratch():
        quantizer = QDQQuantizer(
            model,
            weight_qType=QuantType.QInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, limits),
            op_types_to_quantize=QUANTIZED_OPERATORS,
            **grid,
        )
        quantizer.quantize_model()
    quantizer.model.topological_sort()  # it appends its nodes at the end
    quantized: onnx.ModelProto = quantizer.model.model
    return quantized


def float_nodes(model: onnx.ModelProto, recipe: Recipe) -> list[str]:
    """Name the nodes to leave alone: the float layers, and what only resizes the logits."""
    known = layers(model)
    nodes = [node.name for node in model.graph.node if in_groups(node)]
    nodes += [node.name for layer in recipe.float_layers for node in known.get(layer, [])]
    last = producer(model, LOGITS)
    if last is not None and last.op_type == "Resize":
        nodes.append(last.name)
    return nodes


def _read_pixels_as_quantized(model: onnx.ModelProto) -> None:
    """Replace Cast, QuantizeLinear, DequantizeLinear of the frame by one DequantizeLinear."""
    cast = producer_of_cast(model)
    if cast is None:
        return
    quantize = next(
        (n for n in consumers(model, cast.output[0]) if n.op_type == "QuantizeLinear"), None
    )
    if quantize is None:  # the first layer stayed in float
        return
    set_constant(model, "frame_scale", np.array(1.0, np.float32))
    set_constant(model, "frame_zero_point", np.array(0, np.uint8))
    for dequantize in consumers(model, quantize.output[0]):
        del dequantize.input[:]
        dequantize.input.extend([cast.input[0], "frame_scale", "frame_zero_point"])
    model.graph.node.remove(quantize)
    if not consumers(model, cast.output[0]):
        model.graph.node.remove(cast)


def producer_of_cast(model: onnx.ModelProto) -> onnx.NodeProto | None:
    """Return the Cast that turns the frame's planes into floats."""
    (planes,) = consumers(model, FRAME)
    return next((n for n in consumers(model, planes.output[0]) if n.op_type == "Cast"), None)


def leave_logits_float(model: onnx.ModelProto) -> None:
    """Take the Q/DQ pair off the tensor that the logits are, or are resized from."""
    last = producer(model, LOGITS)
    while last is not None and last.op_type in ("Resize", "DequantizeLinear", "QuantizeLinear"):
        if last.op_type == "DequantizeLinear":
            bypass_pair(model, last)
            last = producer(model, LOGITS)
        else:
            last = producer(model, last.input[0])


def _feed_softmax_floats(model: onnx.ModelProto) -> None:
    """Take the Q/DQ pair off what a Softmax alone reads; its output keeps its own.

    Between two pairs ONNX Runtime (1.31) takes its QLinearSoftmax, which rounds coarsely: of a
    SegFormer's masks 96.4 % of pixels were those of the graph as it is written. Behind floats they
    are 99.98 %, in the same time, as the product before it stays one of integers.
    """
    for node in [n for n in model.graph.node if n.op_type == "Softmax"]:
        before = producer(model, node.input[0])
        if before is None or before.op_type != "DequantizeLinear":
            continue
        if len(consumers(model, before.output[0])) == 1:
            bypass_pair(model, before)


def bypass_pair(model: onnx.ModelProto, dequantize: onnx.NodeProto) -> None:
    """Connect what a Q/DQ pair reads to what its output feeds."""
    quantize = producer(model, dequantize.input[0])
    assert quantize is not None and quantize.op_type == "QuantizeLinear"
    source, out = quantize.input[0], dequantize.output[0]
    model.graph.node.remove(dequantize)
    if not consumers(model, quantize.output[0]):
        model.graph.node.remove(quantize)
    maker = producer(model, source)
    assert maker is not None
    if out == LOGITS:
        maker.output[list(maker.output).index(source)] = LOGITS
        out, source = source, LOGITS
    for node in consumers(model, out):
        for index, name in enumerate(node.input):
            if name == out:
                node.input[index] = source


def _drop_bias_zero_points(model: onnx.ModelProto) -> None:
    """Leave out the biases' zero points: four bytes a channel that say zero, the default."""
    biases = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT32
    }
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in biases:
            del node.input[2:]


def check_standard(model: onnx.ModelProto) -> None:
    """Check that the graph is sound and of standard operators alone."""
    for domain in [d for d in model.opset_import if d.domain not in ("", "ai.onnx")]:
        model.opset_import.remove(domain)
    onnx.checker.check_model(model)
