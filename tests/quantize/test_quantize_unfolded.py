"""Batch norm left behind its convolution: by hand, and in the files of the engines that take it."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from small_graphs import (
    conv_net,
    model_of,
    module_logits,
    noise_frame,
    operators,
    recipe_for,
    run,
    run_frame,
)
from torch import nn

from edge_seg import engines
from edge_seg.classes import LANE
from edge_seg.engines.lowering import CannotLowerError, Source
from edge_seg.errors import EdgeSegError
from edge_seg.models import registry
from edge_seg.models.model import Model
from edge_seg.packing.deciding import for_integers
from edge_seg.packing.request import check_fold
from edge_seg.preprocess import InputSpec
from edge_seg.quantize import Recipe, float_graph, quantize_graph
from edge_seg.quantize.float_graph import _export, _optimize, unfolded_graph
from edge_seg.quantize.graph import constant, consumers, layer_name, layers, producer
from edge_seg.quantize.recipe import Weights, decode, encode
from edge_seg.quantize.sensitivity import layer_sensitivity, simulate
from edge_seg.quantize.weights import weight_of

SPEC = InputSpec(16, 24)
FRAMES = [noise_frame(16, 24, seed) for seed in range(4)]
SHIFT, SCALE = (1.0, -2.0, 0.0), (4.0, 0.5, 1.0)


def by_hand() -> Model:
    """A 1x1 convolution that copies RGB, of pixels 0..255, and a batch norm of simple numbers.

    Its channels go to ``SCALE * x + SHIFT``: variances of 1/4, 16 and 1, weights of 2, 2 and 1.
    """
    norm = nn.BatchNorm2d(3, eps=0.0)
    copies, last = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        for layer in (copies, last):
            layer.weight.copy_(torch.eye(3)[:, :, None, None])
        norm.weight.copy_(torch.tensor([2.0, 2.0, 1.0]))
        norm.running_var.copy_(torch.tensor([0.25, 16.0, 1.0]))
        norm.bias.copy_(torch.tensor(SHIFT))
    ends = InputSpec(2, 2, std=(1 / 255,) * 3)
    return model_of(nn.Sequential(copies, norm, nn.ReLU(), last), ends)


def source_of(model: Model, graph: onnx.ModelProto, fold: bool = False) -> Source:
    frames = [noise_frame(model.input.height, model.input.width, seed) for seed in range(4)]
    return Source(model, graph, recipe_for(graph, frames, fold_batch_norm=fold), frames)


def norms(graph: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in graph.graph.node if node.op_type == "BatchNormalization"]


def grid(quantized: onnx.ModelProto, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a layer's whole numbers and their scales."""
    node = next(node for node in quantized.graph.node if layer_name(node.name) == layer)
    dequantize = producer(quantized, node.input[1])
    assert dequantize is not None
    whole, scale = (constant(quantized, name) for name in dequantize.input[:2])
    assert whole is not None and scale is not None
    return np.asarray(whole), np.asarray(scale)


def test_by_hand_the_folded_weights_are_scaled_and_the_unfolded_ones_are_not() -> None:
    model = by_hand()
    folded, unfolded = float_graph(model), unfolded_graph(model)
    eye = np.eye(3)[:, ::-1, None, None]  # frames are BGR
    wanted = eye * np.array(SCALE)[:, None, None, None]
    np.testing.assert_allclose(weight_of(folded, layers(folded)["0"][0]), wanted, rtol=1e-6)
    np.testing.assert_allclose(weight_of(unfolded, layers(unfolded)["0"][0]), eye, rtol=1e-6)
    frame = np.full((2, 2, 3), (40, 60, 20), np.uint8)  # blue, green, red
    logits = [4 * 20 + 1, 0.5 * 60 - 2, 40]
    for graph in (folded, unfolded):
        np.testing.assert_allclose(run_frame(graph, frame)[:, 0, 0], logits, rtol=1e-5)


