"""LiteRT's files hold what the recipe says, and its sessions give what the file says."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from edge_seg import engines
from edge_seg.classes import LANE
from edge_seg.engines.litert.flatbuffer import rewrite
from edge_seg.engines.litert.lowering import lower
from edge_seg.engines.litert.session import ClassIds
from edge_seg.engines.lowering import CannotLowerError, Source
from edge_seg.errors import EdgeSegError, MissingRuntimeError
from edge_seg.frames import FrameSet
from edge_seg.models.model import Model, from_network
from edge_seg.preprocess import InputSpec, normalise, resize
from edge_seg.quantize import Recipe, collect_ranges, float_graph
from edge_seg.quantize.graph import layers

HEIGHT, WIDTH = 32, 64


class Small(nn.Module):
    """What a U-Net is made of, and a depthwise ReLU6 block, in five layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.pool = nn.MaxPool2d(2)
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6())
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.join = nn.Sequential(nn.Conv2d(16, 8, 3, stride=1, padding=1), nn.ReLU())
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first = self.stem(images)
        return self.head(self.join(torch.cat([first, self.up(self.deep(self.pool(first)))], 1)))


def model_of(spec: InputSpec) -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = Small()
    return from_network("small", network, spec, LANE, "drawn by the tests")


def source_of(model: Model, frames: FrameSet, float_layers: tuple[str, ...] = ()) -> Source:
    graph = float_graph(model)
    small = [resize(frames.image(index), model.input) for index in range(6)]
    recipe = Recipe(
        model_digest="m",
        calibration_digest="c",
        layers=tuple(layers(graph)),
        float_layers=float_layers,
        ranges=collect_ranges(graph, small),
    )
    return Source(model, graph, recipe, small)


@pytest.fixture(scope="module")
def source(road_frames: FrameSet) -> Source:
    return source_of(model_of(InputSpec(HEIGHT, WIDTH)), road_frames)


@pytest.fixture(scope="module")
def int8(source: Source) -> bytes:
    return lower(source, "int8", {})


def operators(model: bytes) -> Counter[tuple[str, str]]:
    """Count (operator, type of what it writes), delegates aside."""
    interpreter = Interpreter(model_content=model)
    types = {d["index"]: np.dtype(d["dtype"]).name for d in interpreter.get_tensor_details()}
    return Counter(
        (operator["op_name"], types[operator["outputs"][0]])
        for operator in interpreter._get_ops_details()
        if operator["op_name"] != "DELEGATE"
    )


def run(model: bytes, value: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_the_int8_file_has_no_float_and_no_transpose(int8: bytes) -> None:
    found = operators(int8)
    assert {kind for _, kind in found} == {"int8"}
    assert not any("TRANSPOSE" in name and name != "TRANSPOSE_CONV" for name, _ in found)
    assert found["CONV_2D", "int8"] == 3
    assert found["DEPTHWISE_CONV_2D", "int8"] == 1
    assert found["TRANSPOSE_CONV", "int8"] == 1
    (given,) = Interpreter(model_content=int8).get_input_details()
    assert given["dtype"] is np.int8 and given["quantization"] == (1.0, -128)


def test_the_grids_are_the_recipes_ranges(source: Source, int8: bytes) -> None:
    """int8 on (low, high), zero included: scale = (high - low) / 255.

    But for what a concatenation joins: that is on the grid of the whole.
    """
    details = Interpreter(model_content=int8).get_tensor_details()
    scales = {d["name"]: d["quantization"][0] for d in details if d["quantization"][0]}
    expected = {
        name: (max(high, 0.0) - min(low, 0.0)) / 255
        for name, (low, high) in source.recipe.ranges.items()
        if name in scales
    }
    apart = [n for n in expected if scales[n] != pytest.approx(expected[n], rel=1e-5)]
    assert len(expected) - len(apart) >= 4
    joined = next(node for node in source.graph.graph.node if node.op_type == "Concat")
    assert set(apart) <= set(joined.input)


def test_weights_are_int8_per_channel_and_symmetric(int8: bytes) -> None:
    details = Interpreter(model_content=int8).get_tensor_details()
    weights = [
        d for d in details if d["dtype"] is np.int8 and len(d["shape"]) == 4 and d["shape"][0] != 1
    ]
    assert len(weights) >= 4
    for weight in weights:
        assert len(weight["quantization_parameters"]["scales"]) == weight["shape"][0]
        assert not weight["quantization_parameters"]["zero_points"].any()


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "w8a16"])
def test_each_precision_computes_the_network(source: Source, precision: str) -> None:
    model = lower(source, precision, {})
    frame = source.frames[0]
    session = engines.find("litert").open(model, source.model.input, {}, threads=1)
    session.preprocess(frame)
    session.infer()
    module = source.model.module
    assert module is not None
    with torch.inference_mode():
        logits = module(torch.from_numpy(normalise(frame, source.model.input)))[0].numpy()
    second, first = np.sort(logits, axis=0)[-2:]
    clear = first - second > (1e-3 if precision == "float32" else 0.05 * np.abs(logits).max())
    assert clear.any()
    assert (session.ids() == logits.argmax(0))[clear].all()
    session.close()


