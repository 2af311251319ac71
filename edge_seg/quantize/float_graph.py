"""The float graph: the model as every engine gets it, folded, frame in and logits out.

    graph = float_graph(model)   # onnx.ModelProto
    # input  "frame"  uint8   (1, h, w, 3), BGR: the frame at the network's size
    # output "logits" float32 (1, classes, h, w)

Batch norm is folded by the exporter and ONNX Runtime's basic optimizations; `unfolded_graph` is the
same with every batch norm left behind its convolution, as an operator of its own. The channel
order and the normalisation are folded into the first convolution's weights wherever that
is exact: it always is for the order and the scale; a mean can only be folded where the
convolution does not pad, since a padded zero would have to become the mean. Otherwise the
subtraction stays, as one operator, in the graph.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.version_converter
from onnx import TensorProto, helper

from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.files import scratch_folder
from edge_seg.quantize.graph import (
    LAYER_OPERATORS,
    constant,
    consumers,
    insert_before,
    layer_name,
    layers,
    opset,
    set_constant,
)
from edge_seg.quantize.one_way import require_one_way
from edge_seg.quantize.tidy import tidy

if TYPE_CHECKING:
    from edge_seg.models.model import Model
    from edge_seg.preprocess import InputSpec

OPSET = 17
"""What is exported: the newest that TensorRT 8.5 (JetPack 5) parses."""
OLDEST_OPSET = 13
"""QuantizeLinear has an axis, and so per-channel grids, from here on."""

FRAME = "frame"
LOGITS = "logits"
NORMALISE = "normalise"
"""The layer in front of the model's own, where the normalisation could not be folded."""
BATCH_NORM_FUSIONS = ("ConvBNFusion", "MatMul_BatchNormalization_Fusion", "ConstantSharing")
"""ONNX Runtime's optimizers that fold a batch norm into the layer before it, by its own names. The
last makes one tensor of a layer's bias and a batch norm's that are alike, and one is quantized."""
OUR_NAMES = re.compile(
    r"frame(_planes|_scale|_zero_point|_float)?|pixels|to_planes|to_float"
    r"|normalise(\.weight|\.bias)?|pixel_scale|scale_pixels|logits(_best)?"
    r"|depth_(scale|scaled|round|whole|clip|within|nearest|farthest)"
    r"|ids(_int64|_cast|_float)?|argmax|split|(logit|id|better|chosen|best)_\d+"
    r"|upsample_(rows|columns)|up_(rows|columns)"
)
"""Tensors and nodes that this package and the engines' lowerings add; a model's own of these names
get others, as no two may share one."""


def float_graph(model: Model) -> onnx.ModelProto:
    """Return the folded float graph of ``model``; raises `EdgeSegError` if it can't be exported."""
    exported = _modern(model.onnx, model.name) if model.onnx is not None else _export(model)
    return _graph(exported, model)


def unfolded_graph(model: Model) -> onnx.ModelProto:
    """Return the float graph of ``model`` with its batch norms as operators of their own.

    Law: its logits are those of `float_graph`, but for the order of float sums. Raises
    `EdgeSegError` as that does, and where no layer with weights has a batch norm behind it.
    """
    if model.onnx is not None:
        exported = _modern(model.onnx, model.name)
    else:
        # The exporter folds batch norm as one of its constants.
        exported = _export(model, do_constant_folding=False)
    graph = _graph(exported, model, BATCH_NORM_FUSIONS)
    written = {name for nodes in layers(graph).values() for node in nodes for name in node.output}
    norms = [node for node in graph.graph.node if node.op_type == "BatchNormalization"]
    if not any(norm.input[0] in written for norm in norms):
        raise EdgeSegError(
            f"{model.name} has no batch norm behind a layer, or came with it folded: there is "
            "nothing to leave unfolded, pack it without --no-fold"
        )
    return graph


def _graph(exported: bytes, model: Model, kept: Sequence[str] = ()) -> onnx.ModelProto:
    """Return what was exported with frames in and logits out; ``kept`` is not optimized."""
    given = onnx.load_from_string(exported)
    _require_standard(given, model.name)
    tidy(given, LOGITS, OUR_NAMES)
    graph = _optimize(given.SerializeToString(), model.name, kept)
    if model.module is not None:
        _name_later_calls(graph, {name for name, _ in model.module.named_modules()})
    _name_nodes(graph)
    _take_frames(graph, model.input)
    # Once more: the folding leaves constants that can be computed now.
    return _optimize(graph.SerializeToString(), model.name, kept)


