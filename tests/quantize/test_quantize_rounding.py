"""Adaptive rounding: weights on the grid, up or down, and layers that give what they gave."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from every_operator import every_operator
from small_graphs import CalledTwice, conv_net, model_of, noise_frame, recipe_for
from torch import nn

from edge_seg.preprocess import InputSpec
from edge_seg.quantize import float_graph, quantize_graph
from edge_seg.quantize.graph import constant, layers, set_constant
from edge_seg.quantize.learn.operators import OPERATORS
from edge_seg.quantize.learn.program import Node
from edge_seg.quantize.recipe import Recipe, Weights
from edge_seg.quantize.rounding import round_adaptively
from edge_seg.quantize.rounding_rows import Places, Rows, as_rows, from_rows, patches, round_rows
from edge_seg.quantize.sensitivity import simulate, sqnr_db
from edge_seg.quantize.weights import weight_of

SPEC = InputSpec(16, 24)
FRAMES = [noise_frame(16, 24, seed) for seed in range(4)]
GRIDS = [Weights(), Weights(per_channel=False), Weights(bits=4), Weights(bits=3, per_channel=False)]
NAMES = ["seven", "per tensor", "four", "three per tensor"]


@pytest.fixture(scope="module")
def every() -> onnx.ModelProto:
    return float_graph(model_of(every_operator(), SPEC))


@pytest.fixture(scope="module", params=GRIDS, ids=NAMES)
def recipe(every: onnx.ModelProto, request: pytest.FixtureRequest) -> Recipe:
    return recipe_for(every, FRAMES, weights=request.param)


@pytest.fixture(scope="module")
def rounded(every: onnx.ModelProto, recipe: Recipe) -> onnx.ModelProto:
    return round_adaptively(every, recipe, FRAMES)


def grid_of(
    graph: onnx.ModelProto, recipe: Recipe, layer: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the whole numbers of a quantized layer, of the recipe's bits, and their step."""
    quantized, node = quantize_graph(graph, recipe), layers(graph)[layer][0]
    whole = np.array(constant(quantized, f"{node.input[1]}_quantized"), np.float64)
    scale = np.array(constant(quantized, f"{node.input[1]}_scale"), np.float64)
    if scale.size > 1:
        scale = scale.reshape((1, -1, 1, 1) if node.op_type == "ConvTranspose" else (-1, 1, 1, 1))
    nested = {7: 1, 4: 9, 3: 21}[recipe.weights.bits]  # few bits lie in 63 steps of the seven
    return whole / nested, scale * nested


def test_two_that_are_alike_are_rounded_together() -> None:
    # Of grey frames all three inputs are equal. In steps of the grid the float layer multiplies by
    # 64.8, 64.6 and 64.4: the nearest is 64 in each, and the best 65, 65 and 64.
    layer = nn.Conv2d(3, 3, 1, bias=False)
    small = torch.tensor([0.4, 0.3, 0.2])[:, None]
    rows = torch.cat([torch.full((3, 1), 64.0), small, small], 1)
    layer.weight = nn.Parameter(rows[:, :, None, None])
    graph = float_graph(model_of(nn.Sequential(layer), SPEC))
    grey = [np.repeat(frame[:, :, :1], 3, axis=2) for frame in FRAMES]
    recipe = recipe_for(graph, grey)
    (name,) = recipe.layers
    assert grid_of(graph, recipe, name)[0].sum((1, 2, 3)).tolist() == [64, 64, 64]
    rounded = round_adaptively(graph, recipe, grey)
    assert grid_of(rounded, recipe, name)[0].sum((1, 2, 3)).tolist() == [65, 65, 64]


def test_the_grid_stays_and_each_weight_is_floor_or_ceil(
    every: onnx.ModelProto, recipe: Recipe, rounded: onnx.ModelProto
) -> None:
    moved = 0
    for name in recipe.layers:
        nearest, step = grid_of(every, recipe, name)
        whole, same = grid_of(rounded, recipe, name)
        assert np.array_equal(step, same)
        assert np.array_equal(whole, np.round(whole))
        weight = weight_of(rounded, layers(rounded)[name][0])
        assert np.allclose(weight, whole * step, rtol=1e-6, atol=0)
        units = weight_of(every, layers(every)[name][0]) / step
        assert np.all(np.abs(whole - units) < 1)
        moved += int(np.sum(whole != nearest))
    assert moved > 0


