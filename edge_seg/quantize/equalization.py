"""Cross-layer equalization: channels of two neighbouring layers get ranges that are alike.

    graph = equalize(graph, frames)

Between two layers with nothing but a ReLU (or a max-pooling) between them, dividing an output
channel of the first by s and multiplying that input channel of the second by s changes nothing in
float, as both are positively homogeneous: relu(s x) = s relu(x). With s_i = sqrt(r1_i r2_i) / r2_i
both have range sqrt(r1_i r2_i) in channel i, the best that a grid per tensor can have (Nagel et al.
2019, "Data-free quantization through weight equalization and bias correction", arXiv:1906.04721,
section 4.1 and appendix A).

A ReLU6 is not homogeneous at its ceiling. The paper makes it a ReLU, which costs the shipped
DeepLab its logits (1.5 dB are left of them). Here it stays: a channel that reaches the ceiling on
the frames keeps its scale, another is scaled no further than to stay below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx
import torch

from edge_seg.preprocess import Frame
from edge_seg.quantize.float_graph import LOGITS, NORMALISE
from edge_seg.quantize.graph import constant, consumers, remove_unused
from edge_seg.quantize.learn.program import Node, Program, batch, spread
from edge_seg.quantize.weights import Array, bias_of, group_of, set_bias, set_weight, weight_of

ROUNDS = 20
"""Passes over all pairs at most: a chain of depthwise layers needs several."""
SETTLED = 1e-3
"""A pass whose factors are all this near to one changed nothing."""
LIMIT = 1e4
"""Of one factor: a channel with next to no weights is not blown up further."""

HEADROOM = 1.5
"""How far below its ceiling a channel stays on the frames: other frames may bring more."""
FRAMES = 8
"""Frames that the channels' highest values are taken from."""

LAYERS = ("Conv", "ConvTranspose")


class Pair(NamedTuple):
    """A layer, the one that alone reads it, and the Clip between them, if there is one."""

    first: onnx.NodeProto
    second: onnx.NodeProto
    clip: onnx.NodeProto | None


def equalize(graph: onnx.ModelProto, frames: Sequence[Frame]) -> onnx.ModelProto:
    """Return a copy of a float graph with its layers' weights equalized.

    Law: its logits are those of ``graph`` on the frames (uint8 BGR at the network's size), and
    wherever no channel of a ReLU6 goes `HEADROOM` times higher than on them.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    found = pairs(model)
    room = _room(graph, [pair.clip for pair in found if pair.clip is not None], frames)
    for _ in range(ROUNDS):
        changes = [_equalize_pair(model, pair, room) for pair in found]
        if all(np.all(np.abs(np.log(s)) < SETTLED) for s in changes):
            break
    remove_unused(model)
    onnx.checker.check_model(model)
    return model


def pairs(model: onnx.ModelProto) -> list[Pair]:
    """Return the pairs of layers that can be equalized, in the graph's order."""
    found = []
    uses = _uses_of_weights(model)
    for node in model.graph.node:
        if node.op_type not in LAYERS or uses[node.input[1]] > 1 or node.name == NORMALISE:
            continue
        clip, second = None, _only_reader(model, node)
        while second is not None and _homogeneous(model, second):
            clip = second if second.op_type == "Clip" else clip
            second = _only_reader(model, second)
        if second is None or second.op_type not in LAYERS or uses[second.input[1]] > 1:
            continue
        if all(constant(model, n.input[1]) is not None for n in (node, second)):
            found.append(Pair(node, second, clip))
    return found


def output_ranges(weight: Array, node: onnx.NodeProto) -> Array:
    """Return the largest magnitude of the weights of each output channel (channels,)."""
    if node.op_type == "ConvTranspose":  # (inputs, outputs of a group, h, w)
        grouped = weight.reshape(group_of(node), -1, *weight.shape[1:])
        return np.abs(grouped).max(axis=(1, 3, 4)).reshape(-1)
    return np.abs(weight).max(axis=(1, 2, 3))


