"""Each rule of the table "Where TensorRT wants its pairs" (docs/quantization.md), on small nets."""

from __future__ import annotations

import msgspec
import numpy as np
import onnx
import pytest
import torch
from every_operator import every_operator
from onnx import TensorProto
from small_graphs import conv_net, model_of, noise_frame, operators, recipe_for, run
from torch import nn

from edge_seg.preprocess import Frame, InputSpec
from edge_seg.quantize import Recipe, float_graph
from edge_seg.quantize.float_graph import FRAME, LOGITS
from edge_seg.quantize.graph import constant, consumers, layers, producer
from edge_seg.quantize.sensitivity import simulate, sqnr_db
from edge_seg.quantize.signed import cast_frame_first, quantize_signed, shared_ranges

SPEC = InputSpec(16, 24)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return [noise_frame(16, 24, seed) for seed in range(3)]


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    return float_graph(model_of(every_operator(), SPEC))


@pytest.fixture(scope="module")
def recipe(graph: onnx.ModelProto, frames: list[Frame]) -> Recipe:
    return recipe_for(graph, frames)


@pytest.fixture(scope="module")
def quantized(graph: onnx.ModelProto, recipe: Recipe) -> onnx.ModelProto:
    return quantize_signed(graph, recipe)


def pairs(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]


def scales(model: onnx.ModelProto, node: onnx.NodeProto) -> list[float]:
    """Return the scales of a node's activations: of what it reads, and of what it gives."""
    makers = [producer(model, name) for name in node.input]
    found = [float(constant(model, m.input[1]).max()) for m in makers if m is not None]
    readers = consumers(model, node.output[0])
    return found + [
        float(constant(model, n.input[1])) for n in readers if n.op_type == "QuantizeLinear"
    ]


def test_every_zero_point_is_zero_and_signed(quantized: onnx.ModelProto) -> None:
    for node in pairs(quantized):
        zero = constant(quantized, node.input[2])
        assert zero is not None and zero.dtype == np.int8 and not zero.any(), node.name


def test_the_grid_is_symmetric(quantized: onnx.ModelProto, recipe: Recipe) -> None:
    low, high = recipe.ranges["/Add_output_0"]
    add = next(n for n in quantized.graph.node if n.op_type == "Add")
    # Behind the Add comes its ReLU, and only behind that a pair.
    (relu,) = consumers(quantized, add.output[0])
    assert relu.op_type == "Relu" and low < 0
    (pair,) = consumers(quantized, relu.output[0])
    assert constant(quantized, pair.input[1]) >= high / 127 * 0.999


def test_biases_are_float_and_weights_int8_on_eight_bits(quantized: onnx.ModelProto) -> None:
    for node in [n for n in quantized.graph.node if n.op_type == "Conv"]:
        dequantize = producer(quantized, node.input[1])
        assert dequantize is not None and dequantize.op_type == "DequantizeLinear"
        weight, scale = (constant(quantized, name) for name in dequantize.input[:2])
        assert weight.dtype == np.int8 and np.abs(weight.astype(int)).max() == 127
        assert scale.shape == (weight.shape[0],)
        assert constant(quantized, node.input[2]).dtype == np.float32
    assert not [t for t in quantized.graph.initializer if t.data_type == TensorProto.INT32]


def test_no_pair_between_a_kernel_and_its_relu(quantized: onnx.ModelProto) -> None:
    makers = [producer(quantized, n.input[0]) for n in quantized.graph.node if n.op_type == "Relu"]
    fused = [m for m in makers if m is not None and m.op_type in ("Conv", "Add")]
    assert len(fused) == 5  # stem, depthwise, down, up, and the residual


