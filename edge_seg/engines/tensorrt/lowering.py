"""TensorRT's file: ONNX of opset 17, which every TensorRT from 8.5 parses.

int8 is the signed Q/DQ graph. float16 is the float graph with half-precision weights and
tensors: a strongly typed network, all that TensorRT 11 has, computes in the types it reads.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from edge_seg.engines.lowering import CannotLowerError, Source
from edge_seg.engines.session import Options
from edge_seg.quantize.class_ids import COMPARE_LIMIT, IDS, with_class_ids, with_depth
from edge_seg.quantize.float_graph import LOGITS, OPSET
from edge_seg.quantize.graph import (
    constant,
    consumers,
    insert_before,
    opset,
    producer,
    set_constant,
    shape,
)
from edge_seg.quantize.signed import (
    FUSED_WITH_ACTIVATION,
    IR_VERSION,
    cast_frame_first,
    quantize_signed,
)

PIXEL_SCALE = 256.0
"""A power of two: dividing by it is exact in every float type."""


def lower(source: Source, precision: str, options: Options) -> bytes:
    """Return the ONNX file; ``options`` only say how the engine is run."""
    if opset(source.graph) > OPSET:
        raise CannotLowerError(
            f"the model is ONNX opset {opset(source.graph)}, and TensorRT 8.5 reads up to {OPSET}: "
            f"export it again with opset_version={OPSET}"
        )
    if precision == "int8":
        return _encode(_with_mask(quantize_signed(source.graph, source.recipe), source))
    graph = _with_mask(source.graph, source)
    cast_frame_first(graph)
    return _encode(_half(graph) if precision == "float16" else graph)


def _encode(graph: onnx.ModelProto) -> bytes:
    graph.ir_version = IR_VERSION
    onnx.checker.check_model(graph)
    return graph.SerializeToString(deterministic=True)


def _with_mask(graph: onnx.ModelProto, source: Source) -> onnx.ModelProto:
    return with_depth(graph) if source.model.classes.depth else _with_ids(graph)


def _with_ids(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with class ids, from floats: TensorRT makes uint8 of no other type."""
    _, classes, _, _ = shape(graph.graph.output[0])
    model = with_class_ids(graph, "compare")
    if 1 < classes <= COMPARE_LIMIT:
        return model
    cast = producer(model, IDS)
    assert cast is not None
    between = f"{LOGITS}_best"
    whole = helper.make_node("Cast", [cast.input[0]], [between], "ids_float", to=TensorProto.FLOAT)
    insert_before(model, cast, [whole])
    cast.input[0] = between
    return model


def _half(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph in half precision, with ONNX Runtime's converter."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    _scale_pixels(graph)
    # Its default keeps some operators in float, for other runtimes' sake.
    half: onnx.ModelProto = convert_float_to_float16(graph, keep_io_types=True, op_block_list=[])
    return half


def _scale_pixels(graph: onnx.ModelProto) -> None:
    """Divide the pixels by `PIXEL_SCALE` and multiply the first weights by it: the same sums.

    The first weights have the 1/255 of the normalisation in them, too small for half precision,
    whose smallest normal number is 6e-5.
    """
    planes = next(n.output[0] for n in graph.graph.node if n.name == "to_planes")
    readers = consumers(graph, planes)
    weights = [constant(graph, node.input[1]) for node in readers if node.op_type == "Conv"]
    if len(weights) != len(readers) or any(weight is None for weight in weights):
        return
    set_constant(graph, "pixel_scale", np.array(1 / PIXEL_SCALE, np.float32))
    scaled = f"{planes}_scaled"
    divide = helper.make_node("Mul", [planes, "pixel_scale"], [scaled], "scale_pixels")
    insert_before(graph, readers[0], [divide])
    for node, weight in zip(readers, weights, strict=True):
        assert weight is not None
        name = f"{node.input[1]}.scaled"
        set_constant(graph, name, weight.astype(np.float32) * np.float32(PIXEL_SCALE))
        node.input[0], node.input[1] = scaled, name


def for_stand_in(model: bytes) -> bytes:
    """Return an int8 file with the pair in front of each ReLU too, on the scale behind it.

    The same values, as ``round(max(x, 0)) = max(round(x), 0)``; ONNX Runtime has integer kernels
    for a convolution, and for an add, that ends with the pair, and none that ends with a ReLU.
    """
    graph = onnx.load_from_string(model)
    for activation in [n for n in graph.graph.node if n.op_type in ("Relu", "Clip")]:
        maker = producer(graph, activation.input[0])
        readers = consumers(graph, activation.output[0])
        fused = maker is not None and maker.op_type in FUSED_WITH_ACTIVATION
        if not fused or [n.op_type for n in readers] != ["QuantizeLinear"]:
            continue
        grid, name = readers[0].input[1:], activation.input[0]
        pair = [
            helper.make_node("QuantizeLinear", [name, *grid], [f"{name}_early"], f"{name}_q"),
            helper.make_node("DequantizeLinear", [f"{name}_early", *grid], [f"{name}_dq"]),
        ]
        insert_before(graph, activation, pair)
        activation.input[0] = f"{name}_dq"
    return graph.SerializeToString(deterministic=True)
