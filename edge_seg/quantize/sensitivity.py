"""Which layers suffer from quantization: signal to noise per layer, worst first.

Each layer is quantized alone, everything else stays in float, and the noise that this
brings to the logits is compared with their power:

    SQNR = 10 log10( sum(y^2) / sum((y - q)^2) )   decibels, higher is better

the usual measure of quantization noise (e.g. Lin, Talathi and Annapureddy, "Fixed point
quantization of deep convolutional networks", ICML 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnx

from edge_seg.preprocess import Frame
from edge_seg.progress import Track, silent
from edge_seg.quantize.float_graph import FRAME, LOGITS
from edge_seg.quantize.qdq import quantize_one_layer
from edge_seg.quantize.recipe import Recipe

if TYPE_CHECKING:
    import onnxruntime

LIMIT_DB = 200.0
"""Float32 itself has about 150 dB; a layer beyond that (or without noise) counts as this, as
JSON has no infinity."""


@dataclass(frozen=True)
class LayerNoise:
    """A layer's name and the SQNR of the logits, in dB, when it alone is quantized."""

    layer: str
    sqnr_db: float


def layer_sensitivity(
    graph: onnx.ModelProto, recipe: Recipe, frames: Sequence[Frame], track: Track = silent
) -> list[LayerNoise]:
    """Return every layer's noise over ``frames`` (at the network's size), worst first."""
    reference = simulate(graph, frames)
    rows = []
    for layer in track(recipe.layers, "measuring layers", len(recipe.layers)):
        alone = quantize_one_layer(graph, recipe, layer)
        noise = sqnr_db(reference, simulate(alone, frames))
        rows.append(LayerNoise(layer, min(max(noise, -LIMIT_DB), LIMIT_DB)))
    return sorted(rows, key=lambda row: row.sqnr_db)


def simulate(graph: onnx.ModelProto, frames: Sequence[Frame]) -> npt.NDArray[np.float32]:
    """Run a graph as it is written, no fusion, no integer kernel: (frames, classes, h, w).

    For a Q/DQ graph this is the simulation of quantization that engines are compared with.
    """
    session = literal_session(graph)
    outputs = [session.run([LOGITS], {FRAME: frame[None]})[0][0] for frame in frames]
    return np.stack(outputs)


def literal_session(graph: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Return a session that runs a graph as it is written: no fusion, no integer kernel."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def sqnr_db(signal: npt.NDArray[np.float32], quantized: npt.NDArray[np.float32]) -> float:
    """Return the signal-to-quantization-noise ratio in dB; infinity where they are equal."""
    power = float(np.sum(np.square(signal, dtype=np.float64)))
    noise = float(np.sum(np.square(signal.astype(np.float64) - quantized)))
    if noise == 0:
        return math.inf
    return 10 * math.log10(power / noise) if power else -math.inf
