"""A model's graph as it comes, made fit for ours: one output, constant weights, free names.

    tidy(graph, LOGITS, OUR_NAMES)

A file may return more than its logits, may list its weights among its inputs, and may call a
tensor what we call one of ours. None of it changes what the first output is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import onnx

from edge_seg.quantize.graph import remove_unused, rename, subgraphs


def tidy(model: onnx.ModelProto, output: str, ours: re.Pattern[str]) -> None:
    """Leave ``model`` its first output, called ``output``, and no other name like ``ours``.

    Law: the first output's values stay as they are.
    """
    graph = model.graph
    del graph.output[1:]
    _make_weights_constant(model)
    remove_unused(model)
    taken = set(_names(graph))
    names = {name: _free(name, taken) for name in sorted(taken) if ours.fullmatch(name)}
    rename(graph, {**names, graph.output[0].name: output})


def _make_weights_constant(model: onnx.ModelProto) -> None:
    """Take the weights off the inputs: there they are defaults, which nothing may be folded into.

    IR version 3 wants them there, so the model says at least 4.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in [value for value in model.graph.input if value.name in weights]:
        model.graph.input.remove(value)
    model.ir_version = max(model.ir_version, 4)


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield every tensor's name, those in subgraphs too."""
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        yield value.name
    for node in graph.node:
        yield from (*node.input, *node.output)
        for inner in subgraphs(node):
            yield from _names(inner)


def _free(name: str, taken: set[str]) -> str:
    """Return a name like ``name`` that is not taken, and take it."""
    free = f"{name}_given"
    while free in taken:
        free += "_"
    taken.add(free)
    return free
