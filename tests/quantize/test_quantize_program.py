"""The graph in PyTorch: the numbers of ONNX Runtime, and gradients that can be worked by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from every_operator import every_operator
from onnx import TensorProto, helper
from small_graphs import conv_net, model_of, noise_frame, recipe_for
from torch import Tensor, nn
from torch.nn import functional

from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import InputSpec
from edge_seg.quantize import float_graph, quantize_graph
from edge_seg.quantize.float_graph import unfolded_graph
from edge_seg.quantize.learn.operators import OPERATORS
from edge_seg.quantize.learn.program import Node, Program, batch, spread
from edge_seg.quantize.sensitivity import simulate, sqnr_db
from edge_seg.quantize.signed import quantize_signed

SPEC = InputSpec(16, 24)
FRAMES = [noise_frame(16, 24, seed) for seed in range(3)]
SAME_DB = 110.0
"""Two float32 sums of the same numbers in another order."""


class Middle(nn.Module):
    """A convolution, a function, and one more convolution that brings it to three channels."""

    def __init__(self, function: Callable[[Tensor], Tensor], channels: int = 4) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            self.first = nn.Conv2d(3, 4, 3, padding=1)
            self.last = nn.Conv2d(channels, 3, 1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(self.first(x)))


def gated(x: Tensor) -> Tensor:
    """Squeeze and excite: a mean, two products, a gate."""
    return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


def attend(x: Tensor) -> Tensor:
    """Positions as tokens, normalised, through matrices that know no frames: (n h w, c)."""
    tokens = functional.layer_norm(x.flatten(2).transpose(1, 2), (4,), eps=1e-6)
    heads = tokens.reshape(-1, 4) @ torch.eye(4).flip(0)
    return heads.reshape(-1, 16, 24, 4).permute(0, 3, 1, 2)


MIDDLES: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "relu6": (functional.relu6, 4),
    "leaky": (functional.leaky_relu, 4),
    "elu": (functional.elu, 4),
    "hardswish": (functional.hardswish, 4),
    "hardsigmoid": (functional.hardsigmoid, 4),
    "tanh": (torch.tanh, 4),
    "gelu": (functional.gelu, 4),
    "softmax": (lambda x: torch.softmax(x, 1), 4),
    "prelu": (nn.PReLU(4), 4),
    "gate": (gated, 4),
    "shuffle": (lambda x: functional.interpolate(functional.pixel_shuffle(x, 2), (16, 24)), 1),
    "nearest": (lambda x: functional.interpolate(x[:, :, ::2, ::2], scale_factor=2.0), 4),
    "average": (lambda x: functional.avg_pool2d(x, 3, 1, 1), 4),
    "max": (lambda x: functional.max_pool2d(x, 3, 1, 1), 4),
    "reflect": (lambda x: functional.pad(x, [1, 0, 2, 1], "reflect")[:, :, 1:17, :24], 4),
    "split": (lambda x: torch.cat([x[:, 2:], x[:, :2] - 0.5], 1) / 2, 4),
    "tokens": (attend, 4),
    "flat": (lambda x: x.flatten(2).transpose(1, 2).reshape(-1, 16, 24, 4).permute(0, 3, 1, 2), 4),
}


@pytest.mark.parametrize("name", MIDDLES)
def test_an_operator_gives_onnx_runtime_s_numbers(name: str) -> None:
    graph = float_graph(model_of(Middle(*MIDDLES[name]), SPEC))
    with torch.inference_mode():
        mine = Program(graph)(batch(FRAMES)).numpy()
    assert sqnr_db(simulate(graph, FRAMES), mine) > SAME_DB


@pytest.mark.parametrize("quantize", [quantize_graph, quantize_signed])
def test_a_quantized_graph_gives_onnx_runtime_s_ids(
    quantize: Callable[..., onnx.ModelProto],
) -> None:
    graph = float_graph(model_of(every_operator(), SPEC))
    quantized = quantize(graph, recipe_for(graph, FRAMES))
    with torch.inference_mode():
        mine = Program(quantized)(batch(FRAMES)).numpy()
    theirs = simulate(quantized, FRAMES)
    # A value half-way between two steps may be rounded either way; hence no equality.
    assert sqnr_db(theirs, mine) > 35
    assert np.mean(theirs.argmax(1) == mine.argmax(1)) > 0.995


def test_batch_norm_by_hand() -> None:
    """(x - 1) / sqrt(3 + 1) * 4 + 10: 3 becomes 14, and the slopes are 4 / 2, (3 - 1) / 2, 1."""
    x, scale, bias = (torch.tensor([n], requires_grad=True) for n in (3.0, 4.0, 10.0))
    given = x.reshape(1, 1, 1, 1)
    mean, variance = torch.tensor([1.0]), torch.tensor([3.0])
    out = OPERATORS["BatchNormalization"]({"epsilon": 1.0}, given, scale, bias, mean, variance)
    assert out.item() == 14.0
    out.sum().backward()
    assert [t.grad and t.grad.item() for t in (x, scale, bias)] == [2.0, 1.0, 1.0]
    assert mean.item() == 1.0 and variance.item() == 3.0  # learning moves neither


def test_a_batch_norm_of_its_own_gives_onnx_runtime_s_numbers() -> None:
    graph = unfolded_graph(model_of(conv_net(1), SPEC))
    assert any(node.op_type == "BatchNormalization" for node in graph.graph.node)
    with torch.inference_mode():
        mine = Program(graph)(batch(FRAMES)).numpy()
    assert sqnr_db(simulate(graph, FRAMES), mine) > SAME_DB


def test_frames_together_are_frames_alone() -> None:
    graph = float_graph(model_of(every_operator(), SPEC))
    program = Program(quantize_graph(graph, recipe_for(graph, FRAMES)))
    with torch.inference_mode():
        together = program(batch(FRAMES))
        alone = torch.cat([program(batch([frame])) for frame in FRAMES])
    assert torch.allclose(together, alone, atol=1e-5)


def quantizing_graph(scale: float, zero_point: int) -> onnx.ModelProto:
    """From a float input through one pair: what a gradient goes through."""
    constants = [
        helper.make_tensor("scale", TensorProto.FLOAT, [], [scale]),
        helper.make_tensor("zero", TensorProto.UINT8, [], [zero_point]),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["frame", "scale", "zero"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["logits"], "dequantize"),
    ]
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [5]) for n in ("frame", "logits")]
    graph = helper.make_graph(nodes, "pair", value[:1], value[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_pair_s_gradient_is_straight_through_inside_and_none_outside() -> None:
    """The grid of step 0.5 from -1 (q = 0) to 126.5 (q = 255)."""
    given = torch.tensor([-3.0, -0.9, 0.1, 0.26, 200.0], requires_grad=True)
    out = Program(quantizing_graph(0.5, 2))(given)
    assert out.tolist() == [-1.0, -1.0, 0.0, 0.5, 126.5]
    out.sum().backward()
    assert given.grad is not None
    assert given.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_a_pair_s_gradient_to_its_scale_is_that_of_learned_step_sizes() -> None:
    """Esser et al. 2020, equation 3: round(x / s) - x / s inside, the end of the grid outside."""
    scale = torch.tensor([0.5], requires_grad=True)
    out = Program(quantizing_graph(0.5, 2))(torch.tensor([-3.0, 0.1, 0.26]), {"scale": scale})
    out.sum().backward()
    assert scale.grad is not None
    expected = (0 - 2) + (0 - 0.2) + (1 - 0.52)
    assert float(scale.grad) == pytest.approx(expected, abs=1e-6)


def test_other_constants_take_the_place_of_the_graph_s_own() -> None:
    program = Program(quantizing_graph(0.5, 2))
    given = torch.tensor([0.26, 3.0])
    assert program(given, {"scale": torch.tensor([1.0])}).tolist() == [0.0, 3.0]
    assert program(given).tolist() == [0.5, 3.0]


def test_what_a_visit_returns_goes_on() -> None:
    graph = float_graph(model_of(conv_net(1), SPEC))
    seen: list[str] = []

    def nothing_left(node: Node, output: Tensor) -> Tensor:
        seen.append(node.layer)
        return torch.zeros_like(output) if node.operator == "Relu" else output

    with torch.inference_mode():
        out = Program(graph)(batch(FRAMES), visit=nothing_left)
    assert {"0", "3"} <= set(seen)
    assert torch.equal(out, out[:, :, :1, :1].expand_as(out))  # the last layer's bias alone


def test_an_operator_that_it_does_not_know_is_named_with_its_layer() -> None:
    graph = float_graph(model_of(Middle(torch.sin), SPEC))
    with pytest.raises(EdgeSegError, match=r"is a Sin.*--method ptq"):
        Program(graph)


@pytest.mark.parametrize(("count", "chosen"), [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9])])
def test_frames_are_spread(count: int, chosen: list[int]) -> None:
    assert spread(range(10), count) == chosen
    assert spread([5], count) == [5]
