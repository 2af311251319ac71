"""Bias correction: after it, quantized layers have the float ones' means."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from every_operator import every_operator
from small_graphs import CalledTwice, conv_net, model_of, noise_frame, recipe_for

from edge_seg.preprocess import InputSpec
from edge_seg.quantize import float_graph, quantize_graph
from edge_seg.quantize.bias_correction import correct_biases
from edge_seg.quantize.graph import layers
from edge_seg.quantize.learn.program import Node, Program, batch
from edge_seg.quantize.recipe import Recipe, Weights
from edge_seg.quantize.sensitivity import simulate, sqnr_db
from edge_seg.quantize.weights import bias_of

SPEC = InputSpec(16, 24)
FRAMES = [noise_frame(16, 24, seed) for seed in range(4)]
COARSE = Weights(bits=7, per_channel=False)


@pytest.fixture(scope="module", params=[conv_net(1), every_operator()], ids=["small", "every"])
def graph(request: pytest.FixtureRequest) -> onnx.ModelProto:
    return float_graph(model_of(request.param, SPEC))


def means(graph: onnx.ModelProto) -> dict[str, torch.Tensor]:
    """Return the mean of each channel of each layer's output, over `FRAMES`."""
    found: dict[str, torch.Tensor] = {}

    def look(node: Node, output: torch.Tensor) -> torch.Tensor:
        if node.operator in ("Conv", "ConvTranspose"):
            found[node.layer] = output.mean((0, 2, 3))
        return output

    with torch.inference_mode():
        Program(graph)(batch(FRAMES), visit=look)
    return found


def test_each_channel_has_the_float_graph_s_mean(graph: onnx.ModelProto) -> None:
    recipe = recipe_for(graph, FRAMES, weights=COARSE)
    wanted = means(graph)
    before = means(quantize_graph(graph, recipe))
    after = means(quantize_graph(correct_biases(graph, recipe, FRAMES), recipe))
    apart = {name: float((before[name] - wanted[name]).abs().max()) for name in wanted}
    left = {name: float((after[name] - wanted[name]).abs().max()) for name in wanted}
    assert max(apart.values()) > 0
    # What is left are the bias's own 32-bit steps, and values that are rounded another way.
    assert max(left.values()) < 0.1 * max(apart.values())


def test_the_network_gains(graph: onnx.ModelProto) -> None:
    recipe = recipe_for(graph, FRAMES, weights=COARSE)
    reference = simulate(graph, FRAMES)
    plain = simulate(quantize_graph(graph, recipe), FRAMES)
    corrected = correct_biases(graph, recipe, FRAMES)
    better = simulate(quantize_graph(corrected, recipe), FRAMES)
    assert sqnr_db(reference, better) > sqnr_db(reference, plain)


def test_weights_and_float_layers_stay(graph: onnx.ModelProto) -> None:
    kept, *others = layers(graph)
    recipe = recipe_for(graph, FRAMES, weights=COARSE).keeping_float((kept,))
    corrected = correct_biases(graph, recipe, FRAMES)
    assert np.array_equal(biases(graph, kept), biases(corrected, kept))
    assert any(not np.array_equal(biases(graph, n), biases(corrected, n)) for n in others)


def biases(graph: onnx.ModelProto, layer: str) -> np.ndarray:
    node = layers(graph)[layer][0]
    return bias_of(graph, node, 1)


def test_a_layer_that_is_called_twice_keeps_its_bias() -> None:
    graph = float_graph(model_of(CalledTwice(), SPEC))
    recipe: Recipe = recipe_for(graph, FRAMES, weights=COARSE)
    corrected = correct_biases(graph, recipe, FRAMES)
    assert np.array_equal(biases(graph, "head"), biases(corrected, "head"))
    assert not np.array_equal(biases(graph, "stem"), biases(corrected, "stem"))
