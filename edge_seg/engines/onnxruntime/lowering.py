"""ONNX Runtime's file: the shared graph with the mask as its output."""

from __future__ import annotations

from edge_seg.engines.lowering import Source
from edge_seg.engines.session import Options
from edge_seg.quantize.class_ids import with_mask
from edge_seg.quantize.qdq import quantize_graph


def lower(source: Source, precision: str, options: Options) -> bytes:
    """Return the ONNX file: the Q/DQ graph for int8, the float graph for float32."""
    graph = source.graph
    if precision == "int8":
        graph = quantize_graph(graph, source.recipe)
    return with_mask(graph, source.model.classes, str(options["ids"])).SerializeToString(
        deterministic=True
    )
