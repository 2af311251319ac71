"""ONNX Runtime: runs the shared Q/DQ graph with integer kernels, and the float graph."""

from edge_seg.engines import Engine

_WAYS = ({"ids": "argmax"}, {"ids": "compare"})

ENGINE = Engine(
    name="onnxruntime",
    folder="edge_seg.engines.onnxruntime",
    runtime="onnxruntime",
    distribution="onnxruntime",
    extra="x86",
    suffix="onnx",
    minimum_version="1.18",
    variants={"int8": _WAYS, "float32": _WAYS},
)
