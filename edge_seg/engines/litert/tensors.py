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

from edge_seg.engines.equal_tensors import PROBES, Ranges, Values, equal_tensors, graph_values
from edge_seg.preprocess import Frame
from edge_seg.quantize.recipe import Recipe

WEIGHTS = {
    "CONV_2D": (1, 0),
    "DEPTHWISE_CONV_2D": (1, 3),
    "TRANSPOSE_CONV": (1, 0),
    "FULLY_CONNECTED": (1, 0),
}
"""By operator: which of its inputs are weights, and their axis that counts output channels.

https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec
"""


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

    def weights(self) -> Iterator[tuple[str, int, npt.NDArray[np.float32]]]:
        """Yield name, axis of output channels and value of the weights of every layer."""
        for operator in self.operators:
            place, axis = WEIGHTS.get(operator.kind, (0, 0))
            name = operator.inputs[place]
            if operator.kind in WEIGHTS and name not in self.activations:
                yield name, axis, self._interpreter.get_tensor(self._indices[name])

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
    ours = [_last_channels(values) for values in graph_values(graph, recipe, probes)]
    theirs = [file.values(frame) for frame in probes]
    return equal_tensors(theirs, ours, recipe.ranges)


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


def _last_channels(values: Values) -> Values:
    return {
        name: value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
        for name, value in values.items()
        if value.dtype == np.float32
    }
