"""Bias correction: after it, quantized layers have the float ones' means."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import onnx
import pytest
import torch
from dead_parts import DeadParts, require_dead
from every_operator import every_operator
from small_graphs import CalledTwice, conv_net, model_of, noise_frame, recipe_for
from torch import nn

from edge_seg.preprocess import InputSpec, normalise
from edge_seg.quantize import float_graph, quantize_graph
from edge_seg.quantize.bias_correction import correct_biases
from edge_seg.quantize.coarse import with_coarse_weights
from edge_seg.quantize.graph import layers
from edge_seg.quantize.learn.program import Node, Program, batch
from edge_seg.quantize.recipe import Recipe, Weights
from edge_seg.quantize.sensitivity import simulate, sqnr_db
from edge_seg.quantize.way_back import with_weights_of
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


@pytest.mark.parametrize("bits", [7, 3, 1])
@pytest.mark.parametrize("count", [1, len(FRAMES)])
def test_what_is_dead_stays_dead(bits: int, count: int) -> None:
    """A channel and a layer without weights, on one frame and on several."""
    graph = float_graph(model_of(DeadParts(), SPEC))
    frames = FRAMES[:count]
    recipe = recipe_for(graph, frames, weights=Weights(bits))
    corrected = correct_biases(graph, recipe, frames)
    require_dead(corrected)
    assert not np.array_equal(biases(graph, "head"), biases(corrected, "head"))
    assert np.isfinite(simulate(quantize_graph(corrected, recipe), FRAMES)).all()


def test_by_hand_the_bias_takes_up_rounding_times_the_mean_input() -> None:
    """Steps of 0.01: of channel 0, 0.0133 becomes 0.01 and -0.256 becomes -0.26.

    On inputs of means g and b that is 0.0033 g and 0.004 b too low, and the bias rises by as much.
    Channel 1 has whole steps, and its bias stays; -0.0049 in channel 2 becomes 0. Every pixel is on
    the input's grid.
    """
    layer = nn.Conv2d(3, 3, 1)
    rows = [[0.64, 0.0133, -0.256], [0.64, 0.02, -0.3], [-0.0049, 0.0, 0.64]]
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows)[:, :, None, None])
        layer.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))  # type: ignore[union-attr]
    graph = float_graph(model_of(nn.Sequential(layer), SPEC))
    recipe = recipe_for(graph, FRAMES)
    assert recipe.ranges["input"] == (0.0, 255.0)
    blue, green, red = np.mean(FRAMES, axis=(0, 1, 2)) / 255
    expected = [0.1 + 0.0033 * green + 0.004 * blue, 0.2, 0.3 - 0.0049 * red]
    assert biases(correct_biases(graph, recipe, FRAMES), "0") == pytest.approx(expected, abs=1e-6)


class OnGrid(nn.Conv2d):
    """What the peer compares with a convolution: it passes over layers of one type."""


@pytest.mark.parametrize("bits", [4, 2, 1])
def test_a_peer_corrects_by_the_same(bits: int) -> None:
    """PyTorch's own, between a float module and one with the weights that the grid leaves."""
    from torch.ao.quantization import _correct_bias as peer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        model = model_of(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1)), SPEC)
    graph = float_graph(model)
    recipe = recipe_for(graph, FRAMES, weights=Weights(bits))
    on_grid = with_weights_of(model, with_coarse_weights(graph, recipe)).module
    theirs = copy.deepcopy(on_grid)
    assert isinstance(theirs, nn.Sequential)
    theirs[0].__class__ = OnGrid
    shown = [(torch.from_numpy(normalise(frame, SPEC)),) for frame in FRAMES]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all of its package is deprecated
        floats = copy.deepcopy(model.module)
        peer.bias_correction(floats, theirs, shown, target_modules={OnGrid})
    ours = biases(correct_biases(graph, recipe, FRAMES), "0")
    wanted = theirs.get_submodule("0.orig_module").bias
    assert isinstance(wanted, torch.Tensor)
    assert ours == pytest.approx(wanted.detach().numpy(), abs=1e-4)
    assert np.abs(ours - biases(graph, "0")).max() > 0.01
