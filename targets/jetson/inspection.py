"""What NVIDIA's builder made of a graph, as the tables of the report.

inspection = inspect(model)
inspection.tables[0].rows          # a row a GPU generation: kernels, memory, seconds
"""

from __future__ import annotations

from edge_seg.errors import MissingRuntimeError
from edge_seg.progress import Track, silent
from edge_seg.target import Facts, Inspection
from targets.jetson.builder_log import Layer
from targets.jetson.check import Judgement, float_convolutions, judge

ABSENT = "\u2013"
FLOAT_ON_PURPOSE = ("up_rows", "up_columns")
"""The bilinear upsampling of the logits, which are decided in float."""


def inspect(model: bytes, track: Track = silent) -> Inspection:
    """Build an ONNX file ahead of time for four GPU generations, where TensorRT for RTX is there.

    Raises `EdgeSegError` where the parser or the builder refuses it.
    """
    try:
        judgement = judge(model, track=track)
    except MissingRuntimeError as error:
        return Inspection(compiler="", notes=[f"nobody has checked this graph: {error}"])
    return Inspection(
        compiler=f"TensorRT for RTX {judgement.runtime_version}",
        tables=[_builds(judgement), _layers(judgement)],
        notes=_notes(judgement),
    )


def _notes(judgement: Judgement) -> list[str]:
    floats = float_convolutions(judgement, FLOAT_ON_PURPOSE)
    kernels = [layer for layer in judgement.layers if layer.input_type]
    int8 = sum(layer.input_type == "Int8" for layer in kernels)
    notes = [
        f"built on this host, without a GPU, by NVIDIA's parser and builder: {int8} of "
        f"{len(kernels)} kernels read int8",
        "what a Jetson's own TensorRT builds from the same file may be fused otherwise; memory is "
        "what these engines ask for",
    ]
    if int8 and floats:
        notes.append(f"convolutions that are not int8: {', '.join(floats)}")
    if int8 and not floats and judgement.layers:
        notes.append("every convolution reads int8")
    return [*notes, *judgement.notes]


def _builds(judgement: Judgement) -> Facts:
    return Facts(
        caption="Engines built ahead of time, one a GPU generation",
        head=["for", "kernels", "activations MB", "weights MB", "engine MB", "built in s"],
        rows=[
            [
                build.capability,
                str(build.kernels),
                _mega(build.activation_bytes),
                _mega(build.weight_bytes),
                _mega(build.plan_bytes),
                ABSENT if build.seconds is None else f"{build.seconds:.1f}",
            ]
            for build in judgement.builds
        ],
    )


def _layers(judgement: Judgement) -> Facts:
    return Facts(
        caption=f"The {len(judgement.layers)} kernels of the first of them",
        head=["kernel", "reads", "writes", "nodes of the graph in it"],
        rows=[
            [layer.kind, layer.input_type, layer.output_type, _fused(layer)]
            for layer in judgement.layers
        ],
    )


def _fused(layer: Layer) -> str:
    """Return the nodes without the pairs' own, which say nothing."""
    nodes = [n for n in layer.fused if not n.endswith(("QuantizeLinear", "DequantizeLinear"))]
    return ", ".join(nodes or [layer.name])


def _mega(count: int | None) -> str:
    return ABSENT if count is None else f"{count / 1e6:.1f}"
