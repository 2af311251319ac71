"""Cross-layer equalization: factors by hand, and a function that stays what it was."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from every_operator import every_operator
from small_graphs import CalledTwice, model_of, noise_frame, recipe_for
from torch import nn
from torch.ao.quantization._equalize import cross_layer_equalization

from edge_seg.preprocess import InputSpec
from edge_seg.quantize import float_graph, quantize_graph
from edge_seg.quantize.equalization import (
    equalize,
    factors,
    input_ranges,
    output_ranges,
    pairs,
)
from edge_seg.quantize.graph import layer_name, layers
from edge_seg.quantize.recipe import Weights
from edge_seg.quantize.sensitivity import simulate, sqnr_db
from edge_seg.quantize.weights import bias_of, weight_of

SPEC = InputSpec(16, 24)
PADDED_MEAN = InputSpec(16, 24, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
FRAMES = [noise_frame(16, 24, seed) for seed in range(4)]
SAME_DB = 100.0


def test_factors_by_hand() -> None:
    """Ranges (4, 1) and (1, 4): both channels meet at 2. A dead channel stays."""
    first, second = np.array([4, 1, 0, 3], np.float32), np.array([1, 4, 5, 0], np.float32)
    s = factors(first, second)
    assert s.tolist() == [2.0, 0.5, 1.0, 1.0]
    assert (first / s)[:2].tolist() == (second * s)[:2].tolist() == [2.0, 2.0]


def test_ranges_of_channels_by_hand() -> None:
    conv = onnx.helper.make_node("Conv", ["x", "w"], ["y"], group=2)
    weight = np.arange(-8, 8, dtype=np.float32).reshape(4, 4, 1, 1)
    assert output_ranges(weight, conv).tolist() == [8, 4, 3, 7]
    assert input_ranges(weight, conv).tolist() == [8, 7, 6, 5, 4, 5, 6, 7]
    transposed = onnx.helper.make_node("ConvTranspose", ["x", "w"], ["y"], group=2)
    assert output_ranges(weight, transposed).tolist() == [8, 7, 6, 5, 4, 5, 6, 7]
    assert input_ranges(weight, transposed).tolist() == [8, 4, 3, 7]


def uneven(*middle: nn.Module, groups: int = 1) -> nn.Sequential:
    """Layers whose channels differ a hundredfold, what lies between them, and one more layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        first, last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1, bias=False)
        inner = nn.Conv2d(8, 8, 3, padding=1, groups=groups)
    scale = torch.logspace(-1, 1, 8)
    with torch.no_grad():
        first.weight.mul_(scale[:, None, None, None])
        first.bias.mul_(scale)  # type: ignore[union-attr]
        inner.weight.div_(scale[:, None, None, None] if groups > 1 else scale[None, :, None, None])
    return nn.Sequential(first, *middle, inner, nn.ReLU(), last)


@pytest.mark.parametrize(
    "network",
    [
        uneven(nn.ReLU()),
        uneven(nn.ReLU(), groups=8),
        uneven(nn.ReLU(), nn.MaxPool2d(3, 1, 1)),
        uneven(nn.ReLU6()),
        uneven(nn.ReLU6(), groups=8),
        uneven(),
        every_operator(),
    ],
)
@pytest.mark.parametrize("spec", [SPEC, PADDED_MEAN])
def test_the_function_stays(network: nn.Module, spec: InputSpec) -> None:
    graph = float_graph(model_of(network, spec))
    equalized = equalize(graph, FRAMES)
    assert sqnr_db(simulate(graph, FRAMES), simulate(equalized, FRAMES)) > SAME_DB
    assert [n.op_type for n in equalized.graph.node] == [n.op_type for n in graph.graph.node]


def mirrored(convolution: nn.Conv2d, axis: int) -> None:
    """Stretch the negative weights of each channel until they reach as far as the positive."""
    others = tuple(d for d in range(4) if d != axis)
    with torch.no_grad():
        weight = convolution.weight
        low, high = weight.amin(others, keepdim=True), weight.amax(others, keepdim=True)
        weight.copy_(torch.where(weight < 0, -weight / low * high, weight))


