"""A model that the user brings as an ONNX file.

    model = load("lanes.onnx")
    model.onnx  # the file's bytes, with the input's size made fixed

The graph has one float32 input (N, 3, h, w) and its first output is (N, classes, h, w).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_seg.classes import LANE, ClassMap
from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.files import sha256
from edge_seg.models.class_maps import generic_classes
from edge_seg.models.model import Model, Overrides


def load(name: str, overrides: Overrides) -> Model:
    """Read and check the file; a dynamic batch or size is fixed to 1 and ``input_size``.

    Raises `EdgeSegError` where the file is missing or broken, stores weights outside itself,
    holds NaN weights, or has another kind of input.
    """
    path = Path(name)
    graph_model = _read(path)
    height, width = _fix_input(graph_model, path, overrides.input_size)
    _check_weights(graph_model, path)
    spec = overrides.spec(height, width)
    classes = overrides.classes or _guess_classes(graph_model, path)
    _fix_output(graph_model, (1, len(classes), height, width))
    payload: bytes = graph_model.SerializeToString(deterministic=True)
    digest = sha256(payload + repr((spec, classes)).encode())
    return Model(path.stem, spec, classes, None, payload, path.name, digest)


def _read(path: Path) -> Any:
    import onnx

    try:
        payload = path.read_bytes()
    except OSError as error:
        raise EdgeSegError(f"cannot read the model {path}: {error.strerror or error}") from error
    try:
        graph_model = onnx.load_from_string(payload)
        outside = [
            tensor.name
            for tensor in graph_model.graph.initializer
            if tensor.data_location == onnx.TensorProto.EXTERNAL
        ]
        if outside:
            raise EdgeSegError(
                f"{path} keeps weights in a file beside it ({outside[0]}): save it as one file "
                "(onnx.save_model(..., save_as_external_data=False))"
            )
        onnx.checker.check_model(graph_model)
    except EdgeSegError:
        raise
    except Exception as error:  # protobuf's and the checker's errors have no common root
        raise EdgeSegError(f"{path} is no valid ONNX model: {in_one_line(error)}") from error
    return graph_model


def _fix_input(graph_model: Any, path: Path, input_size: tuple[int, int] | None) -> tuple[int, int]:
    """Make the input (1, 3, h, w) and return h and w."""
    import onnx

    weights = {tensor.name for tensor in graph_model.graph.initializer}
    inputs = [value for value in graph_model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise EdgeSegError(f"{path} has {len(inputs)} inputs, a segmentation model has one")
    tensor = inputs[0].type.tensor_type
    dimensions = [axis.dim_value for axis in tensor.shape.dim]
    if len(dimensions) != 4 or dimensions[1] not in (0, 3):
        shown = [axis.dim_value or axis.dim_param or "?" for axis in tensor.shape.dim]
        raise EdgeSegError(f"{path} takes {shown}, not (N, 3, height, width)")
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise EdgeSegError(f"{path} takes {kind} values, not float32 images (N, 3, h, w)")
    asked = input_size or (dimensions[2] or 256, dimensions[3] or 512)
    for own, wanted, side in zip(dimensions[2:], asked, ("height", "width"), strict=True):
        if own not in (0, wanted):
            raise EdgeSegError(f"{path} has a fixed input {side} of {own}, not {wanted}")
    for axis, size in zip(tensor.shape.dim, (1, 3, *asked), strict=True):
        axis.dim_value = size
    return asked


def _fix_output(graph_model: Any, wanted: tuple[int, int, int, int]) -> None:
    """Fill in a size that the file left open; a trial run proves that it is so."""
    shape = graph_model.graph.output[0].type.tensor_type.shape.dim
    if len(shape) == 4:
        for axis, size in zip(shape, wanted, strict=True):
            if not axis.dim_value:
                axis.dim_value = size
    # What the exporter wrote of tensors in between may name the open sizes.
    del graph_model.graph.value_info[:]


def _check_weights(graph_model: Any, path: Path) -> None:
    import numpy as np
    from onnx import numpy_helper

    for tensor in graph_model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise EdgeSegError(f"the weights of {path} hold NaN or infinity in {tensor.name}")


def _guess_classes(graph_model: Any, path: Path) -> ClassMap:
    """Return a class map of as many classes as the first output says, ours where it says none."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(graph_model)
    shape = inferred.graph.output[0].type.tensor_type.shape.dim
    if len(shape) != 4:
        raise EdgeSegError(
            f"{path} returns {len(shape)} dimensions, not (N, classes, H, W): "
            "export it so that its first output is the logits at the input's size"
        )
    count = shape[1].dim_value or len(LANE)
    return LANE if count == len(LANE) else generic_classes(count)
