"""The judge: NVIDIA's builder on a host, what it refuses and what it says of a graph."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_seg.errors import EdgeSegError, MissingRuntimeError
from targets.jetson import check
from targets.jetson.builder_log import examine, read_layers
from targets.jetson.check import (
    CAPABILITIES,
    GraphRefusedError,
    Judgement,
    float_convolutions,
    judge,
)

needs_builder = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx_bindings") is None,
    reason="TensorRT for RTX is not installed (it is for x86_64 Linux)",
)
SHAPE = (16, 32)
ONE = ("SM86",)


class Graph:
    """A graph in the making: nodes are called as what they give."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, value: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def pair(self, x: str, name: str, kind: Any = np.int8, zero: int = 0) -> str:
        """Put a Q/DQ pair behind a tensor."""
        terms = [
            self.constant(f"{name}_s", np.float32(0.1)),
            self.constant(f"{name}_z", kind(zero)),
        ]
        x = self.node("QuantizeLinear", [x, *terms], f"{name}_q")
        return self.node("DequantizeLinear", [x, *terms], f"{name}_dq")

    def dequantized(self, name: str, values: Any, scale: float, axis: int = 0) -> str:
        count = values.shape[axis]
        terms = [
            self.constant(f"{name}_q", values),
            self.constant(f"{name}_s", np.full(count, scale, np.float32)),
            self.constant(f"{name}_z", np.zeros(count, values.dtype)),
        ]
        return self.node("DequantizeLinear", terms, name, axis=axis)

    def weight(self, name: str, shape: tuple[int, ...], int8: bool) -> str:
        values = np.random.default_rng(0).integers(-127, 128, shape).astype(np.int8)
        if int8:
            return self.dequantized(name, values, 0.01)
        return self.constant(name, np.float32(0.01) * values)

    def finished(self) -> bytes:
        """Return the file; the last node gives the ids."""
        height, width = SHAPE
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, height, width, 3])],
            [helper.make_tensor_value_info("ids", TensorProto.UINT8, [1, 1, height, width])],
            self.constants,
        )
        opset = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def two_convolutions(
    int8: Iterable[str] = ("a", "b"), kind: Any = np.int8, zero: int = 0, int32_bias: bool = False
) -> bytes:
    """Two convolutions, a and b, with a ReLU between; those named have Q/DQ pairs."""
    graph = Graph()
    x = graph.node("Cast", ["frame"], "to_float", to=TensorProto.FLOAT)
    x = graph.node("Transpose", [x], "planes", perm=[0, 3, 1, 2])
    for name, (outputs, inputs) in {"a": (16, 3), "b": (3, 16)}.items():
        if name in int8:
            x = graph.pair(x, f"{name}_in", kind, zero)
        weight = graph.weight(f"{name}_w", (outputs, inputs, 3, 3), name in int8)
        bias = (
            graph.dequantized(f"{name}_b", np.ones(outputs, np.int32), 0.001)
            if int32_bias
            else graph.constant(f"{name}_b", np.ones(outputs, np.float32))
        )
        x = graph.node("Conv", [x, weight, bias], name, pads=[1] * 4)
        if name == "a":
            x = graph.node("Relu", [x], "relu")
    graph.node("Cast", [graph.node("ArgMax", [x], "best", axis=1)], "ids", to=TensorProto.UINT8)
    return graph.finished()


@pytest.fixture(scope="module")
def judged() -> Judgement:
    return judge(two_convolutions())


@needs_builder
def test_a_good_graph_builds_for_all_four(judged: Judgement) -> None:
    assert judged.runtime == "tensorrt-rtx"
    assert judged.runtime_version[0].isdigit()
    assert tuple(build.capability for build in judged.builds) == CAPABILITIES
    for build in judged.builds:
        assert build.plan_bytes > 10_000
        assert build.kernels > 2
        assert build.seconds is not None and 0 < build.seconds < 60
        assert build.activation_bytes is not None and build.activation_bytes > 10_000
        assert build.weight_bytes is not None and build.weight_bytes >= 2 * 16 * 3 * 9
    assert judged.notes == []


@needs_builder
def test_its_layers_are_int8(judged: Judgement) -> None:
    convolutions = [layer for layer in judged.layers if layer.kind == "correlation"]
    assert [layer.input_type for layer in convolutions] == ["Int8", "Int8"]
    assert "a" in convolutions[0].fused and "a_in_dq" in convolutions[0].fused
    assert "b" in convolutions[1].fused
    assert judged.layers[0].input_type == "UInt8" and judged.layers[-1].output_type == "UInt8"
    assert any("relu" in layer.fused and "b_in_q" in layer.fused for layer in judged.layers)
    assert float_convolutions(judged) == []


