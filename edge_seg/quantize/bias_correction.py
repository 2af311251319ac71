"""Bias correction: what quantization shifts each channel's mean by goes into its bias.

    graph = correct_biases(graph, recipe, frames)

Rounded weights and inputs shift the mean of a layer's output; the shift is measured on frames,
layer after layer, each behind the corrected ones, and subtracted from the bias (Nagel et al. 2019,
arXiv:1906.04721, section 4.2, the empirical form of its appendix D).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import torch

from edge_seg.preprocess import Frame
from edge_seg.quantize.float_graph import NORMALISE
from edge_seg.quantize.graph import layers, remove_unused
from edge_seg.quantize.learn.program import Node, Program, batch, spread
from edge_seg.quantize.qdq import quantize_graph
from edge_seg.quantize.recipe import Recipe
from edge_seg.quantize.weights import bias_of, set_bias

FRAMES = 8
"""Each gives a channel's mean thousands of positions, all of one scene: several scenes matter."""


def correct_biases(
    graph: onnx.ModelProto,
    recipe: Recipe,
    frames: Sequence[Frame],
    teacher: onnx.ModelProto | None = None,
) -> onnx.ModelProto:
    """Return a copy of a float graph with corrected biases; ranges stay those of ``recipe``.

    Layers in float, and modules that are called twice, keep theirs. ``teacher`` has the means that
    are wanted: ``graph`` itself, or what it was before its weights were rounded.
    """
    shown = batch(spread(frames, FRAMES))
    wanted = {
        nodes[0].name
        for name, nodes in layers(graph).items()
        if len(nodes) == 1
        and name != NORMALISE
        and nodes[0].op_type in ("Conv", "ConvTranspose")
        and name not in recipe.float_layers
    }
    shifts = _shifts(teacher or graph, quantize_graph(graph, recipe), shown, wanted)
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    for node in model.graph.node:
        if node.name in shifts:
            shift = shifts[node.name]
            set_bias(model, node, bias_of(model, node, len(shift)) - shift)
    remove_unused(model)
    return model


def _shifts(
    teacher: onnx.ModelProto, quantized: onnx.ModelProto, frames: torch.Tensor, wanted: set[str]
) -> dict[str, np.ndarray]:
    """Return by node how much too high its output's channels are on the mean, corrected so far."""
    means: dict[str, torch.Tensor] = {}
    shifts: dict[str, torch.Tensor] = {}

    def remember(node: Node, output: torch.Tensor) -> torch.Tensor:
        if node.name in wanted:
            means[node.name] = _mean(output)
        return output

    def correct(node: Node, output: torch.Tensor) -> torch.Tensor:
        if node.name not in wanted:
            return output
        shifts[node.name] = _mean(output) - means[node.name]
        return output - shifts[node.name][None, :, None, None]

    with torch.inference_mode():
        Program(teacher)(frames, visit=remember)
        Program(quantized)(frames, visit=correct)
    return {name: shift.numpy() for name, shift in shifts.items()}


def _mean(output: torch.Tensor) -> torch.Tensor:
    """Return the mean of each channel (channels,) of (n, channels, h, w)."""
    return output.mean((0, 2, 3), dtype=torch.float64).float()