def test_the_network_gains(
    every: onnx.ModelProto, recipe: Recipe, rounded: onnx.ModelProto
) -> None:
    reference = simulate(every, FRAMES)
    plain = simulate(quantize_graph(every, recipe), FRAMES)
    better = simulate(quantize_graph(rounded, recipe), FRAMES)
    assert sqnr_db(reference, better) > sqnr_db(reference, plain) + 1


def test_done_again_it_gives_the_same_and_on_its_own_result_nothing_new() -> None:
    graph = float_graph(model_of(conv_net(1), SPEC))
    recipe = recipe_for(graph, FRAMES, weights=Weights(bits=4))
    once = round_adaptively(graph, recipe, FRAMES)
    assert round_adaptively(graph, recipe, FRAMES) == once
    assert round_adaptively(once, recipe, FRAMES) == once


def test_what_is_not_quantized_by_itself_stays() -> None:
    graph = float_graph(model_of(CalledTwice(), SPEC))
    recipe = recipe_for(graph, FRAMES, weights=Weights(bits=4))
    rounded = round_adaptively(graph, recipe, FRAMES)
    assert np.array_equal(weights(graph, "head"), weights(rounded, "head"))  # called twice
    assert not np.array_equal(weights(graph, "stem"), weights(rounded, "stem"))
    in_float = round_adaptively(graph, recipe.keeping_float(("stem",)), FRAMES)
    assert in_float == graph
    signs = recipe_for(graph, FRAMES, weights=Weights(bits=1))
    assert round_adaptively(graph, signs, FRAMES) == graph


def weights(graph: onnx.ModelProto, layer: str) -> npt.NDArray[np.float32]:
    return weight_of(graph, layers(graph)[layer][0])


@pytest.mark.parametrize("grid", [Weights(), Weights(bits=4)], ids=["seven", "four"])
def test_dead_channels_and_dead_layers_stay(grid: Weights) -> None:
    graph = float_graph(model_of(conv_net(1), SPEC))
    first, last = layers(graph)
    weight = weights(graph, first).copy()
    weight[1] = 0
    set_constant(graph, layers(graph)[first][0].input[1], weight)
    set_constant(graph, layers(graph)[last][0].input[1], np.zeros((3, 4, 1, 1), np.float32))
    recipe = recipe_for(graph, FRAMES[:1], weights=grid)
    rounded = round_adaptively(graph, recipe, FRAMES[:1])  # one frame is enough
    assert not weights(rounded, first)[1].any()
    assert not weights(rounded, last).any()
    changed = weights(rounded, first) != weight
    assert changed[[0, 2, 3]].any(axis=(1, 2, 3)).all()


def test_the_bar_counts_the_layers(every: onnx.ModelProto) -> None:
    seen: list[int] = []

    def track(items, description, total):  # type: ignore[no-untyped-def]
        assert (description, total) == ("rounding", len(layers(every)))
        for item in items:
            yield item
            seen.append(item)

    round_adaptively(every, recipe_for(every, FRAMES), FRAMES[:1], track)
    assert seen == list(range(len(layers(every))))


def some_rows(seed: int, k: int, groups: int = 1, count: int = 3, relu: bool = True) -> Rows:
    """Rows on inputs that are alike, as neighbouring pixels are, and a target of other inputs."""
    random = torch.Generator().manual_seed(seed)
    common = torch.rand(groups, 400, 1, generator=random)
    inputs = common + 0.3 * torch.rand(groups, 400, k, generator=random)
    units = 4 * torch.randn(groups, count, k, generator=random)
    step = torch.full((groups, count, 1), 0.125)
    noise = 0.002 * torch.randn(inputs.shape, generator=random)
    products = (inputs + noise) @ (units * step).mT
    bias = -products.median(1, keepdim=True).values  # half of them are below zero
    return Rows(units, step, inputs, bias, products + bias, torch.relu if relu else lambda y: y)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("groups", [1, 5])
def test_no_row_is_worse_than_the_nearest_on_the_positions_held_out(
    groups: int, relu: bool
) -> None:
    rows = some_rows(1, 12, groups, relu=relu)
    whole = round_rows(rows)
    held = rows.part(slice(300, None))
    found, nearest = held.error(whole), held.error(rows.units.round())
    assert torch.all(found <= nearest * 1.0001)  # sums in another order
    assert found.sum() < 0.5 * nearest.sum()
    assert torch.all((whole == rows.units.floor()) | (whole == rows.units.ceil()))


