"""LiteRT's file: the module, converted with channels last, then quantized by the recipe.

Precisions: ``int8`` is static, weights on the recipe's grid, int8 in and out, no float operator but
what brings small logits to the network's size; ``float16`` halves the weights and ``dynamic``
quarters them, both compute in float; ``w8`` and ``w4`` store weights in 8 and 4 bits and compute in
float with float activations; ``w8a16`` has 16-bit activations, for which there are only
reference kernels. The converter is litert-torch, the quantizer ai-edge-quantizer. The latter's
calibration is left alone: it is a moving average, which cuts rare peaks and weighs the first frame
most.
"""

from __future__ import annotations

import contextlib
import io
import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from edge_seg.engines.equal_tensors import Ranges
from edge_seg.engines.litert.flatbuffer import rewrite
from edge_seg.engines.litert.network import takes_pixels
from edge_seg.engines.litert.session import DEPTH
from edge_seg.engines.litert.tensors import File, counterparts, observed_ranges
from edge_seg.engines.lowering import CannotLowerError, Source
from edge_seg.engines.session import Options
from edge_seg.errors import in_one_line
from edge_seg.files import scratch_folder
from edge_seg.quantize.coarse import LAST, NESTED, SEVEN
from edge_seg.quantize.float_graph import LOGITS, NORMALISE
from edge_seg.quantize.graph import consumers, layers, producer
from edge_seg.quiet import quiet

if TYPE_CHECKING:
    import onnx
    from ai_edge_quantizer.recipe_manager import RecipeManager

    from edge_seg.models.model import Model
    from edge_seg.quantize.recipe import Weights

PIXELS = (0.0, 255.0)
"""The input's range: its int8 grid is then the pixels themselves, less 128."""
INT8_LAST = 127
"""Where the quantizer's symmetric grid ends."""
ACTIVATION_BITS = {"int8": 8, "w8a16": 16}
WEIGHT_BITS = {"w8": 8, "w4": 4}


def lower(source: Source, precision: str, options: Options) -> bytes:
    """Return a .tflite file; raises `CannotLowerError` where the toolchain has no way."""
    if source.no_module:
        raise CannotLowerError(source.no_module)
    if source.model.module is None:
        raise CannotLowerError(
            "LiteRT's converter reads PyTorch, and the model came as ONNX: bring it as "
            "package.module:factory or .pt2"
        )
    folded = all(node.name != NORMALISE for node in source.graph.graph.node)
    converted = _converted(source.model, folded)
    try:
        with quiet():
            return _quantized(_named(converted, source), source, precision)
    except (RuntimeError, ValueError, KeyError, NotImplementedError) as error:
        reason = in_one_line(error, 200)
        raise CannotLowerError(f"LiteRT's quantizer cannot take the model: {reason}") from error


@lru_cache(maxsize=1)
def _converted(model: Model, folded: bool) -> bytes:
    """Return the float file: (1, h, w, 3) float32 pixels to (1, h, w, classes) logits.

    Remembered, as every precision, and every layer that goes back to float, starts from it.
    """
    example = (torch.zeros(1, model.input.height, model.input.width, 3),)
    with scratch_folder() as folder, quiet():
        import litert_torch
        from litert_torch import _config as settings

        settings.config.show_progress = False  # else it prints to standard output
        try:
            converted = litert_torch.convert(takes_pixels(model, folded), example)
            converted.export(str(folder / "float.tflite"))
        except Exception as error:  # it raises what its passes, in Python and C++, met
            reason = in_one_line(error, 200)
            raise CannotLowerError(f"LiteRT's converter cannot take the model: {reason}") from error
        return (folder / "float.tflite").read_bytes()


def _named(model: bytes, source: Source) -> bytes:
    """Return the float file with its tensors called as in the float graph, where they are there.

    So the recipe's ranges and layers hold for the file as they are.
    """
    file = File(model)
    pairs = counterparts(file, source.graph, source.recipe, source.frames)
    names: dict[str, str] = {}
    for index, name in enumerate(file.names):
        new = pairs.get(name, f"t{index}")
        names[name] = new if new not in names.values() else f"{new}.{index}"
    return rewrite(model, names)


def _quantized(model: bytes, source: Source, precision: str) -> bytes:
    """Return the file in this precision."""
    from ai_edge_quantizer.quantizer import Quantizer

    output = DEPTH if source.model.classes.depth else ""
    if precision == "float32":
        return rewrite(model, {}, output) if output else model
    manager = _recipe_manager(precision, source.recipe.weights)
    statistics = None
    if precision in ACTIVATION_BITS:
        file = File(model)
        _leave_float(manager, source)
        statistics = _statistics(_ranges(file, source))
        if precision == "int8":
            statistics |= _weight_statistics(file, source.recipe.weights)
    quantizer = Quantizer(bytearray(model))
    quantizer.load_quantization_recipe(manager.get_quantization_recipe())
    with contextlib.redirect_stderr(io.StringIO()):  # one of its bars has no switch
        result = quantizer.quantize(
            statistics, enable_progress_bar=False, enable_progress_report=False
        )
    assert result.quantized_model is not None
    return rewrite(bytes(result.quantized_model), {}, output)


