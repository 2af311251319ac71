"""OpenVINO: runs the shared Q/DQ graph, which its ONNX reader turns into integer kernels.

``bfloat16`` is the float32 file, compiled for the bfloat16 arithmetic that some processors have.
"""

from itertools import product

from edge_seg.engines import Engine

_WAYS = tuple(
    {"ids": ids, "resize": where}
    for ids, where in product(("argmax", "compare"), ("host", "graph"))
)
_BFLOAT16_WAYS = tuple({**way, "floats": "bf16"} for way in _WAYS)

ENGINE = Engine(
    name="openvino",
    folder="edge_seg.engines.openvino",
    runtime="openvino",
    distribution="openvino",
    extra="x86",
    suffix="onnx",
    minimum_version="2025.0",
    variants={"int8": _WAYS, "float32": _WAYS, "bfloat16": _BFLOAT16_WAYS},
    on_demand=("bfloat16",),
)