def test_a_row_that_learns_nothing_of_use_gets_the_nearest() -> None:
    rows = some_rows(2, 12)
    noise = torch.randn(rows.target.shape, generator=torch.Generator().manual_seed(3))
    target = torch.where(torch.arange(400)[:, None] < 300, 30 * noise, rows.target)
    misled = Rows(rows.units, rows.step, rows.inputs, rows.bias, target, rows.activation)
    assert torch.equal(round_rows(misled), rows.units.round())


@pytest.mark.parametrize(("relu", "near"), [(True, 1.3), (False, 1.05)])
def test_it_comes_near_the_best_of_all_roundings(relu: bool, near: float) -> None:
    choices = torch.tensor(list(itertools.product([0.0, 1.0], repeat=8)))
    gaps, nearest_gaps = [], []
    for seed in range(20):
        rows = some_rows(seed, 8, relu=relu)
        found, nearest = rows.error(round_rows(rows))[0], rows.error(rows.units.round())[0]
        for row, low in enumerate(rows.units[0].floor()):
            given = rows.inputs[0] @ ((low + choices) * 0.125).T + rows.bias[0, 0, row]
            wanted = rows.activation(rows.target[0, :, row, None])
            best = (rows.activation(given) - wanted).square().sum(0).min()
            gaps.append(float(found[row] / best))
            nearest_gaps.append(float(nearest[row] / best))
    assert min(gaps) > 0.999
    assert np.mean(gaps) < near
    assert np.mean(nearest_gaps) > 10


def test_weights_of_dead_inputs_are_the_nearest() -> None:
    rows = some_rows(5, 6, groups=2)
    rows.inputs[0] = 0
    rows.inputs[1, :, 2] = 0
    whole, nearest = round_rows(rows), rows.units.round()
    assert torch.equal(whole[0], nearest[0])
    assert torch.equal(whole[1, :, 2], nearest[1, :, 2])
    assert not torch.equal(whole, nearest)


def test_one_position_is_enough() -> None:
    rows = some_rows(4, 6).part(slice(0, 1))
    whole = round_rows(rows)
    assert torch.all(rows.error(whole) <= rows.error(rows.units.round()))


@pytest.mark.parametrize(
    ("operator", "shape", "attributes"),
    [
        ("Conv", (4, 6, 3, 3), {"pads": [1, 1, 1, 1]}),
        ("Conv", (4, 6, 3, 5), {"pads": [0, 2, 1, 3], "strides": [2, 1], "dilations": [1, 2]}),
        ("Conv", (6, 1, 3, 3), {"pads": [2, 2, 2, 2], "dilations": [2, 2], "group": 6}),
        ("Conv", (4, 3, 1, 1), {"group": 2, "strides": [2, 2]}),
        ("ConvTranspose", (6, 4, 2, 2), {"strides": [2, 2]}),
        (
            "ConvTranspose",
            (6, 4, 3, 4),
            {"strides": [2, 3], "pads": [1, 2, 1, 2], "output_padding": [1, 0]},
        ),
        ("ConvTranspose", (6, 4, 1, 1), {"strides": [2, 2], "pads": [1, 0, 1, 0]}),
    ],
)
def test_patches_times_rows_is_the_layer(
    operator: str, shape: tuple[int, ...], attributes: dict[str, object]
) -> None:
    random = torch.Generator().manual_seed(0)
    given = torch.randn(2, 6, 9, 8, generator=random)
    weight = torch.randn(shape, generator=random)
    node = Node(operator, "layer", attributes, (), "", ())
    output = OPERATORS[operator](attributes, given, weight)
    count, _, height, width = output.shape
    every = torch.cartesian_prod(*(torch.arange(size) for size in (count, height, width)))
    places = Places(*every.unbind(1))
    products = patches(node, given, shape[2:], places) @ as_rows(node, weight).mT
    wanted = output.permute(0, 2, 3, 1).flatten(0, 2)
    assert torch.allclose(products.transpose(0, 1).flatten(1), wanted, atol=1e-4)
    assert torch.equal(from_rows(node, as_rows(node, weight), weight), weight)