def _recipe_manager(precision: str, weights: Weights) -> RecipeManager:
    """Return the quantizer's own recipe for all operators in this precision."""
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    manager = RecipeManager()
    everything = qtyping.TFLOperationName.ALL_SUPPORTED
    if precision == "float16":
        half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        manager.add_quantization_config(
            ".*",
            everything,
            qtyping.OpQuantizationConfig(
                weight_tensor_config=half,
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            ),
            AlgorithmName.FLOAT_CASTING,
        )
    elif precision == "dynamic":
        manager.add_dynamic_config(".*", everything, 8)
        # tflite-runtime has no kernel for it, and refuses the whole file.
        manager.add_quantization_config(
            ".*",
            qtyping.TFLOperationName.CONV_2D_TRANSPOSE,
            algorithm_key=AlgorithmName.NO_QUANTIZE,
        )
    elif precision in WEIGHT_BITS:
        manager.add_weight_only_config(".*", everything, WEIGHT_BITS[precision])
        for name in ("CONV_2D_TRANSPOSE", "DEPTHWISE_CONV_2D"):
            # The quantizer has no four bits for these, and would leave them in float.
            manager.add_weight_only_config(".*", qtyping.TFLOperationName[name], 8)
    else:
        of = qtyping.QuantGranularity
        scales = of.CHANNELWISE if weights.per_channel else of.TENSORWISE
        manager.add_static_config(".*", everything, ACTIVATION_BITS[precision], 8, scales)
    return manager


def _leave_float(manager: RecipeManager, source: Source) -> None:
    """Take the recipe's float layers out of the quantizer's, which knows them by their output."""
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    kept = _layer_outputs(source.graph, source.recipe.float_layers)
    for name in kept | _resized_logits(source.graph):
        manager.add_quantization_config(
            rf"^{re.escape(name)}(;|$)",
            TFLOperationName.ALL_SUPPORTED,
            algorithm_key=AlgorithmName.NO_QUANTIZE,
        )


def _resized_logits(graph: onnx.ModelProto) -> set[str]:
    """Return the logits, and what they are resized from; nothing where they are not resized.

    Between two pixels of a small map most of a resize's values lie close together: on an int8 grid
    a boundary moves by pixels.
    """
    resize = producer(graph, LOGITS)
    return {LOGITS, resize.input[0]} if resize is not None and resize.op_type == "Resize" else set()


def _layer_outputs(graph: onnx.ModelProto, names: tuple[str, ...]) -> set[str]:
    """Return what these layers write, with and without the activation that may be fused."""
    known = layers(graph)
    outputs = {node.output[0] for name in names for node in known.get(name, [])}
    fused = {
        reader.output[0]
        for output in outputs
        for reader in consumers(graph, output)
        if reader.op_type in ("Relu", "Clip")
    }
    return outputs | fused


def _ranges(file: File, source: Source) -> Ranges:
    """Return every tensor's range: the recipe's, or by its rule where it does not know it."""
    recipe = source.recipe.ranges
    ranges = {name: recipe[name] for name in file.activations if name in recipe}
    ranges[file.input] = PIXELS
    for operator in file.operators:
        if operator.kind == "PAD" and operator.inputs[0] in ranges:  # a step of its own only here
            low, high = ranges[operator.inputs[0]]
            ranges[operator.output] = (min(low, 0.0), max(high, 0.0))
        if operator.kind == "PADV2" and operator.inputs[0] in ranges:
            # A max-pooling's padding with -inf: the grid's lowest value is as good.
            ranges[operator.output] = ranges[operator.inputs[0]]
    unknown = set(file.activations) - set(ranges)
    return {**ranges, **(observed_ranges(file, unknown, source.frames) if unknown else {})}


def _statistics(ranges: Ranges) -> dict[str, dict[str, np.ndarray]]:
    """Bring ranges into the form of the quantizer's calibration results."""
    return {
        name: {
            "min": np.full((1, 1, 1, 1), low, np.float32),
            "max": np.full((1, 1, 1, 1), high, np.float32),
        }
        for name, (low, high) in ranges.items()
    }


def _weight_statistics(file: File, weights: Weights) -> dict[str, dict[str, np.ndarray]]:
    """Return what has the quantizer put weights on the recipe's grid.

    Its own reaches 127: what was rounded or learnt on the recipe's grid, of a bit less, would
    be rounded once more there.
    """
    last = LAST if weights.bits == SEVEN else NESTED
    statistics = {}
    for name, axis, value in file.weights():
        others = tuple(d for d in range(value.ndim) if d != axis or not weights.per_channel)
        largest = np.abs(value).max(axis=others, keepdims=True) * np.float32(INT8_LAST / last)
        largest[largest == 0] = largest.max() or 1  # else its bias had steps too small to reach it
        statistics[name] = {"min": -largest, "max": largest}
    return statistics
