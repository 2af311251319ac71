"""Weights of fewer than seven bits: rounded onto their grid while they are still floats.

    graph = with_coarse_weights(graph, recipe)     # recipe.weights.bits of 4, 3, 2 or 1

Each last step (7, 3, 1) divides 63, so that the coarse grid lies in the seven bits that the
engines' kernels get (`limits` has the quantizer put the largest magnitude there): they run such
weights as they are, a byte each. What a store of fewer bits would gain is computed, and said as
that.

One bit is the sign of a weight times the mean magnitude of its channel, the least squares choice
(Rastegari et al. 2016, "XNOR-Net", arXiv:1603.05279, section 3.1; BinaryConnect, Courbariaux et al.
2015, arXiv:1511.00363, is the same without the scale).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx

from edge_seg.quantize.float_graph import NORMALISE
from edge_seg.quantize.graph import constant, in_groups, layers
from edge_seg.quantize.recipe import Recipe
from edge_seg.quantize.weights import Array, set_weight

SEVEN = 7
NESTED, LAST = 63, 64
"""Where the largest coarse weight lies, and where the quantizer puts the largest it knows of."""

Limits = dict[str, list[dict[str, Any]]]
"""By weight, ONNX Runtime's ``TensorQuantOverrides``: one for the tensor, or one a channel."""


def with_coarse_weights(
    graph: onnx.ModelProto, recipe: Recipe, only: Sequence[str] = ()
) -> onnx.ModelProto:
    """Return a copy of a float graph with its quantized layers' weights on the recipe's grid.

    Layers in float keep theirs, and so do those that no quantizer takes (`in_groups`); of seven
    bits the quantizer itself takes care, and ``graph`` is returned as it is. ``only`` names the
    layers, all where it is empty. Law: done twice it changes nothing more.
    """
    if recipe.weights.bits == SEVEN:
        return graph
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    for node, weight, axis in _coarse_layers(model, recipe, only):
        set_weight(model, node, coarsened(weight, recipe.weights.bits, axis))
    return model


def limits(
    graph: onnx.ModelProto,
    recipe: Recipe,
    only: Sequence[str] = (),
    beyond: float = LAST / NESTED,
) -> Limits:
    """Return by weight what ONNX Runtime's quantizer takes for its range, as its overrides.

    ``graph`` is what `with_coarse_weights` returned; of seven bits there are only those of layers
    with a dead channel, which else had a scale of 1, and its bias steps as large. ``beyond`` is the
    quantizer's last step over the one that the largest of fewer bits is to have.
    """
    seven = recipe.weights.bits == SEVEN
    found = {}
    for node, weight, axis in _coarse_layers(graph, recipe, only):
        others = tuple(d for d in range(weight.ndim) if d != axis)
        largest = np.abs(weight).max(axis=others).reshape(-1)
        if seven and largest.all():
            continue
        largest[largest == 0] = largest.max() or 1
        largest *= np.float32(1 if seven else beyond)
        rows: list[dict[str, Any]] = [{"rmin": -value, "rmax": value} for value in largest]
        if axis is not None:
            rows[0]["axis"] = axis
        found[node.input[1]] = rows
    return found


def _coarse_layers(
    model: onnx.ModelProto, recipe: Recipe, only: Sequence[str]
) -> Iterator[tuple[onnx.NodeProto, Array, int | None]]:
    """Yield the nodes with their weights, and the axis that has a scale for each index."""
    for name, nodes in layers(model).items():
        if name in recipe.float_layers or name == NORMALISE or (only and name not in only):
            continue
        for node in nodes:
            weight = constant(model, node.input[1])
            if weight is not None and not in_groups(node):
                axis = output_axis(node) if recipe.weights.per_channel else None
                yield node, weight.astype(np.float32), axis


def output_axis(node: onnx.NodeProto) -> int:
    """Return the axis of a layer's weights that counts its output channels."""
    if node.op_type == "Gemm":
        turned = any(a.name == "transB" and a.i for a in node.attribute)
        return 0 if turned else 1
    return 0 if node.op_type == "Conv" else 1


def coarsened(weight: Array, bits: int, axis: int | None) -> Array:
    """Return weights on a grid of ``bits``, a scale for each index of ``axis`` or one for all."""
    others = tuple(d for d in range(weight.ndim) if d != axis)
    magnitude = np.abs(weight)
    if bits == 1:
        mean = magnitude.mean(axis=others, keepdims=True)
        return np.where(weight < 0, -mean, mean).astype(np.float32)
    last = 2 ** (bits - 1) - 1
    largest = magnitude.max(axis=others, keepdims=True)
    step = np.where(largest > 0, largest / last, 1)
    return np.asarray(np.round(weight / step) * step, np.float32)
