"""Which tensor of an engine's float network is which of the float graph's: those of equal values.

    ours = list(graph_values(graph, recipe, frames[:PROBES]))
    equal_tensors(theirs, ours, recipe.ranges)      # {their name: the graph's}

Toolchains rename everything; what a tensor holds stays. Both networks are run on the same frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from edge_seg.preprocess import Frame
from edge_seg.quantize.float_graph import FRAME
from edge_seg.quantize.recipe import Recipe
from edge_seg.quantize.sensitivity import literal_session

Values = dict[str, npt.NDArray[np.float32]]
Ranges = dict[str, tuple[float, float]]

PROBES = 2
"""Frames compared. On one alone a clipped tensor may equal the one before it was clipped."""
TOLERANCE = 1e-3
"""Of a tensor's largest value: float32 kernels differ by a hundredth of that."""


def equal_tensors(
    theirs: Sequence[Values], ours: Sequence[Values], ranges: Mapping[str, tuple[float, float]]
) -> dict[str, str]:
    """Return for each tensor of an engine's network the tensor of the graph that holds its values.

    ``theirs`` and ``ours`` are the values of the same frames, laid out alike; ``ranges`` are those
    of our tensors, and decide which of several has the narrowest.
    """
    pairs = {}
    for name in theirs[0]:
        equal = [
            candidate
            for candidate in ours[0]
            if all(_equal(a[name], b[candidate]) for a, b in zip(theirs, ours, strict=True))
        ]
        if equal:
            pairs[name] = min(equal, key=lambda candidate: _width(ranges[candidate]))
    return pairs


def graph_values(
    graph: onnx.ModelProto, recipe: Recipe, frames: Sequence[Frame]
) -> Iterator[Values]:
    """Yield for each frame the values of the graph's tensors that the recipe has a range for."""
    inferred = onnx.shape_inference.infer_shapes(graph)
    made = {name for node in graph.graph.node for name in node.output}
    names = [name for name in recipe.ranges if name in made]
    model = onnx.ModelProto()
    model.CopyFrom(inferred)
    known = {value.name: value for value in (*inferred.graph.value_info, *inferred.graph.output)}
    del model.graph.output[:]
    model.graph.output.extend(known[name] for name in names if name in known)
    session = literal_session(model)
    outputs = [output.name for output in session.get_outputs()]
    for frame in frames:
        yield dict(zip(outputs, session.run(outputs, {FRAME: frame[None]}), strict=True))


def _equal(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> bool:
    if one.shape != other.shape:
        return False
    scale = float(np.abs(other).max())
    return bool(np.abs(one - other).max() <= TOLERANCE * scale)


def _width(bounds: tuple[float, float]) -> float:
    return bounds[1] - bounds[0]
