from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_graphs import (
    HEADS_OF_TWO,
    conv_net,
    model_of,
    noise_frame,
    operators,
    recipe_for,
    run_frame,
)
from torch import nn

from edge_seg.errors import EdgeSegError
from edge_seg.models.model import Model
from edge_seg.preprocess import Frame, InputSpec
from edge_seg.quantize import Recipe, float_graph, quantize_graph
from edge_seg.quantize.float_graph import FRAME, LOGITS
from edge_seg.quantize.graph import constant, consumers, layer_name, layers, producer
from edge_seg.quantize.qdq import quantize_one_layer
from edge_seg.quantize.sensitivity import simulate, sqnr_db
from edge_seg.quantize.signed import quantize_signed

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return [noise_frame(16, 24, seed) for seed in range(3)]


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    return float_graph(model_of(conv_net(1), InputSpec(16, 24)))


@pytest.fixture(scope="module")
def recipe(graph: onnx.ModelProto, frames: list[Frame]) -> Recipe:
    return recipe_for(graph, frames)


def quantized_inputs(graph: onnx.ModelProto, layer: str) -> list[bool]:
    """For each input of a layer: does it come from a DequantizeLinear?"""
    makers = [producer(graph, name) for name in layers_by_name(graph)[layer].input[:2]]
    return [maker is not None and maker.op_type == "DequantizeLinear" for maker in makers]


def layers_by_name(graph: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    from edge_seg.quantize.graph import LAYER_OPERATORS, layer_name

    return {layer_name(n.name): n for n in graph.graph.node if n.op_type in LAYER_OPERATORS}


@pytest.mark.parametrize("normalisation", [{}, IMAGENET])
def test_the_frame_enters_without_rounding(normalisation: dict, frames: list[Frame]) -> None:
    graph = float_graph(model_of(conv_net(1), InputSpec(16, 24, **normalisation)))
    quantized = quantize_graph(graph, recipe_for(graph, frames))
    (planes,) = consumers(quantized, FRAME)
    (first,) = consumers(quantized, planes.output[0])
    assert (planes.op_type, first.op_type) == ("Transpose", "DequantizeLinear")
    assert constant(quantized, first.input[1]) == 1.0
    assert constant(quantized, first.input[2]) == 0
    assert "Cast" not in operators(quantized)


def test_a_frame_in_which_255_never_occurs_is_still_exact(graph: onnx.ModelProto) -> None:
    """The calibration frames' range must not clip what the camera sees later."""
    dark = [np.full((16, 24, 3), 40, np.uint8), np.full((16, 24, 3), 60, np.uint8)]
    quantized = quantize_graph(graph, recipe_for(graph, dark))
    (planes,) = consumers(quantized, FRAME)
    (first,) = consumers(quantized, planes.output[0])
    assert constant(quantized, first.input[1]) == 1.0
    assert constant(quantized, first.input[2]) == 0


def test_the_logits_stay_float(graph: onnx.ModelProto, recipe: Recipe) -> None:
    last = producer(quantize_graph(graph, recipe), LOGITS)
    assert last is not None and last.op_type == "Conv"


@pytest.mark.parametrize(
    "head",
    [
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Sequential(nn.ReLU(), nn.Upsample(scale_factor=2, mode="nearest")),
    ],
)
def test_upsampled_logits_stay_float(head: nn.Module, frames: list[Frame]) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), nn.ReLU(), nn.Conv2d(4, 3, 1), head)
    graph = float_graph(model_of(network, InputSpec(16, 24)))
    quantized = quantize_graph(graph, recipe_for(graph, frames))
    node = producer(quantized, LOGITS)
    while node is not None and node.op_type not in ("Conv",):
        assert node.op_type in ("Resize", "Relu")
        node = producer(quantized, node.input[0])
    assert node is not None


def test_every_layer_is_quantized_by_default(tiny_model: Model, road_frames) -> None:
    from edge_seg.preprocess import resize

    graph = float_graph(tiny_model)
    seen = [resize(road_frames.image(i), tiny_model.input) for i in range(2)]
    quantized = quantize_graph(graph, recipe_for(graph, seen))
    for layer in layers(graph):
        assert quantized_inputs(quantized, layer) == [True, True], layer
    stored = {t.data_type for t in quantized.graph.initializer if len(t.dims) == 4}
    assert stored == {onnx.TensorProto.INT8}


@pytest.mark.parametrize("kept", ["0", "3"])
def test_float_layers_are_left_in_float(kept: str, graph: onnx.ModelProto, recipe: Recipe) -> None:
    quantized = quantize_graph(graph, recipe.keeping_float((kept,)))
    (other,) = set(recipe.layers) - {kept}
    assert quantized_inputs(quantized, kept)[1] is False
    assert constant(quantized, layers_by_name(quantized)[kept].input[1]).dtype == np.float32
    assert quantized_inputs(quantized, other)[1] is True


@pytest.mark.parametrize("network", HEADS_OF_TWO)
def test_a_layer_in_float_is_all_its_nodes_in_float(
    network: type[nn.Module], frames: list[Frame]
) -> None:
    graph = float_graph(model_of(network(), InputSpec(16, 24)))
    recipe = recipe_for(graph, frames)
    assert int8_weights(quantize_graph(graph, recipe)) == ["stem", "head", "head"]
    assert int8_weights(quantize_graph(graph, recipe.keeping_float(("head",)))) == ["stem"]
    assert int8_weights(quantize_one_layer(graph, recipe, "head")) == ["head", "head"]