def _export(model: Model, do_constant_folding: bool = True) -> bytes:
    """Trace the module to ONNX with PyTorch's TorchScript exporter.

    It is deprecated, and still gives the cleanest graphs for quantization: batch norm
    folded, one node a layer, names that are module paths.
    """
    import torch

    assert model.module is not None
    example = torch.zeros(1, 3, model.input.height, model.input.width)
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", torch.jit._trace.TracerWarning)
            torch.onnx.export(
                model.module,
                (example,),
                buffer,  # type: ignore[arg-type]  # it takes a file too
                dynamo=False,
                opset_version=OPSET,
                input_names=["input"],
                output_names=[LOGITS],
                do_constant_folding=do_constant_folding,
            )
    except Exception as error:  # the exporter raises whatever the operator's handler raised
        raise EdgeSegError(
            f"model '{model.name}' cannot be exported to ONNX: {in_one_line(error)}; "
            "replace that operator, or bring the model as an .onnx file"
        ) from error
    require_one_way(model, example, warned)
    return buffer.getvalue()


def _modern(payload: bytes, name: str) -> bytes:
    """Return a user's ONNX file at an opset that has per-channel Q/DQ, `OPSET` where it can be."""
    model = onnx.load_from_string(payload)
    given = opset(model)
    if OLDEST_OPSET <= given <= OPSET:
        return payload
    try:
        return onnx.version_converter.convert_version(model, OPSET).SerializeToString()
    except Exception as error:  # the converter raises what its C++ core met
        if given > OPSET:  # only TensorRT minds
            return payload
        raise EdgeSegError(
            f"{name} is ONNX opset {given}, and cannot be brought to {OPSET}: export it again "
            f"with opset_version={OPSET}"
        ) from error


def _require_standard(model: onnx.ModelProto, name: str) -> None:
    """Refuse operators of somebody's own, which one runtime alone may know."""
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise EdgeSegError(
                f"{name} has an operator that is not ONNX's own ({node.domain}.{node.op_type} "
                f"'{node.name}'): export it again with standard operators"
            )


def _name_later_calls(graph: onnx.ModelProto, modules: set[str]) -> None:
    """Name the layers of a module that is called again after it: ``/head_1/Conv`` is ``head`` too.

    The exporter numbers the calls. Where a module is really called ``head_1``, it stays so.
    """
    for node in graph.graph.node:
        scope, _, operator = node.name.rpartition("/")
        call = re.search(r"_\d+$", scope)
        if node.op_type not in LAYER_OPERATORS or call is None or layer_name(node.name) in modules:
            continue
        name = f"{scope[: call.start()]}/{operator}.{call[0][1:]}"
        if layer_name(name) in modules:
            node.name = name


def _name_nodes(graph: onnx.ModelProto) -> None:
    """Give every node a name of its own: recipes and reports speak of layers by name."""
    taken = {node.name for node in graph.graph.node}
    seen: set[str] = set()
    for index, node in enumerate(graph.graph.node):
        if not node.name or node.name in seen or OUR_NAMES.fullmatch(node.name):
            node.name = f"{node.op_type}_{index}"
            while node.name in taken:
                node.name += "_"
            taken.add(node.name)
        seen.add(node.name)


