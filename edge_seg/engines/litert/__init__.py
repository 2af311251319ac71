"""LiteRT (TensorFlow Lite): runs .tflite files with XNNPACK's kernels, on ARM and x86 alike.

The int8 file gives the same bits on every processor (measured: x86 and emulated Cortex-A72 and
A76), so what is measured on the host is what the device gives.
"""

from edge_seg.engines import Engine, OlderRuntime

ENGINE = Engine(
    name="litert",
    folder="edge_seg.engines.litert",
    runtime="ai_edge_litert",
    distribution="ai-edge-litert",
    extra="raspberry-pi",
    suffix="tflite",
    minimum_version="2.3",
    variants={
        "int8": ({},),
        "float16": ({},),
        "dynamic": ({},),
        "float32": ({},),
        "w8a16": ({},),
        "w8": ({},),
        "w4": ({},),
    },
    on_demand=("w8a16", "w8", "w4"),
    older=OlderRuntime("tflite_runtime", "tflite-runtime", "2.14"),
    fragile=True,
    portable=True,
    from_module=True,
)