def int8_weights(graph: onnx.ModelProto) -> list[str]:
    """Return the layer of every node whose weights are stored as integers."""
    found = []
    for node in graph.graph.node:
        maker = producer(graph, node.input[1]) if node.op_type == "Conv" else None
        if maker is not None and maker.op_type == "DequantizeLinear":
            found.append(layer_name(node.name))
    return found


def test_all_layers_in_float_is_the_float_graph(
    graph: onnx.ModelProto, recipe: Recipe, frames: list[Frame]
) -> None:
    quantized = quantize_graph(graph, recipe.keeping_float(recipe.layers))
    signal = simulate(graph, frames)
    assert sqnr_db(signal, simulate(quantized, frames)) > 35


def test_weights_use_seven_bits_and_a_scale_per_channel(
    graph: onnx.ModelProto, recipe: Recipe
) -> None:
    quantized = quantize_graph(graph, recipe)
    dequantize = producer(quantized, layers_by_name(quantized)["0"].input[1])
    assert dequantize is not None
    weight, scale, zero = (constant(quantized, name) for name in dequantize.input)
    assert weight.dtype == np.int8 and np.abs(weight.astype(int)).max() <= 64
    assert scale.shape == (4,)
    assert not zero.any()
    wanted = constant(graph, layers(graph)["0"][0].input[1])
    error = np.abs(weight * scale.reshape(-1, 1, 1, 1) - wanted)
    assert np.all(error <= 0.51 * scale.reshape(-1, 1, 1, 1))


def test_the_simulation_is_near_the_float_graph(
    graph: onnx.ModelProto, recipe: Recipe, frames: list[Frame]
) -> None:
    assert sqnr_db(simulate(graph, frames), simulate(quantize_graph(graph, recipe), frames)) > 25


def test_neither_graph_nor_recipe_is_changed(graph: onnx.ModelProto, recipe: Recipe) -> None:
    before = graph.SerializeToString()
    first = quantize_graph(graph, recipe).SerializeToString(deterministic=True)
    second = quantize_graph(graph, recipe).SerializeToString(deterministic=True)
    assert graph.SerializeToString() == before
    assert first == second


@pytest.mark.parametrize("quantize", [quantize_graph, quantize_signed])
def test_a_transposed_convolution_in_groups_stays_float(
    quantize: Callable[..., onnx.ModelProto], frames: list[Frame]
) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 2, stride=2),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 8, 2, stride=2, groups=4),
        nn.ReLU(),
        nn.Conv2d(8, 3, 1),
    )
    graph = float_graph(model_of(network, InputSpec(16, 24)))
    recipe = recipe_for(graph, frames)
    quantized = quantize(graph, recipe)
    assert constant(quantized, layers_by_name(quantized)["2"].input[1]).dtype == np.float32
    assert quantized_inputs(quantized, "0") == [True, True]
    quantize_one_layer(graph, recipe, "2")


def test_a_transposed_convolution_is_quantized(frames: list[Frame]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 2, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 4, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(4, 3, 1),
        )
    graph = float_graph(model_of(network, InputSpec(16, 24)))
    quantized = quantize_graph(graph, recipe_for(graph, frames))
    assert quantized_inputs(quantized, "2") == [True, True]
    assert sqnr_db(simulate(graph, frames), simulate(quantized, frames)) > 20


def test_a_recipe_of_another_model_is_refused() -> None:
    frames = [noise_frame(16, 16)]
    graph = float_graph(model_of(conv_net(padding=1), InputSpec(16, 16)))
    other = recipe_for(graph, frames, layers=("stem", "head"))
    with pytest.raises(EdgeSegError, match=r"the recipe is of another model: 2 of .* 'head'"):
        quantize_graph(graph, other)


def test_a_dead_channel_keeps_its_bias(frames: list[Frame]) -> None:
    """Of weights that are all zero the scale is free: the bias is on steps of the others' size."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1))
    first, last = network[0], network[2]
    with torch.no_grad():
        first.weight[1], first.bias[1] = 0.0, 0.4
        last.weight.zero_()
        last.weight[:, 1], last.bias[:] = 1.0, 0.0
    graph = float_graph(model_of(network, InputSpec(16, 24)))
    quantized = quantize_graph(graph, recipe_for(graph, frames))
    np.testing.assert_allclose(run_frame(quantized, frames[0]), 0.4, atol=0.4 / 64)


class _Attention(nn.Module):
    """Every position looks at those that are like it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.first(x)
        rows = found.flatten(2).transpose(1, 2)
        alike = torch.softmax(4 * rows @ rows.transpose(1, 2), -1)
        mixed = (alike @ rows).transpose(1, 2).reshape(found.shape)
        return nn.functional.interpolate(self.last(mixed), scale_factor=2.0, mode="bilinear")


def test_a_softmax_reads_floats_and_its_answer_is_quantized(frames: list[Frame]) -> None:
    torch.manual_seed(2)
    graph = float_graph(model_of(_Attention(), InputSpec(16, 24)))
    quantized = quantize_graph(graph, recipe_for(graph, frames))
    (softmax,) = (node for node in quantized.graph.node if node.op_type == "Softmax")
    before = producer(quantized, softmax.input[0])
    assert before is not None and before.op_type == "MatMul"
    assert [n.op_type for n in consumers(quantized, softmax.output[0])] == ["QuantizeLinear"]
    written = simulate(quantized, frames)
    session = onnxruntime.InferenceSession(
        quantized.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    run = np.concatenate([session.run([LOGITS], {FRAME: frame[None]})[0] for frame in frames])
    assert sqnr_db(written, run) > 100  # between two pairs, QLinearSoftmax leaves 66
