"""Weights of four bits and fewer: by hand, and as the engines' files hold them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from every_operator import every_operator
from onnx import numpy_helper
from small_graphs import conv_net, model_of, noise_frame, recipe_for
from torch import nn

from edge_seg.preprocess import InputSpec
from edge_seg.quantize import float_graph, quantize_graph
from edge_seg.quantize.coarse import coarsened, with_coarse_weights
from edge_seg.quantize.graph import layers
from edge_seg.quantize.recipe import BITS, Weights
from edge_seg.quantize.sensitivity import simulate, sqnr_db
from edge_seg.quantize.signed import quantize_signed
from edge_seg.quantize.weights import weight_of

SPEC = InputSpec(16, 16)
FRAMES = [noise_frame(16, 16, seed) for seed in range(3)]
COARSE = [bits for bits in BITS if bits != 7]


def test_four_bits_are_sevenths_of_the_largest() -> None:
    weight = np.array([[7.0, 3.4, -1.6], [0.07, 0.05, -0.004]], np.float32)
    by_row = coarsened(weight, 4, axis=0)
    np.testing.assert_allclose(by_row, [[7, 3, -2], [0.07, 0.05, 0]], atol=1e-6)
    of_all = coarsened(weight, 4, axis=None)
    np.testing.assert_allclose(of_all, [[7, 3, -2], [0, 0, 0]], atol=1e-6)


def test_two_bits_are_a_sign_or_nothing() -> None:
    np.testing.assert_allclose(
        coarsened(np.array([[4.0, 1.9, -2.1]], np.float32), 2, 0), [[4, 0, -4]]
    )


def test_one_bit_is_the_sign_times_the_mean_magnitude() -> None:
    weight = np.array([[3.0, -1.0, 2.0]], np.float32)
    coarse = coarsened(weight, 1, axis=0)
    np.testing.assert_allclose(coarse, [[2, -2, 2]])
    others = (scale * np.sign(weight) for scale in (1.5, 1.9, 2.1, 2.5))
    assert all(np.sum((weight - coarse) ** 2) < np.sum((weight - other) ** 2) for other in others)


@pytest.mark.parametrize("bits", COARSE)
def test_zeros_stay_zeros_and_a_second_time_changes_nothing(bits: int) -> None:
    assert not coarsened(np.zeros((2, 3), np.float32), bits, 0).any()
    weight = np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32)
    once = coarsened(weight, bits, 0)
    np.testing.assert_allclose(coarsened(once, bits, 0), once, rtol=1e-6)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("bits", COARSE)
def test_the_packed_bytes_are_the_coarse_weights(bits: int, per_channel: bool) -> None:
    """Every byte is a multiple of 63 by the last step; seven bits would hold 129 values."""
    graph = float_graph(model_of(every_operator(), SPEC))
    recipe = recipe_for(graph, FRAMES, weights=Weights(bits, per_channel))
    wholes = whole_weights(quantize_graph(graph, recipe))
    assert len(wholes) == len(recipe.layers)
    for whole in wholes.values():
        assert not np.any(whole % (63 // recipe.weights.last_step))
        assert np.abs(whole).max() == 63


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("bits", COARSE)
def test_signed_bytes_are_the_coarse_weights_too(bits: int, per_channel: bool) -> None:
    """There they reach 126: 7, 3 and 1 divide it, and not 127.

    The rows that a shuffle brings together have scales of their own, if there are several.
    """
    graph = float_graph(model_of(every_operator(), SPEC))
    recipe = recipe_for(graph, FRAMES, weights=Weights(bits, per_channel))
    wholes = whole_weights(quantize_signed(graph, recipe))
    assert len(wholes) == len(recipe.layers)
    for name, whole in wholes.items():
        if "shuffled" not in name or not per_channel:
            assert not np.any(whole % (126 // recipe.weights.last_step))
            assert np.abs(whole).max() == 126


def whole_weights(quantized: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {
        t.name: numpy_helper.to_array(t).astype(int)
        for t in quantized.graph.initializer
        if t.name.endswith("_quantized") and t.data_type == onnx.TensorProto.INT8
    }


def test_coarser_is_noisier_and_a_layer_in_float_stays() -> None:
    graph = float_graph(model_of(conv_net(padding=1), SPEC))
    logits = simulate(graph, FRAMES)
    noise = []
    for bits in sorted(BITS):
        recipe = recipe_for(graph, FRAMES, weights=Weights(bits))
        noise.append(sqnr_db(logits, simulate(quantize_graph(graph, recipe), FRAMES)))
    assert noise == sorted(noise)
    assert noise[-2] > 10 > noise[0]  # four bits, one bit
    first, last = layers(graph)
    recipe = recipe_for(graph, FRAMES, weights=Weights(2), float_layers=(last,))
    coarse = with_coarse_weights(graph, recipe)
    for name, same in ((first, False), (last, True)):
        before, after = (weight_of(g, layers(g)[name][0]) for g in (graph, coarse))
        assert np.array_equal(before, after) == same


def test_what_no_quantizer_takes_keeps_its_weights() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        grouped = nn.ConvTranspose2d(8, 8, 2, stride=2, groups=4)
        network = nn.Sequential(nn.Conv2d(3, 8, 2, stride=2), nn.ReLU(), grouped)
        network.append(nn.Conv2d(8, 3, 1))
    graph = float_graph(model_of(network, SPEC))
    coarse = with_coarse_weights(graph, recipe_for(graph, FRAMES, weights=Weights(1)))
    for name, nodes in layers(graph).items():
        before, after = (weight_of(g, layers(g)[name][0]) for g in (graph, coarse))
        assert np.array_equal(before, after) == (nodes[0].op_type == "ConvTranspose")