def test_weights_are_those_of_pytorch() -> None:
    """Of one pair, in one step. Its range is highest less lowest, ours the largest magnitude.

    Where a channel reaches as far to both sides the one is twice the other, in both layers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3))
    first, second = network[0], network[2]
    assert isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d)
    with torch.no_grad():
        first.weight.mul_(torch.logspace(-1, 1, 8)[:, None, None, None])
    mirrored(first, 0)
    mirrored(second, 1)
    graph = float_graph(model_of(network, InputSpec(16, 24, std=(1 / 255,) * 3)))  # as they are
    equalized = equalize(graph, FRAMES)
    cross_layer_equalization(first, second)
    ours = [layers(equalized)[name][0] for name in ("0", "2")]
    bgr = first.weight.detach().numpy()[:, ::-1]
    assert np.abs(bgr - weight_of(graph, layers(graph)["0"][0])).max() > 0.1
    np.testing.assert_allclose(weight_of(equalized, ours[0]), bgr, rtol=1e-5)
    theirs = second.weight.detach().numpy()
    np.testing.assert_allclose(weight_of(equalized, ours[1]), theirs, rtol=1e-5)
    for node, peer in zip(ours, (first, second), strict=True):
        assert peer.bias is not None
        bias = bias_of(equalized, node, peer.out_channels)
        np.testing.assert_allclose(bias, peer.bias.detach().numpy(), rtol=1e-5)


def test_neighbours_have_one_range_in_each_channel() -> None:
    graph = equalize(float_graph(model_of(uneven(nn.ReLU(), groups=8), SPEC)), FRAMES)
    found = pairs(graph)
    assert [(layer_name(p.first.name), layer_name(p.second.name)) for p in found] == [
        ("0", "2"),
        ("2", "4"),
    ]
    for pair in found:
        ends = output_ranges(weight_of(graph, pair.first), pair.first)
        begins = input_ranges(weight_of(graph, pair.second), pair.second)
        np.testing.assert_allclose(ends, begins, rtol=0.01)


def test_a_channel_at_the_ceiling_of_a_relu6_keeps_its_scale() -> None:
    network = uneven(nn.ReLU6())
    with torch.no_grad():
        network[0].bias[7] = 50.0  # type: ignore[union-attr,index]
        network[0].bias[:7] = 0.1  # type: ignore[union-attr,index]
        network[0].weight[:7] *= 0.1  # type: ignore[union-attr,index,operator]
    graph = float_graph(model_of(network, SPEC))
    equalized = equalize(graph, FRAMES)
    before = output_ranges(weight_of(graph, pairs(graph)[0].first), pairs(graph)[0].first)
    after = output_ranges(weight_of(equalized, pairs(equalized)[0].first), pairs(graph)[0].first)
    assert after[7] == before[7]
    assert np.all(after[:7] != before[:7])
    assert sqnr_db(simulate(graph, FRAMES), simulate(equalized, FRAMES)) > SAME_DB


def test_a_grid_per_tensor_gains() -> None:
    graph = float_graph(model_of(uneven(nn.ReLU(), groups=8), SPEC))
    reference = simulate(graph, FRAMES)

    def noise(of: onnx.ModelProto) -> float:
        recipe = recipe_for(of, FRAMES, weights=Weights(per_channel=False))
        return sqnr_db(reference, simulate(quantize_graph(of, recipe), FRAMES))

    assert noise(equalize(graph, FRAMES)) > noise(graph) + 10


def test_a_layer_that_is_read_twice_or_called_twice_is_left_alone() -> None:
    class Branched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.one, self.two = (nn.Conv2d(3, 3, 1) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            stem = torch.relu(self.stem(x))
            return self.one(stem) + self.two(stem)

    for network in (Branched(), CalledTwice()):
        graph = float_graph(model_of(network, SPEC))
        assert pairs(graph) == []
        assert len(layers(graph)) > 1


def test_a_layer_of_zeros_stays_one() -> None:
    network = uneven(nn.ReLU())
    with torch.no_grad():
        network[2].weight.zero_()  # type: ignore[union-attr,operator]
    graph = float_graph(model_of(network, SPEC))
    equalized = equalize(graph, FRAMES)
    assert np.isfinite(simulate(equalized, FRAMES)).all()
    assert np.array_equal(simulate(graph, FRAMES), simulate(equalized, FRAMES))
