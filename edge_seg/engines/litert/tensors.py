"""Which tensor of a .tflite file is which tensor of the float graph: those of equal values.

The converter renames everything, fuses activations into convolutions and puts the channels
last. What a tensor holds stays, so both are run on the same frames and compared: the recipe's
ranges and layers then carry over to the file, whatever its names are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

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


class Operator(NamedTuple):
    """One operator of a file: its kind, and the names of the tensors it reads and writes."""

    kind: str
    inputs: tuple[str, ...]
    output: str


class File:
    """A float .tflite file, opened for inspection.

    ``names`` are all its tensors, ``input`` the one that is given, ``operators`` what it does in
    order, ``activations`` what they write.
    """

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=model, experimental_preserve_all_tensors=True)
        self._interpreter.allocate_tensors()
        (self._source,) = self._interpreter.get_input_details()
        details = {row["index"]: row["name"] for row in self._interpreter.get_tensor_details()}
        self.names = tuple(details.values())
        self.input: str = self._source["name"]
        self.operators = tuple(
            Operator(
                operator["op_name"],
                tuple(details[index] for index in operator["inputs"] if index in details),
                details[operator["outputs"][0]],
            )
            for operator in self._interpreter._get_ops_details()
            if operator["op_name"] != "DELEGATE"
        )
        self._indices = {name: index for index, name in details.items()}
        self.activations = tuple(dict.fromkeys(operator.output for operator in self.operators))

    def values(self, frame: Frame) -> Values:
        """Return the value of every activation for a frame (h, w, 3) at the network's size."""
        self._interpreter.set_tensor(self._source["index"], frame[None].astype(np.float32))
        self._interpreter.invoke()
        return {
            name: self._interpreter.get_tensor(self._indices[name]) for name in self.activations
        }


def counterparts(
    file: File, graph: onnx.ModelProto, recipe: Recipe, frames: Sequence[Frame]
) -> dict[str, str]:
    """Return for each activation of the file the tensor of the graph that holds its values.

    Of several that do, the one with the narrowest range: what follows reads no more than that.
    Tensors without a counterpart are left out.
    """
    probes = frames[:PROBES]
    ours = [_last_channels(values) for values in _graph_values(graph, recipe, probes)]
    theirs = [file.values(frame) for frame in probes]
    pairs = {}
    for name in file.activations:
        equal = [
            candidate
            for candidate in ours[0]
            if all(_equal(a[name], b[candidate]) for a, b in zip(theirs, ours, strict=True))
        ]
        if equal:
            pairs[name] = min(equal, key=lambda candidate: _width(recipe.ranges[candidate]))
    return pairs


def observed_ranges(file: File, names: set[str], frames: Sequence[Frame]) -> Ranges:
    """Return the lowest and highest value of these tensors over ``frames``: the recipe's rule."""
    ranges: Ranges = {}
    for frame in frames:
        values = file.values(frame)
        for name in names:
            low, high = ranges.get(name, (np.inf, -np.inf))
            lowest, highest = float(values[name].min()), float(values[name].max())
            ranges[name] = (min(low, lowest), max(high, highest))
    return ranges


def _graph_values(
    graph: onnx.ModelProto, recipe: Recipe, frames: Sequence[Frame]
) -> Iterator[Values]:
    """Yield the values of the graph's tensors that the recipe has a range for."""
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


def _last_channels(values: Values) -> Values:
    return {
        name: value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
        for name, value in values.items()
        if value.dtype == np.float32
    }


def _equal(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> bool:
    if one.shape != other.shape:
        return False
    scale = float(np.abs(other).max())
    return bool(np.abs(one - other).max() <= TOLERANCE * scale)


def _width(bounds: tuple[float, float]) -> float:
    return bounds[1] - bounds[0]
