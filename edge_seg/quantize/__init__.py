"""Quantization, decided once: pure functions from a float model to a recipe and a graph.

    graph = float_graph(model)                 # ONNX: uint8 BGR frame in, float logits out
    ranges = collect_ranges(graph, frames)     # {tensor: (low, high)}
    recipe = Recipe(...)                       # JSON: what is int8, and on which grid
    quantized = quantize_graph(graph, recipe)  # the Q/DQ graph that every engine reads

The decision is taken on the folded float graph and not on the PyTorch module, because a
model that the user brings as ONNX has no module; names of layers are module paths.
"""

from edge_seg.quantize.float_graph import float_graph
from edge_seg.quantize.qdq import quantize_graph
from edge_seg.quantize.ranges import collect_ranges
from edge_seg.quantize.recipe import Recipe
from edge_seg.quantize.sensitivity import layer_sensitivity

__all__ = ["Recipe", "collect_ranges", "float_graph", "layer_sensitivity", "quantize_graph"]
