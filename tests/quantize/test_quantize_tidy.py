"""ONNX files whose graphs are laid out in ways that ours is not, from load to an engine's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import noise_frame, operators, recipe_for, run, run_frame

from edge_seg.classes import LANE
from edge_seg.models import registry
from edge_seg.preprocess import normalise
from edge_seg.quantize import float_graph, quantize_graph
from edge_seg.quantize.class_ids import WAYS, with_class_ids
from edge_seg.quantize.float_graph import FRAME, LOGITS, OUR_NAMES
from edge_seg.quantize.graph import layers, remove_unused, rename

WEIGHT = np.random.default_rng(0).normal(size=(3, 3, 1, 1)).astype(np.float32)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def two_layers(
    path: Path,
    names: Sequence[str] = ("image", "inner", "result"),
    outputs: Sequence[str] = ("result",),
    weight: str = "weight",
    weight_is_input: bool = False,
    ir_version: int = 8,
    nodes_named: Sequence[str] = ("first", "last"),
) -> str:
    """Write two convolutions with a ReLU between and a third that only ``extra`` comes from."""
    image, inner, result = names
    nodes = [
        helper.make_node("Conv", [image, weight], [inner], nodes_named[0]),
        helper.make_node("Relu", [inner], ["relu"], "relu"),
        helper.make_node("Conv", ["relu", weight], [result], nodes_named[1]),
        helper.make_node("Conv", ["relu", weight], ["extra"], "auxiliary"),
    ]
    inputs = [helper.make_tensor_value_info(image, TensorProto.FLOAT, [1, 3, 8, 8])]
    if weight_is_input:
        inputs.insert(0, helper.make_tensor_value_info(weight, TensorProto.FLOAT, [3, 3, 1, 1]))
    graph = helper.make_graph(
        nodes,
        "graph",
        inputs,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in outputs],
        [numpy_helper.from_array(WEIGHT, weight)],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=ir_version), path)
    return str(path)


def check_on_its_way(path: str, **normalisation: object) -> onnx.ModelProto:
    """The first output's values are the graph's, and ONNX Runtime takes every file made of it."""
    model = registry.load(path, classes=LANE, **normalisation)
    graph = float_graph(model)
    assert [value.name for value in graph.graph.input] == [FRAME]
    assert [value.name for value in graph.graph.output] == [LOGITS]
    frame = noise_frame(8, 8)
    session = onnxruntime.InferenceSession(path)
    image = {session.get_inputs()[0].name: normalise(frame, model.input)}
    assert np.abs(run_frame(graph, frame) - session.run(None, image)[0][0]).max() < 1e-4
    quantized = quantize_graph(graph, recipe_for(graph, [frame]))
    for written in (graph, quantized):
        for way in WAYS:
            ids = run(with_class_ids(written, way), frame[None])
            assert ids.shape == (1, 1, 8, 8) and ids.dtype == np.uint8
    return graph


@pytest.mark.parametrize("others", [["extra"], ["relu"], ["inner", "extra", "relu"]])
def test_the_first_output_is_the_one(tmp_path: Path, others: list[str]) -> None:
    path = two_layers(tmp_path / "several.onnx", outputs=["result", *others])
    graph = check_on_its_way(path)
    assert list(layers(graph)) == ["first", "last"]
    assert operators(graph).count("Conv") == 2


@pytest.mark.parametrize(
    "names",
    [
        ("image", "logits", "result"),
        ("image", "frame", "result"),
        ("image", "logits", "frame"),
        ("frame", "inner", "result"),
        ("logits", "frame", "ids"),
        ("image", "ids", "logits"),
        ("pixels", "frame_planes", "frame_scale"),
        ("image", "logits_given", "logits"),
        ("logits", "logits_given", "result"),
    ],
)
@pytest.mark.parametrize("normalisation", [{}, IMAGENET])
def test_a_tensor_may_be_called_like_ours(
    tmp_path: Path, names: tuple[str, str, str], normalisation: dict
) -> None:
    path = two_layers(tmp_path / "named.onnx", names, outputs=names[2:])
    check_on_its_way(path, **normalisation)


@pytest.mark.parametrize("weight", ["logits", "frame", "normalise.weight", "id_0"])
def test_a_weight_may_be_called_like_our_tensors(tmp_path: Path, weight: str) -> None:
    check_on_its_way(two_layers(tmp_path / "named.onnx", weight=weight), **IMAGENET)


@pytest.mark.parametrize(
    "names",
    [("to_float", "argmax"), ("split", "best_1"), ("normalise", "ids_cast"), ("Conv_2", "")],
)
def test_a_node_may_be_called_like_ours(tmp_path: Path, names: tuple[str, str]) -> None:
    path = two_layers(tmp_path / "named.onnx", nodes_named=names)
    assert len(layers(check_on_its_way(path, **IMAGENET))) == 2


@pytest.mark.parametrize("ir_version", [3, 8])
def test_weights_may_be_listed_among_the_inputs(tmp_path: Path, ir_version: int) -> None:
    path = tmp_path / "old.onnx"
    two_layers(path, weight_is_input=True, ir_version=ir_version)
    graph = float_graph(registry.load(str(path), classes=LANE))
    plain = float_graph(registry.load(two_layers(tmp_path / "plain.onnx"), classes=LANE))
    frame = noise_frame(8, 8)
    assert [value.name for value in graph.graph.input] == [FRAME]
    assert np.array_equal(run_frame(graph, frame), run_frame(plain, frame))


def branching() -> onnx.ModelProto:
    """``logits = then ? 2 * frame : frame``, where only the branches read the frame."""
    value = helper.make_tensor_value_info
    twice = helper.make_graph(
        [helper.make_node("Add", ["frame", "frame"], ["pixels"])],
        "twice",
        [],
        [value("pixels", TensorProto.FLOAT, [2])],
    )
    same = helper.make_graph(
        [helper.make_node("Identity", ["frame"], ["same"])],
        "same",
        [],
        [value("same", TensorProto.FLOAT, [2])],
    )
    nodes = [
        helper.make_node("Neg", ["given"], ["frame"]),
        helper.make_node("Neg", ["given"], ["unused"]),
        helper.make_node("ReduceSum", ["given"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["then"], to=TensorProto.BOOL),
        helper.make_node("If", ["then"], ["out"], then_branch=twice, else_branch=same),
    ]
    graph = helper.make_graph(
        nodes,
        "branching",
        [value("given", TensorProto.FLOAT, [2])],
        [value("out", TensorProto.FLOAT, [2])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_what_a_branch_reads_is_used_and_renamed_there_too() -> None:
    model = branching()
    remove_unused(model)
    assert operators(model) == ["Neg", "ReduceSum", "Cast", "If"]
    rename(model.graph, {"frame": "other", "pixels": "others"})
    assert not any(OUR_NAMES.fullmatch(name) for n in model.graph.node for name in n.output)
    onnx.checker.check_model(model, full_check=True)
    assert run(model, np.array([1, 2], np.float32)).tolist() == [-2, -4]
    assert run(model, np.array([1, -1], np.float32)).tolist() == [-1, 1]