def input_ranges(weight: Array, node: onnx.NodeProto) -> Array:
    """Return the largest magnitude of the weights on each input channel (channels,)."""
    if node.op_type == "ConvTranspose":
        return np.abs(weight).max(axis=(1, 2, 3))
    grouped = weight.reshape(group_of(node), -1, *weight.shape[1:])
    return np.abs(grouped).max(axis=(1, 3, 4)).reshape(-1)


def factors(first: Array, second: Array) -> Array:
    """Return s for each channel, of the ranges of the first's outputs and the second's inputs.

    A channel that is dead on either side keeps its scale.
    """
    alive = (first > 0) & (second > 0)
    s = np.ones_like(first)
    s[alive] = np.sqrt(first[alive] * second[alive]) / second[alive]
    return np.clip(s, 1 / LIMIT, LIMIT).astype(np.float32)


def _equalize_pair(model: onnx.ModelProto, pair: Pair, room: dict[str, Array]) -> Array:
    first, second = weight_of(model, pair.first), weight_of(model, pair.second)
    s = factors(output_ranges(first, pair.first), input_ranges(second, pair.second))
    if pair.clip is not None:  # values grow by 1/s, and what room there was shrinks by it
        left = room[pair.clip.name]
        s = np.where(left > 1, np.maximum(s, 1 / left), 1).astype(np.float32)
        room[pair.clip.name] = left * s
    set_weight(model, pair.first, _scale_outputs(first, pair.first, np.float32(1) / s))
    if len(pair.first.input) > 2:
        set_bias(model, pair.first, bias_of(model, pair.first, len(s)) / s)
    set_weight(model, pair.second, _scale_inputs(second, pair.second, s))
    return s


def _room(
    graph: onnx.ModelProto, clips: Sequence[onnx.NodeProto], frames: Sequence[Frame]
) -> dict[str, Array]:
    """Return by Clip how many times each channel's values fit below the ceiling, headroom off."""
    ceilings = {clip.name: float(constant(graph, clip.input[2])) for clip in clips}  # type: ignore[arg-type]
    room: dict[str, Array] = {}

    def look(node: Node, output: torch.Tensor) -> torch.Tensor:
        if node.name in ceilings:
            highest = output.amax((0, 2, 3)).clamp(min=1e-6)
            room[node.name] = (ceilings[node.name] / (HEADROOM * highest)).numpy()
        return output

    if clips:
        with torch.inference_mode():
            Program(graph)(batch(spread(frames, FRAMES)), visit=look)
    return room


def _scale_outputs(weight: Array, node: onnx.NodeProto, by: Array) -> Array:
    if node.op_type == "ConvTranspose":
        group = group_of(node)
        grouped = weight.reshape(group, -1, *weight.shape[1:])
        scaled = grouped * by.reshape(group, 1, -1, 1, 1)
        return np.asarray(scaled.reshape(weight.shape), np.float32)
    return np.asarray(weight * by[:, None, None, None], np.float32)


def _scale_inputs(weight: Array, node: onnx.NodeProto, by: Array) -> Array:
    if node.op_type == "ConvTranspose":
        return np.asarray(weight * by[:, None, None, None], np.float32)
    group = group_of(node)
    grouped = weight.reshape(group, -1, *weight.shape[1:])
    scaled = grouped * by.reshape(group, 1, -1, 1, 1)
    return np.asarray(scaled.reshape(weight.shape), np.float32)


def _homogeneous(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """Say whether an operator commutes with scaling; a Clip from zero does below its ceiling."""
    if node.op_type == "Clip" and len(node.input) == 3:
        low, high = (constant(model, name) for name in node.input[1:])
        return low is not None and high is not None and float(low) == 0
    return node.op_type in ("Relu", "MaxPool")


def _only_reader(model: onnx.ModelProto, node: onnx.NodeProto) -> onnx.NodeProto | None:
    readers = consumers(model, node.output[0])
    alone = len(readers) == 1 and node.output[0] != LOGITS
    reads_it_as_input = alone and list(readers[0].input).index(node.output[0]) == 0
    return readers[0] if reads_it_as_input else None


def _uses_of_weights(model: onnx.ModelProto) -> dict[str, int]:
    uses: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input[1:]:
            uses[name] = uses.get(name, 0) + 1
    return uses