def test_a_pair_stays_where_something_else_reads_the_tensor(frames: list[Frame]) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(8, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.stem(x)
            return self.head(torch.cat([y, torch.relu(y)], 1))

    graph = float_graph(model_of(Both(), SPEC))
    quantized = quantize_signed(graph, recipe_for(graph, frames))
    (stem, _) = (n for n in quantized.graph.node if n.op_type == "Conv")
    assert [n.op_type for n in consumers(quantized, stem.output[0])] == ["QuantizeLinear"]


def test_a_ceiling_is_the_grid_s_own_end(quantized: onnx.ModelProto) -> None:
    assert "Clip" not in operators(quantized)


def test_a_ceiling_below_the_grid_stays(graph: onnx.ModelProto, recipe: Recipe) -> None:
    wide = {name: (low, max(high, 7.0)) for name, (low, high) in recipe.ranges.items()}
    assert "Clip" in operators(quantize_signed(graph, msgspec.structs.replace(recipe, ranges=wide)))


@pytest.mark.parametrize("operator", ["Concat", "Add"])
def test_what_meets_has_one_scale(quantized: onnx.ModelProto, operator: str) -> None:
    (node,) = (n for n in quantized.graph.node if n.op_type == operator)
    makers = [producer(quantized, name) for name in node.input]
    assert [m.op_type for m in makers if m is not None] == ["DequantizeLinear"] * len(node.input)
    inputs = scales(quantized, node)
    assert len(set(inputs)) == 1


@pytest.mark.parametrize("operator", ["Resize", "DepthToSpace"])
def test_what_only_moves_keeps_its_scale(quantized: onnx.ModelProto, operator: str) -> None:
    for node in [n for n in quantized.graph.node if n.op_type == operator]:
        if node.output[0] != LOGITS:
            assert len(set(scales(quantized, node))) == 1


def test_groups_take_the_widest_range_and_chain(graph: onnx.ModelProto) -> None:
    (concat,) = (n for n in graph.graph.node if n.op_type == "Concat")
    names = [*concat.input, concat.output[0]]
    ranges = {name: (-float(i), float(i)) for i, name in enumerate(names, 1)}
    ranges["elsewhere"] = (0.0, 9.0)
    shared = shared_ranges(graph, ranges)
    assert {shared[name] for name in names} == {(-4.0, 4.0)}
    assert shared["elsewhere"] == (0.0, 9.0)


def test_the_logits_stay_float(quantized: onnx.ModelProto) -> None:
    resize = producer(quantized, LOGITS)
    assert resize is not None and resize.op_type == "Resize"
    head = producer(quantized, resize.input[0])
    assert head is not None and head.op_type == "Conv"


def test_the_frame_is_cast_before_anything_else(quantized: onnx.ModelProto) -> None:
    (cast,) = consumers(quantized, FRAME)
    assert (cast.op_type, cast.attribute[0].i) == ("Cast", TensorProto.FLOAT)
    (transpose,) = consumers(quantized, cast.output[0])
    assert transpose.op_type == "Transpose"


def test_casting_first_changes_no_value(graph: onnx.ModelProto, frames: list[Frame]) -> None:
    moved = onnx.ModelProto()
    moved.CopyFrom(graph)
    cast_frame_first(moved)
    onnx.checker.check_model(moved)
    assert np.array_equal(run(graph, frames[0][None]), run(moved, frames[0][None]))


def test_opset_and_ir_are_what_tensorrt_8_5_reads(quantized: onnx.ModelProto) -> None:
    assert [(d.domain, d.version) for d in quantized.opset_import] == [("", 17)]
    assert quantized.ir_version == 8


def test_every_layer_is_quantized(graph: onnx.ModelProto, quantized: onnx.ModelProto) -> None:
    assert len(layers(graph)) == 6
    for node in [n for n in quantized.graph.node if n.op_type in ("Conv", "ConvTranspose")]:
        makers = [producer(quantized, name) for name in node.input[:2]]
        assert [m.op_type for m in makers if m is not None] == ["DequantizeLinear"] * 2, node.name


@pytest.mark.parametrize("layer", ["stem", "up", "dilated"])
def test_a_layer_in_float_has_float_weights(
    layer: str, graph: onnx.ModelProto, recipe: Recipe
) -> None:
    kept = quantize_signed(graph, recipe.keeping_float((layer,)))
    convolution = next(n for n in kept.graph.node if n.name.startswith(f"/{layer}/Conv"))
    weight = constant(kept, convolution.input[1])
    assert weight is not None and weight.dtype == np.float32


def test_a_kernel_that_is_its_stride_becomes_a_shuffle(frames: list[Frame]) -> None:
    """The same values as the transposed convolution, to rounding."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 5, 3, stride=3),
            nn.ReLU(),
            nn.Conv2d(5, 3, 1),
        )
    graph = float_graph(model_of(network, InputSpec(18, 24)))
    seen = [noise_frame(18, 24, seed) for seed in range(3)]
    recipe = recipe_for(graph, seen)
    quantized = quantize_signed(graph, recipe)
    assert "ConvTranspose" not in operators(quantized)
    kept = quantize_signed(graph, recipe.keeping_float(recipe.layers))
    assert "DepthToSpace" in operators(kept)
    assert sqnr_db(simulate(graph, seen), simulate(kept, seen)) > 30
    assert sqnr_db(simulate(graph, seen), simulate(quantized, seen)) > 20


def test_an_overlapping_transposed_convolution_keeps_its_form_and_its_axis() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 2, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 5, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(5, 3, 1),
        )
    graph = float_graph(model_of(network, SPEC))
    seen = [noise_frame(16, 24, seed) for seed in range(3)]
    quantized = quantize_signed(graph, recipe_for(graph, seen))
    (node,) = (n for n in quantized.graph.node if n.op_type == "ConvTranspose")
    dequantize = producer(quantized, node.input[1])
    assert dequantize is not None
    assert {a.name: a.i for a in dequantize.attribute}["axis"] == 1
    assert constant(quantized, dequantize.input[1]).shape == (5,)


def test_the_simulation_is_near_the_float_graph(
    graph: onnx.ModelProto, quantized: onnx.ModelProto, frames: list[Frame]
) -> None:
    assert sqnr_db(simulate(graph, frames), simulate(quantized, frames)) > 20


def test_neither_graph_nor_recipe_is_changed(graph: onnx.ModelProto, recipe: Recipe) -> None:
    before, ranges = graph.SerializeToString(), dict(recipe.ranges)
    first = quantize_signed(graph, recipe).SerializeToString(deterministic=True)
    second = quantize_signed(graph, recipe).SerializeToString(deterministic=True)
    assert graph.SerializeToString() == before and recipe.ranges == ranges
    assert first == second


@pytest.mark.parametrize("padding", [0, 1])
def test_a_mean_in_the_graph_is_quantized_too(padding: int, frames: list[Frame]) -> None:
    spec = InputSpec(16, 24, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    graph = float_graph(model_of(conv_net(padding), spec))
    quantized = quantize_signed(graph, recipe_for(graph, frames))
    assert sqnr_db(simulate(graph, frames), simulate(quantized, frames)) > 20