@needs_builder
def test_a_judgement_is_json(judged: Judgement) -> None:
    assert msgspec.json.decode(msgspec.json.encode(judged), type=Judgement) == judged


@needs_builder
@pytest.mark.parametrize(
    ("int8", "floats"), [(("a",), ["b"]), (("b",), ["a"]), ((), ["a", "b"])], ids=str
)
def test_a_float_convolution_is_told(int8: tuple[str, ...], floats: list[str]) -> None:
    judgement = judge(two_convolutions(int8), ONE)
    assert float_convolutions(judgement) == floats
    assert float_convolutions(judgement, floats) == []


@needs_builder
def test_float_products_and_transposed_convolutions_are_told() -> None:
    graph = Graph()
    x = graph.node("Cast", ["frame"], "to_float", to=TensorProto.FLOAT)
    x = graph.node("Transpose", [x], "planes", perm=[0, 3, 1, 2])
    weight = graph.weight("down_w", (8, 3, 2, 2), True)
    x = graph.node("Conv", [graph.pair(x, "down_in"), weight], "down", strides=[2, 2])
    x = graph.node("ConvTranspose", [x, graph.weight("up_w", (8, 3, 2, 2), False)], "up")
    graph.nodes[-1].attribute.append(helper.make_attribute("strides", [2, 2]))
    x = graph.node("MatMul", [x, graph.constant("side", np.eye(32, dtype=np.float32) / 2)], "rows")
    graph.node("Cast", [graph.node("ArgMax", [x], "best", axis=1)], "ids", to=TensorProto.UINT8)
    judgement = judge(graph.finished(), ONE)
    assert float_convolutions(judgement) == ["up", "rows"]
    assert float_convolutions(judgement, ["rows"]) == ["up"]


@needs_builder
@pytest.mark.parametrize(
    ("model", "words"),
    [
        (two_convolutions(kind=np.uint8, zero=128), "'a_in_q': Non-zero zero point"),
        (two_convolutions(int32_bias=True), "'a_b': input has type Int32 but must have"),
        (two_convolutions().replace(b"ArgMax", b"ArgMix"), "ArgMix 'best'"),
        (b"", "no ONNX file"),
        (random.Random(0).randbytes(4000), "no ONNX file"),
        (two_convolutions()[:1000], "no ONNX file"),
    ],
    ids=["uint8", "int32-bias", "operator", "empty", "random", "cut"],
)
def test_what_is_refused_is_one_line_with_the_reason(model: bytes, words: str) -> None:
    with pytest.raises(GraphRefusedError, match=words) as caught:
        judge(model)
    assert str(caught.value).endswith("(tried for SM80)")
    assert "\n" not in str(caught.value)


@needs_builder
def test_a_graph_that_ends_the_builder_ends_nothing_else() -> None:
    """The last node has no output: TensorRT for RTX 1.7 dies of it."""
    model = onnx.load_from_string(two_convolutions())
    del model.graph.node[-1].output[:]
    with pytest.raises(EdgeSegError, match=r"ends NVIDIA's builder \(SIGSEGV\)|refuses") as caught:
        judge(model.SerializeToString())
    assert isinstance(caught.value, GraphRefusedError)


@needs_builder
def test_mutated_graphs_end_nothing() -> None:
    good, numbers = two_convolutions(), random.Random(4)
    built, told = 0, []
    for _ in range(15):
        mutated = bytearray(good)
        for _ in range(numbers.choice((1, 1, 2, 5))):
            mutated[numbers.randrange(len(good))] = numbers.randrange(256)
        try:
            built += len(judge(bytes(mutated), ONE).builds)
        except EdgeSegError as error:
            told.append(str(error))
    assert built + len(told) == 15
    assert built and told
    assert not any("\n" in line or "codec" in line for line in told)


@needs_builder
def test_a_build_that_takes_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "LIMIT_S", 0.01)
    with pytest.raises(GraphRefusedError, match="no engine of this graph after 0 s"):
        judge(two_convolutions())


@needs_builder
def test_an_unknown_gpu_is_no_fault_of_the_graph() -> None:
    with pytest.raises(EdgeSegError, match="unknown compute capability 'SM87'") as caught:
        judge(two_convolutions(), ["SM87"])
    assert not isinstance(caught.value, GraphRefusedError)