@pytest.mark.parametrize(
    "spec",
    [
        InputSpec(HEIGHT, WIDTH, std=(0.5, 0.25, 1.0)),
        InputSpec(HEIGHT, WIDTH, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    ],
    ids=["folded", "a step of its own"],
)
def test_normalisation_and_channel_order_are_in_the_file(
    spec: InputSpec, road_frames: FrameSet
) -> None:
    source = source_of(model_of(spec), road_frames)
    frame = source.frames[0]
    module = source.model.module
    assert module is not None
    with torch.inference_mode():
        expected = module(torch.from_numpy(normalise(frame, spec)))[0].permute(1, 2, 0).numpy()
    got = run(lower(source, "float32", {}), frame[None].astype(np.float32))[0]
    np.testing.assert_allclose(got, expected, atol=1e-3)
    int8 = lower(source, "int8", {})
    assert {kind for _, kind in operators(int8)} == {"int8"}


def test_float_layers_stay_float(road_frames: FrameSet, source: Source) -> None:
    kept = source_of(source.model, road_frames, ("join.0",))
    found = operators(lower(kept, "int8", {}))
    assert found["CONV_2D", "float32"] == 1
    assert found["CONV_2D", "int8"] == 2


def test_the_old_runtime_gets_no_dynamic_transposed_convolution(source: Source) -> None:
    interpreter = Interpreter(model_content=lower(source, "dynamic", {}))
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    for operator in interpreter._get_ops_details():
        if operator["op_name"] == "TRANSPOSE_CONV":
            assert details[operator["inputs"][1]]["dtype"] is np.float32


def test_rewriting_keeps_the_outputs_and_saves_bytes(int8: bytes, source: Source) -> None:
    pixels = (source.frames[0].astype(np.int16) - 128).astype(np.int8)[None]
    details = Interpreter(model_content=int8).get_tensor_details()
    names = {d["name"]: f"renamed-{d['index']}" for d in details}
    renamed = rewrite(int8, names)
    np.testing.assert_array_equal(run(renamed, pixels), run(int8, pixels))
    assert rewrite(int8, {}) == rewrite(rewrite(int8, {}), {})
    assert len(rewrite(int8, {})) <= len(int8)


def test_lowering_twice_gives_the_same_bytes(source: Source, int8: bytes) -> None:
    assert lower(source, "int8", {}) == int8


def test_a_model_that_came_as_onnx_is_declined(source: Source) -> None:
    came = Model("m", source.model.input, LANE, None, b"onnx", "the tests", "digest")
    with pytest.raises(CannotLowerError, match=r"came as ONNX.*\.pt2"):
        lower(Source(came, source.graph, source.recipe, source.frames), "int8", {})


class Exotic(nn.Module):
    """Uses an operator that LiteRT's converter has no lowering for."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images) + torch.linalg.svdvals(images[0, 0]).sum()


def test_an_operator_that_cannot_be_converted_is_named(source: Source) -> None:
    model = Model("m", source.model.input, LANE, Exotic().eval(), None, "the tests", "digest")
    with pytest.raises(CannotLowerError, match="svd"):
        lower(Source(model, source.graph, source.recipe, source.frames), "int8", {})


@given(
    st.sampled_from([np.int8, np.int16, np.float32]).flatmap(
        lambda kind: arrays.arrays(
            kind,
            st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9)),
            elements={"allow_nan": False} if kind is np.float32 else None,
        )
    )
)
def test_class_ids_are_numpys_argmax(logits: np.ndarray) -> None:
    height, width, _ = logits.shape
    np.testing.assert_array_equal(ClassIds(height, width)(logits), logits.argmax(-1))


def test_equal_logits_give_the_lower_class() -> None:
    logits = np.array([[[1, 1, 1], [0, 5, 5], [-3, -4, -3]]], np.int8)
    assert ClassIds(1, 3)(logits).tolist() == [[0, 1, 0]]


def test_a_session_uses_the_files_grid(source: Source, int8: bytes) -> None:
    """On (1, -128) a pixel p is p - 128."""
    session = engines.find("litert").open(int8, source.model.input, {}, threads=1)
    frame = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
    session.preprocess(frame)
    written = session._input()[0]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(written, frame.astype(np.int16) - 128)
    del written
    session.close()


@pytest.mark.parametrize("cut", [0, 4, 100, -50])
def test_a_truncated_file_is_one_line(int8: bytes, source: Source, cut: int) -> None:
    with pytest.raises(EdgeSegError, match="LiteRT refuses the model") as caught:
        engines.find("litert").open(int8[:cut], source.model.input, {}, threads=1)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_size_is_refused(int8: bytes) -> None:
    with pytest.raises(EdgeSegError, match="pack the model again"):
        engines.find("litert").open(int8, InputSpec(64, 64), {}, threads=1)


def test_the_old_runtime_with_numpy_2_says_so(
    int8: bytes, source: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tflite_runtime").mkdir()
    (tmp_path / "tflite_runtime" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(MissingRuntimeError, match=r"numpy<2"):
        engines.find("litert").open(int8, source.model.input, {}, threads=1)


def test_the_graph_and_the_file_share_names(source: Source, int8: bytes) -> None:
    names = {d["name"] for d in Interpreter(model_content=int8).get_tensor_details()}
    written = {name for node in source.graph.graph.node for name in node.output}
    assert isinstance(source.graph, onnx.ModelProto)
    assert len(names & written) >= 4


OUTPUTS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "TRANSPOSE_CONV": 0}
"""By layer: the axis of its weights that counts output channels."""


def opened(model: bytes) -> Interpreter:
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    return interpreter


def of_names(interpreter: Interpreter) -> dict[str, dict]:
    return {details["name"]: details for details in interpreter.get_tensor_details()}


def float_weights(source: Source) -> dict[str, tuple[str, np.ndarray]]:
    """Return by a tensor's name its layer's kind, and what the float file has in it."""
    interpreter = opened(lower(source, "float32", {}))
    names = {d["index"]: d["name"] for d in interpreter.get_tensor_details()}
    return {
        names[operator["inputs"][1]]: (
            operator["op_name"],
            interpreter.get_tensor(operator["inputs"][1]).copy(),
        )
        for operator in interpreter._get_ops_details()
        if operator["op_name"] in OUTPUTS
    }


@pytest.mark.parametrize(
    ("precision", "weights", "between"),
    [
        ("float32", np.float32, np.float32),
        ("float16", np.float16, np.float32),
        ("dynamic", np.int8, np.float32),
        ("w8a16", np.int8, np.int16),
        ("int8", np.int8, np.int8),
    ],
)
def test_each_precision_has_its_types(
    source: Source, precision: str, weights: type, between: type
) -> None:
    model = lower(source, precision, {})
    interpreter = opened(model)
    found = of_names(interpreter)
    for name, (kind, value) in float_weights(source).items():
        # tflite-runtime has no dynamic kernel for it.
        stays = precision == "dynamic" and kind == "TRANSPOSE_CONV"
        assert found[name]["dtype"] is (np.float32 if stays else weights), name
        if weights is np.float16:
            given = interpreter.get_tensor(found[name]["index"])
            np.testing.assert_array_equal(given, value.astype(np.float16))
    ends = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    assert {details["dtype"] for details in ends} == {between}
    computed = {kind for (operator, kind) in operators(model) if operator != "DEQUANTIZE"}
    assert computed == {np.dtype(between).name}


def test_sixteen_bits_are_symmetric_on_the_recipes_ranges(source: Source) -> None:
    """32767 steps to the larger end, but for what a concatenation joins: that has the whole's."""
    found = of_names(opened(lower(source, "w8a16", {})))
    ranges = dict(source.recipe.ranges)
    joined = next(node for node in source.graph.graph.node if node.op_type == "Concat")
    ranges.update(dict.fromkeys(joined.input, ranges[joined.output[0]]))
    # A max-pooling passes the grid of its input on.
    pooled = next(node for node in source.graph.graph.node if node.op_type == "MaxPool")
    ranges[pooled.output[0]] = ranges[pooled.input[0]]
    known = [name for name in ranges if name in found]
    assert len(known) >= 6
    for name in known:
        scale, zero_point = found[name]["quantization"]
        assert zero_point == 0
        assert scale == pytest.approx(max(map(abs, ranges[name])) / 32767, rel=1e-5), name


@pytest.mark.parametrize(("precision", "last"), [("int8", 64), ("w8a16", 127), ("dynamic", 127)])
def test_weights_lie_on_their_grid(source: Source, precision: str, last: int) -> None:
    """Of int8 it is the recipe's, whose largest whole number of every output channel is 64."""
    assert source.recipe.weights.last_step == 64
    interpreter = opened(lower(source, precision, {}))
    found = of_names(interpreter)
    for name, (kind, value) in float_weights(source).items():
        if found[name]["dtype"] is not np.int8:
            continue
        grid, axis = found[name]["quantization_parameters"], OUTPUTS[kind]
        assert not grid["zero_points"].any() and grid["quantized_dimension"] == axis
        whole = np.moveaxis(interpreter.get_tensor(found[name]["index"]).astype(int), axis, -1)
        exact = np.moveaxis(value, axis, -1)
        channels = tuple(range(whole.ndim - 1))
        assert (np.abs(whole).max(channels) == last).all()
        largest = np.abs(exact).max(channels)
        np.testing.assert_allclose(grid["scales"], largest / last, rtol=1e-5)
        off = np.abs(whole * grid["scales"] - exact) / grid["scales"]
        assert off.max() <= 0.5 + 1e-4