def _optimize(payload: bytes, name: str, without: Sequence[str] = ()) -> onnx.ModelProto:
    """Fold constants and batch norm with ONNX Runtime's basic (standard-operator) passes.

    ``without`` names the passes that are left out.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # its wheel carries usage telemetry
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with scratch_folder() as folder:
        options.optimized_model_filepath = str(folder / "optimized.onnx")
        try:
            onnxruntime.InferenceSession(
                payload,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=list(without),
            )
        except Exception as error:
            raise EdgeSegError(
                f"model '{name}' is not a graph that runs: {in_one_line(error)}"
            ) from error
        optimized = onnx.load(options.optimized_model_filepath)
    # ONNX Runtime declares the domains of its own fused operators, of which basic makes none.
    for domain in [d for d in optimized.opset_import if d.domain not in ("", "ai.onnx")]:
        optimized.opset_import.remove(domain)
    return optimized


def _take_frames(graph: onnx.ModelProto, spec: InputSpec) -> None:
    """Replace the float RGB input by a uint8 BGR frame, folding all that can be folded."""
    network_input = graph.graph.input[0].name
    first = consumers(graph, network_input)
    scale = np.float32(1.0) / (np.float32(255.0) * np.asarray(spec.std, np.float32))
    offset = -np.asarray(spec.mean, np.float32) / np.asarray(spec.std, np.float32)
    foldable = all(_weights_of_dense_conv(graph, node) is not None for node in first)
    # Two ways to the same numbers; the first leaves the pixel values 0..255 to the network.
    if foldable and (not offset.any() or all(not _pads(node) for node in first)):
        for node in first:
            _fold_into(graph, node, scale, offset)
        bridge = _pixels(FRAME, network_input)
    else:
        bridge = _pixels(FRAME, "pixels") + _normalise(
            graph, "pixels", network_input, scale, offset
        )
    insert_before(graph, graph.graph.node[0], bridge)
    frame = helper.make_tensor_value_info(FRAME, TensorProto.UINT8, [1, spec.height, spec.width, 3])
    graph.graph.input[0].CopyFrom(frame)


def _pixels(frame: str, out: str) -> list[onnx.NodeProto]:
    """Frame (1, h, w, 3) uint8 to (1, 3, h, w) float, values unchanged."""
    return [
        helper.make_node("Transpose", [frame], [f"{frame}_planes"], "to_planes", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", [f"{frame}_planes"], [out], "to_float", to=TensorProto.FLOAT),
    ]


def _normalise(
    graph: onnx.ModelProto, pixels: str, out: str, scale: np.ndarray, offset: np.ndarray
) -> list[onnx.NodeProto]:
    """BGR to RGB, then ``x * scale + offset`` per channel: a 1x1 convolution does both."""
    weight = np.zeros((3, 3, 1, 1), np.float32)
    for rgb, bgr in enumerate((2, 1, 0)):
        weight[rgb, bgr] = scale[rgb]
    set_constant(graph, "normalise.weight", weight)
    set_constant(graph, "normalise.bias", offset.astype(np.float32))
    inputs = [pixels, "normalise.weight", "normalise.bias"]
    return [helper.make_node("Conv", inputs, [out], NORMALISE, kernel_shape=[1, 1])]


def _weights_of_dense_conv(graph: onnx.ModelProto, node: onnx.NodeProto) -> np.ndarray | None:
    """Return the weights (out, 3, kh, kw) when ``node`` is an ungrouped convolution."""
    grouped = any(a.name == "group" and a.i != 1 for a in node.attribute)
    if node.op_type != "Conv" or grouped:
        return None
    return constant(graph, node.input[1])


def _pads(node: onnx.NodeProto) -> bool:
    automatic = any(
        a.name == "auto_pad" and a.s not in (b"NOTSET", b"VALID") for a in node.attribute
    )
    return automatic or any(a.name == "pads" and any(a.ints) for a in node.attribute)


def _fold_into(
    graph: onnx.ModelProto, conv: onnx.NodeProto, scale: np.ndarray, offset: np.ndarray
) -> None:
    """Let ``conv`` read BGR pixels 0..255 instead of normalised RGB, with the same result."""
    weight = constant(graph, conv.input[1])
    assert weight is not None
    bias = constant(graph, conv.input[2]) if len(conv.input) > 2 else np.zeros(len(weight))
    assert bias is not None
    bias = bias + np.einsum("ochw,c->o", weight.astype(np.float64), offset.astype(np.float64))
    weight = (weight * scale[None, :, None, None])[:, ::-1]
    name = conv.input[1]
    set_constant(graph, f"{name}.bgr", weight.astype(np.float32))
    set_constant(graph, f"{name}.bgr_bias", bias.astype(np.float32))
    del conv.input[1:]
    conv.input.extend([f"{name}.bgr", f"{name}.bgr_bias"])