def test_by_hand_the_grids_are_those_of_what_is_quantized() -> None:
    """Sixty-four steps reach the largest weight: 1 of each channel, or what batch norm makes of it.

    Unfolded, the convolution's output is the pixels, on a grid of their own.
    """
    model = by_hand()
    frames = [np.full((2, 2, 3), value, np.uint8) for value in (0, 255)]
    folded, unfolded = float_graph(model), unfolded_graph(model)
    one, other = (quantize_graph(g, recipe_for(g, frames)) for g in (folded, unfolded))
    np.testing.assert_allclose(grid(one, "0")[1], np.array(SCALE) / 64, rtol=1e-6)
    np.testing.assert_allclose(grid(other, "0")[1], np.full(3, 1 / 64), rtol=1e-6)
    (norm,) = norms(other)
    pair = producer(other, norm.input[0])
    assert pair is not None and pair.op_type == "DequantizeLinear"
    assert constant(other, pair.input[1]) == pytest.approx(1.0)  # 255 / 255
    frame = np.full((2, 2, 3), (40, 60, 20), np.uint8)
    exact = [4 * 20 + 1, 0.5 * 60 - 2, 40]
    step = (4 * 255 + 1) / 255  # of the grid behind the ReLU
    found = run_frame(other, frame)[:, 0, 0]
    np.testing.assert_allclose(found, np.round(np.array(exact) / step) * step, atol=1e-3)


@pytest.mark.parametrize("normalisation", [{}, {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}])
def test_in_float_it_gives_the_modules_logits(normalisation: dict) -> None:
    model = model_of(conv_net(1), InputSpec(16, 24, **normalisation))
    graph = unfolded_graph(model)
    assert len(norms(graph)) == 1
    for frame in FRAMES:
        found = run_frame(graph, frame)
        assert np.abs(found - module_logits(model, frame)).max() < 1e-4
        assert np.abs(found - run_frame(float_graph(model), frame)).max() < 1e-4


def test_the_shipped_network_keeps_every_batch_norm_and_its_logits(tiny_model: Model) -> None:
    assert tiny_model.module is not None
    graph = unfolded_graph(tiny_model)
    kept = [part for part in tiny_model.module.modules() if isinstance(part, nn.BatchNorm2d)]
    assert len(norms(graph)) == len(kept) > 0
    assert list(layers(graph)) == list(layers(float_graph(tiny_model)))
    frame = noise_frame(tiny_model.input.height, tiny_model.input.width)
    assert np.abs(run_frame(graph, frame) - module_logits(tiny_model, frame)).max() < 1e-4


@pytest.mark.parametrize("quantize", ["quantize_graph", "quantize_signed"])
def test_a_batch_norm_is_a_float_operator_between_two_grids(quantize: str) -> None:
    from edge_seg.quantize.signed import quantize_signed

    graph = unfolded_graph(model_of(conv_net(1), SPEC))
    make = {"quantize_graph": quantize_graph, "quantize_signed": quantize_signed}[quantize]
    quantized = make(graph, recipe_for(graph, FRAMES))
    (norm,) = norms(quantized)
    before = producer(quantized, norm.input[0])
    assert before is not None and before.op_type == "DequantizeLinear"
    assert all(constant(quantized, name).dtype == np.float32 for name in norm.input[1:])  # type: ignore[union-attr]
    (activation,) = consumers(quantized, norm.output[0])
    assert activation.op_type == "Relu"
    assert [n.op_type for n in consumers(quantized, activation.output[0])] == ["QuantizeLinear"]
    near = np.abs(simulate(quantized, FRAMES) - simulate(graph, FRAMES)).max()
    assert 0 < near < 0.1 * np.abs(simulate(graph, FRAMES)).max()


@pytest.mark.parametrize("bits", [7, 4])
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_int8_runs_on_both_engines(name: str, bits: int, fitted_model: Model) -> None:
    pytest.importorskip(name)
    graph = unfolded_graph(fitted_model)
    source = source_of(fitted_model, graph)
    decided = recipe_for(graph, source.frames, fold_batch_norm=False, weights=Weights(bits))
    source = dataclasses.replace(source, recipe=decided)
    engine = engines.find(name)
    options = engine.variants["int8"][0]
    session = engine.open(
        engine.lowering()(source, "int8", options), fitted_model.input, options, threads=1
    )
    wanted = simulate(quantize_graph(graph, decided), source.frames).argmax(1)
    for frame, ids in zip(source.frames, wanted, strict=True):
        session.preprocess(frame)
        session.infer()
        assert np.mean(session.ids() == ids) >= 0.97
    session.close()


@pytest.mark.parametrize("precision", ["int8", "float16", "float32"])
def test_tensorrts_file_runs_in_its_place(precision: str) -> None:
    from edge_seg.engines.tensorrt.lowering import for_stand_in, lower

    source = source_of(model_of(conv_net(1), SPEC), unfolded_graph(model_of(conv_net(1), SPEC)))
    payload = lower(source, precision, {})
    graph = onnx.load_from_string(payload)
    assert len(norms(graph)) == 1
    wanted = simulate(source.graph, source.frames).argmax(1)
    session_graph = onnx.load_from_string(for_stand_in(payload))
    for frame, ids in zip(source.frames, wanted, strict=True):
        assert np.mean(run(session_graph, frame[None]) == ids) >= 0.97


