"""TensorRT: builds its engine on the device, from an ONNX file whose Q/DQ pairs say what is int8.

A host without an NVIDIA GPU runs the same file in ONNX Runtime, in the form of its kernels.
TensorRT for RTX, on a desktop, reads it too.
"""

from edge_seg.engines import Engine, OlderRuntime

_WAYS = ({"cuda_graph": True}, {"cuda_graph": False})

ENGINE = Engine(
    name="tensorrt",
    folder="edge_seg.engines.tensorrt",
    runtime="tensorrt",
    distribution="tensorrt",
    extra="jetson",
    suffix="onnx",
    minimum_version="8.5",
    older=OlderRuntime("tensorrt_rtx_bindings", "tensorrt-rtx-cu13-bindings", "1.0"),
    variants={"int8": _WAYS, "float16": _WAYS, "float32": _WAYS},
    portable=True,
    stand_in="onnxruntime",
    install=(
        "on a Jetson sudo apt install tensorrt python3-libnvinfer, and a virtual environment made "
        "with --system-site-packages; on a PC with an NVIDIA GPU pip install tensorrt"
    ),
)
