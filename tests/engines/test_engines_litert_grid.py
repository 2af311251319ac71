"""LiteRT's weights lie on the recipe's grid, and are stored in the bits that a precision names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from torch import nn

from edge_seg import engines
from edge_seg.classes import LANE
from edge_seg.engines.litert.lowering import lower
from edge_seg.engines.lowering import Source
from edge_seg.models.model import Model, from_network
from edge_seg.preprocess import InputSpec
from edge_seg.quantize import Recipe, collect_ranges, float_graph, quantize_graph
from edge_seg.quantize.coarse import coarsened
from edge_seg.quantize.graph import layers
from edge_seg.quantize.recipe import Weights
from edge_seg.quantize.sensitivity import simulate

SPEC = InputSpec(16, 24)
FRAMES = list(np.random.default_rng(0).integers(0, 256, (4, 16, 24, 3), np.uint8))
FLOAT32, INT8, INT4 = 0, 9, 17
"""https://github.com/google-ai-edge/LiteRT, schema.fbs, ``TensorType``."""


def network() -> nn.Sequential:
    """A convolution, a depthwise one, a transposed one, and one more: 512 weights and more each."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 5, 2, 2, groups=32),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 8, 2, 2),
            nn.ReLU(),
            nn.Conv2d(8, 3, 3, padding=1),
        )


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(network())


def model_of(network: nn.Module) -> Model:
    return from_network("small", network.eval(), SPEC, LANE, "drawn by the tests")


def source_of(model: Model, weights: Weights) -> Source:
    graph = float_graph(model)
    recipe = Recipe(
        model_digest="m",
        calibration_digest="c",
        weights=weights,
        layers=tuple(layers(graph)),
        ranges=collect_ranges(graph, FRAMES),
    )
    return Source(model, graph, recipe, FRAMES)


def weights_in(payload: bytes) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """By operator and place: what its weights are, as whole numbers, and their grid."""
    interpreter = Interpreter(model_content=payload, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    found = {}
    for place, operator in enumerate(interpreter._get_ops_details()):
        if "CONV" in operator["op_name"]:
            weight = details[operator["inputs"][1]]
            value = interpreter.get_tensor(weight["index"]).astype(int)
            found[f"{operator['op_name']} {place}"] = value, weight["quantization_parameters"]
    return found


def test_a_channel_s_largest_weight_is_step_64_and_each_is_the_nearest_step(model: Model) -> None:
    found = weights_in(lower(source_of(model, Weights()), "int8", {}))
    layers = [part for part in model.module.children() if hasattr(part, "weight")]  # type: ignore[union-attr]
    assert len(found) == len(layers) == 4
    for (whole, grid), layer in zip(found.values(), layers, strict=True):
        axis = grid["quantized_dimension"]
        others = tuple(d for d in range(4) if d != axis)
        assert np.all(np.abs(whole).max(others) == 64)
        floats = layer.weight.detach().numpy()
        inner = isinstance(layer, nn.ConvTranspose2d) or layer.groups > 1
        floats = floats.transpose((1, 2, 3, 0) if inner else (0, 2, 3, 1))
        if layer is layers[0]:  # it reads BGR of 0..255
            floats = floats[..., ::-1] / 255
        shape = [-1 if d == axis else 1 for d in range(4)]
        steps = floats / grid["scales"].reshape(shape)
        np.testing.assert_allclose(whole, steps, atol=0.5 + 1e-3)


def test_one_scale_for_all_where_the_recipe_has_one(model: Model) -> None:
    source = source_of(model, Weights(per_channel=False))
    payload = lower(source, "int8", {})
    for whole, grid in weights_in(payload).values():
        assert len(grid["scales"]) == 1 and np.abs(whole).max() == 64
    wanted = simulate(quantize_graph(source.graph, source.recipe), FRAMES).argmax(1)
    session = engines.find("litert").open(payload, SPEC, {}, threads=1)
    for frame, ids in zip(FRAMES, wanted, strict=True):
        session.preprocess(frame)
        session.infer()
        assert np.mean(session.ids() == ids) > 0.98
    session.close()


def test_four_bits_stay_on_their_grid() -> None:
    """Rounded in float before, as `improve` hands them on: each step is then 9 of 63."""
    coarse = network()
    with torch.no_grad():
        for part in coarse:
            if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                axis = 1 if isinstance(part, nn.ConvTranspose2d) else 0
                part.weight.copy_(torch.from_numpy(coarsened(part.weight.numpy(), 4, axis)))
    found = weights_in(lower(source_of(model_of(coarse), Weights(4)), "int8", {}))
    for whole, _ in found.values():
        assert np.abs(whole).max() == 63 and not np.any(whole % 9)


@pytest.mark.parametrize(("precision", "kind"), [("w8", INT8), ("w4", INT4)])
def test_stored_in_fewer_bits_and_computed_in_float(
    precision: str, kind: int, model: Model
) -> None:
    source = source_of(model, Weights())
    payload, floats = (lower(source, name, {}) for name in (precision, "float32"))
    content = flatbuffer_utils.read_model_from_bytearray(bytearray(payload))
    (graph,) = content.subgraphs
    stored: dict[int, list[tuple[int, ...]]] = {}
    for tensor in graph.tensors:
        data = content.buffers[tensor.buffer].data
        if data is not None and len(tensor.shape) == 4:
            stored.setdefault(tensor.type, []).append(tuple(tensor.shape))
            half = 2 if tensor.type == INT4 else 1
            assert len(data) == -(-int(np.prod(tensor.shape)) // half)
    # There are no four bits for a transposed and a depthwise convolution.
    assert {(8, 2, 2, 32), (1, 5, 5, 32)} <= set(stored[INT8])
    assert (32, 3, 3, 3) in stored[kind] and FLOAT32 not in stored
    assert {graph.tensors[graph.inputs[0]].type, graph.tensors[graph.outputs[0]].type} == {FLOAT32}
    got, wanted = (logits(file) for file in (payload, floats))
    noise = np.sqrt(np.mean((got - wanted) ** 2) / np.mean(wanted**2))
    assert 0 < noise < (0.02 if kind == INT8 else 0.3)


def logits(payload: bytes) -> np.ndarray:
    interpreter = Interpreter(model_content=payload)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    interpreter.set_tensor(given, FRAMES[0][None].astype(np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_a_channel_without_weights_keeps_its_bias() -> None:
    """Its own range is nothing: with a step as small, int32 ends far below the bias."""
    dead = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        for part in (dead[0], dead[2]):
            part.weight.normal_(0, 0.1)
        dead[0].weight[2], dead[0].bias[2] = 0, 1.0
        dead[2].weight[:, 2] = torch.tensor([2.0, 0.0, -2.0])[:, None, None]
    source = source_of(model_of(dead), Weights())
    interpreter = Interpreter(model_content=lower(source, "int8", {}))
    interpreter.allocate_tensors()
    (given,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = output["quantization"]
    for frame, logits in zip(FRAMES, simulate(source.graph, FRAMES), strict=True):
        interpreter.set_tensor(given["index"], (frame.astype(int) - 128).astype(np.int8)[None])
        interpreter.invoke()
        answer = (interpreter.get_tensor(output["index"])[0].astype(float) - zero) * scale
        assert np.abs(answer - logits.transpose(1, 2, 0)).max() < 0.1  # it was 2