@pytest.mark.parametrize("name", ["fbgemm", "qnnpack", "litert"])
def test_engines_that_start_from_the_module_say_why_they_cannot(name: str) -> None:
    model = model_of(conv_net(1), SPEC)
    given = source_of(model, unfolded_graph(model))
    engine = engines.find(name)
    words = "folds batch norm by itself: leave --no-fold out"
    with pytest.raises(CannotLowerError, match=words) as caught:
        engine.lowering()(for_integers(given), "int8", engine.variants["int8"][0])
    assert "\n" not in str(caught.value)
    folded = source_of(model, float_graph(model), fold=True)
    assert for_integers(folded) is folded


def test_a_layer_alone_can_be_judged(fitted_model: Model) -> None:
    source = source_of(fitted_model, unfolded_graph(fitted_model))
    noise = layer_sensitivity(source.graph, source.recipe, source.frames[:2])
    assert {row.layer for row in noise} == set(layers(source.graph))
    assert all(np.isfinite(row.sqnr_db) for row in noise)


def test_a_model_without_batch_norm_is_refused() -> None:
    model = model_of(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 3, 1)), SPEC)
    with pytest.raises(EdgeSegError, match=r"^small has no batch norm behind a layer.*--no-fold$"):
        unfolded_graph(model)


@pytest.mark.parametrize("folding", [True, False])
def test_a_file_keeps_the_batch_norms_that_it_has(folding: bool) -> None:
    model = model_of(conv_net(1), SPEC)
    file = _export(model, do_constant_folding=folding)
    brought = dataclasses.replace(model, onnx=file, module=None, classes=LANE)
    if folding:
        with pytest.raises(EdgeSegError, match="or came with it folded"):
            unfolded_graph(brought)
    else:
        found = run_frame(unfolded_graph(brought), FRAMES[0])
        assert np.abs(found - module_logits(model, FRAMES[0])).max() < 1e-4
        assert len(norms(unfolded_graph(brought))) == 1


def test_a_product_keeps_its_batch_norm_too() -> None:
    """ONNX Runtime folds it into a MatMul under another optimizer's name."""
    from edge_seg.quantize.float_graph import BATCH_NORM_FUSIONS

    ones = [numpy_helper.from_array(np.ones(5, np.float32), name) for name in "sbmv"]
    weight = numpy_helper.from_array(np.ones((4, 5), np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], "product"),
        helper.make_node("BatchNormalization", ["y", "s", "b", "m", "v"], ["z"], "norm"),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [6, 4])
    made = helper.make_tensor_value_info("z", TensorProto.FLOAT, [6, 5])
    graph = helper.make_graph(nodes, "g", [given], [made], [weight, *ones])
    payload = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    assert operators(_optimize(payload, "m")) == ["Gemm"]
    kept = operators(_optimize(payload, "m", BATCH_NORM_FUSIONS))
    assert kept == ["MatMul", "BatchNormalization"]


def test_a_recipe_says_it_and_an_older_one_was_folded() -> None:
    recipe = Recipe(
        model_digest="m", calibration_digest="c", layers=(), ranges={}, fold_batch_norm=False
    )
    assert decode(encode(recipe)).fold_batch_norm is False
    older = encode(recipe).replace(b' "fold_batch_norm": false,\n', b"")
    assert b"fold_batch_norm" not in older and decode(older).fold_batch_norm is True


@pytest.mark.parametrize("method", ["equalized", "equalized+qat"])
def test_what_equalizes_is_refused(method: str) -> None:
    with pytest.raises(EdgeSegError, match="is for layers that have taken up their batch norm"):
        check_fold(method, fold=False)
    check_fold(method, fold=True)
    for other in ("ptq", "qat", "rounding", "observers", "rounding+qat", "auto"):
        check_fold(other, fold=False)


@pytest.mark.slow
def test_depthwise_layers_and_residuals_keep_their_logits() -> None:
    model = registry.load("deeplabv3plus-mobilenetv2", registry.RANDOM, (64, 128))
    frame = noise_frame(64, 128)
    one, other = run_frame(float_graph(model), frame), run_frame(unfolded_graph(model), frame)
    assert np.abs(one - other).max() < 1e-5 * max(1.0, np.abs(one).max())
