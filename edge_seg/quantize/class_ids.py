"""From logits to a mask inside the graph: what leaves the engine is one byte a pixel.

The same ids can be had in two ways, and which is faster is the engine's matter:
``argmax`` is one operator, ``compare`` a chain of element-wise ones that fuses into a
single vectorised loop. A bilinear upsampling of the logits becomes two small matrix
products, which is the same linear map (rows, then columns) and several times faster than
the engines' resize kernels. A depth is rounded to the values of its scale.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from edge_seg.classes import ClassMap
from edge_seg.masks import FARTHEST
from edge_seg.quantize.float_graph import LOGITS
from edge_seg.quantize.graph import constant, opset, producer, set_constant, shape

IDS = "ids"
WAYS = ("argmax", "compare")
COMPARE_LIMIT = 8
"""Above this many classes a chain of compares is never faster than one argmax."""


def with_mask(graph: onnx.ModelProto, classes: ClassMap, way: str) -> onnx.ModelProto:
    """Return a copy of ``graph`` whose output is the task's mask (1, 1, h, w) uint8."""
    return with_class_ids(graph, way) if classes.depth is None else with_depth(graph)


def with_depth(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of ``graph`` whose output is depths as mask values: see `edge_seg.masks`."""
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    _, _, height, width = shape(model.graph.output[0])
    _upsample_by_matmul(model)
    set_constant(model, "depth_farthest", np.array(FARTHEST, np.float32))
    set_constant(model, "depth_nearest", np.array(0, np.float32))
    ends = ["depth_nearest", "depth_farthest"]
    model.graph.node.extend(
        [
            helper.make_node("Mul", [LOGITS, "depth_farthest"], ["depth_scaled"], "depth_scale"),
            helper.make_node("Round", ["depth_scaled"], ["depth_whole"], "depth_round"),
            helper.make_node("Clip", ["depth_whole", *ends], ["depth_within"], "depth_clip"),
            helper.make_node("Cast", ["depth_within"], [IDS], "ids_cast", to=TensorProto.UINT8),
        ]
    )
    mask = helper.make_tensor_value_info(IDS, TensorProto.UINT8, [1, 1, height, width])
    model.graph.output[0].CopyFrom(mask)
    onnx.checker.check_model(model)
    return model


def with_class_ids(graph: onnx.ModelProto, way: str) -> onnx.ModelProto:
    """Return a copy of ``graph`` whose output is uint8 class ids (1, 1, h, w), not logits.

    Ties go to the lower id, in both ways.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    _, classes, height, width = shape(model.graph.output[0])
    _upsample_by_matmul(model)
    # With one class there is nothing to compare, and the chain would end in a scalar.
    if way == "compare" and 1 < classes <= COMPARE_LIMIT:
        _compare(model, classes)
    else:
        _argmax(model)
    ids = helper.make_tensor_value_info(IDS, TensorProto.UINT8, [1, 1, height, width])
    model.graph.output[0].CopyFrom(ids)
    onnx.checker.check_model(model)
    return model


def _argmax(model: onnx.ModelProto) -> None:
    model.graph.node.extend(
        [
            helper.make_node("ArgMax", [LOGITS], ["ids_int64"], "argmax", axis=1, keepdims=1),
            helper.make_node("Cast", ["ids_int64"], [IDS], "ids_cast", to=TensorProto.UINT8),
        ]
    )


def _compare(model: onnx.ModelProto, classes: int) -> None:
    """``id = where(logit[k] > best, k, id)``, ``best = max(best, logit[k])`` for each k."""
    planes = [f"logit_{index}" for index in range(classes)]
    nodes = [helper.make_node("Split", [LOGITS], planes, "split", axis=1)]
    if opset(model) >= 18:  # from then on it does not count its outputs itself
        nodes[0].attribute.append(helper.make_attribute("num_outputs", classes))
    set_constant(model, "id_0", np.array(0, np.float32))
    best, ids = planes[0], "id_0"
    for index in range(1, classes):
        set_constant(model, f"id_{index}", np.array(index, np.float32))
        better, chosen, highest = f"better_{index}", f"chosen_{index}", f"best_{index}"
        nodes += [
            helper.make_node("Greater", [planes[index], best], [better], better),
            helper.make_node("Where", [better, f"id_{index}", ids], [chosen], chosen),
        ]
        if index < classes - 1:
            nodes.append(helper.make_node("Max", [planes[index], best], [highest], highest))
        best, ids = highest, chosen
    nodes.append(helper.make_node("Cast", [ids], [IDS], "ids_cast", to=TensorProto.UINT8))
    model.graph.node.extend(nodes)


def _upsample_by_matmul(model: onnx.ModelProto) -> None:
    """Replace the resize that makes the logits by ``rows @ x @ columns``, where it is bilinear."""
    resize = producer(model, LOGITS)
    if resize is None or resize.op_type != "Resize":
        return
    attributes = {a.name: helper.get_attribute_value(a) for a in resize.attribute}
    way = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    if attributes.get("mode") != b"linear" or way not in ("half_pixel", "pytorch_half_pixel"):
        return
    inferred = onnx.shape_inference.infer_shapes(model)
    sizes = {value.name: shape(value) for value in inferred.graph.value_info}
    source, target = sizes.get(resize.input[0]), shape(model.graph.output[0])
    if source is None or 0 in source[2:] or constant(model, resize.input[-1]) is None:
        return
    rows = bilinear_matrix(source[2], target[2])
    columns = bilinear_matrix(source[3], target[3]).T
    set_constant(model, "upsample_rows", rows)
    set_constant(model, "upsample_columns", columns)
    index = list(model.graph.node).index(resize)
    model.graph.node.remove(resize)
    model.graph.node.insert(
        index,
        helper.make_node("MatMul", ["upsample_rows", resize.input[0]], ["up_rows"], "up_rows"),
    )
    model.graph.node.insert(
        index + 1,
        helper.make_node("MatMul", ["up_rows", "upsample_columns"], [LOGITS], "up_columns"),
    )


def bilinear_matrix(size: int, target: int) -> npt.NDArray[np.float32]:
    """Return (target, size): each row the two weights of a half-pixel bilinear sample.

    ``bilinear_matrix(h, H) @ x`` equals ``torch.nn.functional.interpolate(x, mode="bilinear",
    align_corners=False)`` along that axis (source = (i + 0.5) * size / target - 0.5, clamped).
    """
    source = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
    low = np.floor(source).astype(int)
    high = np.minimum(low + 1, size - 1)
    fraction = source - low
    matrix = np.zeros((target, size), np.float32)
    np.add.at(matrix, (np.arange(target), low), 1 - fraction)
    np.add.at(matrix, (np.arange(target), high), fraction)
    return matrix