@needs_builder
def test_the_builds_are_tracked() -> None:
    seen = []

    def track(items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
        for item in items:
            seen.append(total)
            yield item

    judge(two_convolutions(), ("SM86", "SM89"), track)
    assert seen == [2, 2]


@needs_builder
def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(two_convolutions())
    script = (
        "import sys; from pathlib import Path; from targets.jetson.check import judge\n"
        "judge(Path(sys.argv[1]).read_bytes(), ['SM86'] * 500)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, tmp_path / "model.onnx"])
    try:
        children: list[psutil.Process] = []
        end = time.monotonic() + 20
        while not children and time.monotonic() < end:
            time.sleep(0.05)
            children = psutil.Process(parent.pid).children()
        assert children
        time.sleep(0.5)
    finally:
        parent.kill()
        parent.wait()
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_a_missing_runtime_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "RUNTIMES", ("no_such_tensorrt",))
    with pytest.raises(MissingRuntimeError, match=r"pip install 'edge-seg\[jetson-check\]'"):
        judge(b"")


LINE = (
    "Name: {name}_myl0, LayerType: {kind}, Inputs: [ {{ Name: x, Dimensions: [1,2], Strides: "
    "[2,1], Datatype: {source}, Format: (Linear) Row major }}], Constants: [ {{ Name: k, "
    "Dimensions: [2], Datatype: Int8, Format: (NHWC) }}], Outputs: [ {{ Name: y, Dimensions: "
    "[1,2], Datatype: Float, Format: (NHWC) }}], TacticName: t, StreamId: 0, Metadata: {fused}"
)
NODES = ["Parsing node: c [Conv]", "Parsing node: odd [name], yes [Conv]", "Parsing node: r [Relu]"]
FIGURES = [
    "Total Activation Memory: 4096 bytes",
    "Total Weights Memory: 12 bytes",
    "Engine generation completed in 1.25 seconds.",
]


def dump(*layers: tuple[str, str, str, list[str]]) -> str:
    """A list of layers as TensorRT for RTX 1.7 writes it: name, kind, input, nodes in it."""
    lines = []
    for name, kind, source, fused in layers:
        nodes = "\x1f".join(f"[ONNX Layer: {node}]" for node in fused)
        lines.append(LINE.format(name=name, kind=kind, source=source, fused=nodes))
    return "\n".join(["Layers:", *lines, "", "I/O Tensors:", " Name: frame, IOMode: Input"])


def test_a_log_is_read() -> None:
    layers = dump(
        ("quantize", "kgen", "Float", ["c"]),
        ("c", "correlation", "Int8", ["c", "c_dq"]),
        ("odd", "correlation", "Float", ["odd [name], yes", "r"]),
    )
    build, found, note = examine([*NODES, *FIGURES, layers], "SM86", 99)
    assert note == ""
    assert (build.seconds, build.activation_bytes, build.weight_bytes) == (1.25, 4096, 12)
    assert (build.kernels, build.plan_bytes) == (3, 99)
    assert [layer.fused for layer in found] == [["c"], ["c", "c_dq"], ["odd [name], yes", "r"]]
    assert [layer.output_type for layer in found] == ["Float"] * 3
    assert build.float_layers == ["odd [name], yes"]


def test_a_node_that_no_kernel_names_is_not_taken_for_int8() -> None:
    build, _, _ = examine([NODES[0], dump(("k", "kgen", "Int8", ["r"]))], "SM86", 1)
    assert build.float_layers == ["c"]


@pytest.mark.parametrize(
    "log",
    [
        [],
        ["Layers:"],
        [*NODES, "Layers:\nName: x, Type: conv"],
        [*NODES, dump(("c", "correlation", "Int8", ["c"])).replace("LayerType", "Kind")],
        [*NODES, dump(("c", "correlation", "Int8", ["c"])).replace("Outputs", "Results")],
        [*NODES, dump(("c", "correlation", "Int8", ["c"]))[:120]],
        [dump(("c", "correlation", "Int8", ["c"]))],
    ],
)
def test_a_log_of_another_form_is_a_note(log: list[str]) -> None:
    build, layers, note = examine(log, "SM86", 1)
    assert layers == [] and build.float_layers == [] and build.kernels == 0
    assert build.seconds is None
    assert note.startswith("not found in the builder's log: layers, ")


def test_types_of_another_form_are_empty() -> None:
    (layer,) = read_layers([dump(("c", "conv", "Int8", [])).replace("Datatype", "Type")])
    assert (layer.input_type, layer.output_type, layer.fused) == ("", "", [])
