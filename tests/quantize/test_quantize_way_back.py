"""Weights of the graph in the module: the same logits, or a reason."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from every_operator import every_operator
from small_graphs import TwoInOne, conv_net, model_of, module_logits, noise_frame, recipe_for
from torch import nn

from edge_seg.preprocess import InputSpec
from edge_seg.quantize import float_graph
from edge_seg.quantize.bias_correction import correct_biases
from edge_seg.quantize.equalization import equalize
from edge_seg.quantize.graph import layers
from edge_seg.quantize.recipe import Weights
from edge_seg.quantize.sensitivity import simulate, sqnr_db
from edge_seg.quantize.way_back import NoWayBackError, with_weights_of
from edge_seg.quantize.weights import set_weight, weight_of

FRAMES = [noise_frame(16, 24, seed) for seed in range(4)]
IMAGENET = InputSpec(16, 24, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def changed(graph: onnx.ModelProto) -> onnx.ModelProto:
    equalized = equalize(graph, FRAMES)
    recipe = recipe_for(equalized, FRAMES, weights=Weights(per_channel=False))
    return correct_biases(equalized, recipe, FRAMES)


@pytest.mark.parametrize("spec", [InputSpec(16, 24), IMAGENET])
@pytest.mark.parametrize("network", [conv_net(0), conv_net(1), every_operator()])
def test_the_module_gives_the_graph_s_logits(network: nn.Module, spec: InputSpec) -> None:
    """Batch norm is taken up; a mean that was folded (no padding) is taken out again."""
    given = model_of(network, spec)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    graph = changed(float_graph(given))
    model = with_weights_of(given, graph)
    for frame in FRAMES:
        wanted = simulate(graph, [frame])[0]
        assert sqnr_db(wanted, module_logits(model, frame)) > 90
        assert sqnr_db(wanted, module_logits(given, frame)) < 90
    assert model.digest != given.digest
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_model_that_came_as_onnx_is_left_as_it_is() -> None:
    given = model_of(conv_net(1), InputSpec(16, 24))
    graph = float_graph(given)
    came = dataclasses.replace(given, module=None, onnx=graph.SerializeToString())
    assert with_weights_of(came, changed(graph)) is came


def test_a_layer_that_is_no_module_is_named() -> None:
    given = model_of(TwoInOne(), InputSpec(16, 24))
    with pytest.raises(NoWayBackError, match="layer 'head'"):
        with_weights_of(given, changed(float_graph(given)))


def test_another_network_s_graph_is_refused() -> None:
    given = model_of(conv_net(1), InputSpec(16, 24))
    other = model_of(conv_net(1, nn.Tanh()), InputSpec(16, 24))
    with pytest.raises(NoWayBackError, match="gives other logits"):
        with_weights_of(given, float_graph(other))
    assert np.isfinite(module_logits(given, FRAMES[0])).all()


class Tokens(nn.Module):
    """A linear layer of another width in and out: folded, its weights are (in, out)."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.first, self.linear = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = torch.relu(self.first(x)).permute(0, 2, 3, 1)
        return self.linear(tokens).permute(0, 3, 1, 2)


def test_a_linear_layer_gets_its_weights_the_right_way_round() -> None:
    model = model_of(Tokens().eval(), InputSpec(16, 24))
    graph = float_graph(model)
    (node,) = layers(graph)["linear"]
    set_weight(graph, node, 2 * weight_of(graph, node))
    back = with_weights_of(model, graph)
    assert back.module is not None and model.module is not None
    torch.testing.assert_close(
        back.module.get_submodule("linear").weight,
        2 * model.module.get_submodule("linear").weight.detach(),
        check_device=False,
    )
