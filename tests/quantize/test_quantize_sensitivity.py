from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from small_graphs import HEADS_OF_TWO, model_of, module_logits, noise_frame, recipe_for
from torch import nn

from edge_seg.models.model import Model
from edge_seg.preprocess import InputSpec
from edge_seg.quantize import float_graph, layer_sensitivity
from edge_seg.quantize.sensitivity import simulate, sqnr_db


def test_sqnr_by_hand() -> None:
    signal = np.array([3.0, 4.0], np.float32)
    assert sqnr_db(signal, np.array([3.0, 4.5], np.float32)) == pytest.approx(20.0)  # 25 / 0.25
    assert sqnr_db(signal, np.zeros(2, np.float32)) == pytest.approx(0.0)
    assert sqnr_db(signal, signal) == math.inf
    assert sqnr_db(np.zeros(2, np.float32), signal) == -math.inf


def test_a_layer_without_noise_is_finite_so_that_json_can_keep_it() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    model = model_of(network, InputSpec(8, 8))
    graph, frame = float_graph(model), noise_frame(8, 8)
    rows = layer_sensitivity(graph, recipe_for(graph, [frame]), [frame])
    assert rows
    assert all(math.isfinite(row.sqnr_db) for row in rows)


def test_the_simulation_of_the_float_graph_is_the_module(tiny_model: Model) -> None:
    frames = [noise_frame(tiny_model.input.height, tiny_model.input.width, s) for s in (0, 1)]
    found = simulate(float_graph(tiny_model), frames)
    assert found.shape == (2, 3, tiny_model.input.height, tiny_model.input.width)
    for logits, frame in zip(found, frames, strict=True):
        assert np.abs(logits - module_logits(tiny_model, frame)).max() < 1e-4


def three_layers() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 3, 1),
        )


@pytest.mark.parametrize("hurt", ["0", "2", "4"])
def test_a_layer_with_an_outlier_weight_ranks_worst(hurt: str) -> None:
    """One huge weight on a channel that is always zero takes the whole grid of its filter."""
    network = three_layers()
    layer = network[int(hurt)]
    with torch.no_grad():
        if hurt == "0":
            layer.weight[:, 0] = 0.0
            layer.weight[:, 0, 1, 1] = 60.0  # red, which no frame below has
        else:
            before = network[int(hurt) - 2]
            before.weight[0], before.bias[0] = 0.0, -1.0  # its ReLU is always zero
            layer.weight[:, 0] = 0.0
            layer.weight[:, 0, layer.weight.shape[2] // 2, layer.weight.shape[3] // 2] = 60.0
    frames = [noise_frame(16, 24, seed) for seed in range(2)]
    for frame in frames:
        frame[:, :, 2] = 0
    graph = float_graph(model_of(network, InputSpec(16, 24)))
    rows = layer_sensitivity(graph, recipe_for(graph, frames), frames)
    assert rows[0].layer == hurt
    assert {row.layer for row in rows} == {"0", "2", "4"}
    assert [row.sqnr_db for row in rows] == sorted(row.sqnr_db for row in rows)
    assert rows[0].sqnr_db < rows[1].sqnr_db - 10


def test_a_layer_whose_range_has_an_outlier_ranks_worst() -> None:
    network = three_layers()
    frames = [noise_frame(16, 24, seed) for seed in range(2)]
    graph = float_graph(model_of(network, InputSpec(16, 24)))
    recipe = recipe_for(graph, frames)
    relu = next(node for node in graph.graph.node if node.op_type == "Relu")
    recipe.ranges[relu.output[0]] = (0.0, 1000.0)
    # The tensor is the first layer's output and the second's input: both suffer, the last not.
    rows = layer_sensitivity(graph, recipe, frames)
    assert {row.layer for row in rows[:2]} == {"0", "2"}
    assert rows[2].sqnr_db > rows[1].sqnr_db + 10


@pytest.mark.parametrize("network", HEADS_OF_TWO)
def test_a_layer_is_measured_in_all_its_nodes(network: type[nn.Module]) -> None:
    """The range of what its first node reads is spoilt, and the layer has that noise."""
    frames = [noise_frame(16, 24, seed) for seed in range(2)]
    graph = float_graph(model_of(network(), InputSpec(16, 24)))
    recipe = recipe_for(graph, frames)
    before = {row.layer: row.sqnr_db for row in layer_sensitivity(graph, recipe, frames)}
    assert set(before) == {"stem", "head"}
    first = next(node for node in graph.graph.node if node.name == "/head/Conv")
    recipe.ranges[first.input[0]] = (0.0, 1000.0)
    after = {row.layer: row.sqnr_db for row in layer_sensitivity(graph, recipe, frames)}
    assert after["head"] < before["head"] - 10
