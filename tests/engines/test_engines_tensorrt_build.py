"""The TensorRT adapter and its builder, on NVIDIA's own: TensorRT for RTX, which needs no GPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_seg.engines.tensorrt import api as adapter
from edge_seg.engines.tensorrt import build as building
from edge_seg.engines.tensorrt import messages
from edge_seg.engines.tensorrt.api import MODULES, Api, load_api
from edge_seg.engines.tensorrt.build import BuildError, Built, Settings, build
from edge_seg.engines.tensorrt.messages import Message, last_error, shortened
from edge_seg.errors import EdgeSegError, MissingRuntimeError

SM86 = Settings(compute_capability="SM86")


@pytest.fixture(scope="module")
def rtx() -> Api:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    return load_api("tensorrt_rtx_bindings")


def graph(count: int = 2, kind: Any = np.int8, zero: int = 0) -> bytes:
    """A chain of int8 convolutions, conv_0 to the last, between a frame and ids."""
    inits, nodes = [], []

    def node(operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(name: str, value: Any) -> str:
        inits.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    weights = np.random.default_rng(0).integers(-127, 128, (3, 3, 3, 3), np.int8)
    last = node("Transpose", [node("Cast", ["frame"], "to_float", to=TensorProto.FLOAT)], "planes")
    nodes[-1].attribute.append(helper.make_attribute("perm", [0, 3, 1, 2]))
    scale, point = constant("scale", np.float32(0.1)), constant("zero", kind(zero))
    scales = constant("scales", np.full(3, 0.01, np.float32))
    points = constant("zeros", np.zeros(3, np.int8))
    for index in range(count):
        last = node("QuantizeLinear", [last, scale, point], f"q_{index}")
        last = node("DequantizeLinear", [last, scale, point], f"dq_{index}")
        kernel = constant(f"w_{index}", weights)
        kernel = node("DequantizeLinear", [kernel, scales, points], f"wdq_{index}", axis=0)
        last = node("Conv", [last, kernel], f"conv_{index}", pads=[1] * 4)
    last = node("ArgMax", [last], "best", axis=1)
    node("Cast", [last], "ids", to=TensorProto.UINT8)
    made = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, 16, 32, 3])],
        [helper.make_tensor_value_info("ids", TensorProto.UINT8, [1, 1, 16, 32])],
        inits,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


# What TensorRT versions that cannot be installed here have: names, which is all that is asked.
WITHOUT_TYPING = {"EXPLICIT_BATCH": 0}
VERSIONS = {
    "8.5.2.2": (WITHOUT_TYPING, ("INT8", "FP16")),
    "10.3.0": ({"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}, ("INT8", "FP16")),
    "11.0.0": ({"STRONGLY_TYPED": 1}, ()),
    "11.9.0": ({}, ()),
}


def named(version: str, monitor: bool = True) -> Api:
    network, flags = VERSIONS[version]
    module = SimpleNamespace(
        NetworkDefinitionCreationFlag=SimpleNamespace(**network),
        BuilderFlag=SimpleNamespace(**{flag: flag for flag in flags}),
        IBuilderConfig=SimpleNamespace(),
    )
    return Api(module, "tensorrt", version)


@pytest.mark.parametrize(
    ("version", "dla", "network", "precision"),
    [
        ("8.5.2.2", False, 0b01, ["INT8", "FP16"]),
        ("8.5.2.2", True, 0b01, ["INT8", "FP16"]),
        ("10.3.0", False, 0b11, []),
        ("10.3.0", True, 0b01, ["INT8", "FP16"]),
        ("11.0.0", False, 0b10, []),
        ("11.0.0", True, 0b10, []),
        ("11.9.0", False, 0, []),
    ],
)
def test_the_graph_types_a_network_where_it_can(
    version: str, dla: bool, network: int, precision: list[str]
) -> None:
    api = named(version)
    assert api.network_flags(dla) == network
    assert api.precision_flags(True, False, dla) == precision
    assert api.precision_flags(False, True, dla) == precision[1:]
    assert api.precision_flags(False, False, dla) == []


@pytest.mark.parametrize("capability", ["7.5", "8.6", "8.9", "12.0"])
def test_tensorrt_for_rtx_runs_on_what_it_builds_for(rtx: Api, capability: str) -> None:
    rtx.require_runs_on("a GPU", capability)


@pytest.mark.parametrize("capability", ["9.0", "8.7"])
def test_tensorrt_for_rtx_refuses_other_gpus(rtx: Api, capability: str) -> None:
    with pytest.raises(EdgeSegError, match=rf"does not run on a GPU, compute .* {capability}: pip"):
        rtx.require_runs_on("a GPU", capability)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("Runtime", ["deserialize_cuda_engine", "DLA_core"]),
        (
            "ICudaEngine",
            [
                *("num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_dtype"),
                *("get_tensor_shape", "create_execution_context"),
            ],
        ),
        ("IExecutionContext", ["set_tensor_address", "execute_async_v3"]),
        ("TensorIOMode", ["OUTPUT"]),
        ("DataType", ["HALF"]),
        ("LayerType", ["QUANTIZE"]),
    ],
)
def test_every_name_that_a_session_calls_is_there(rtx: Api, kind: str, names: list[str]) -> None:
    assert [name for name in names if not hasattr(getattr(rtx.module, kind), name)] == []


def test_any_tensorrt_of_its_own_may_run_anywhere() -> None:
    named("10.3.0").require_runs_on("Orin", "8.7")


def test_only_tensorrt_for_rtx_builds_ahead() -> None:
    with pytest.raises(EdgeSegError, match=r"tensorrt 10\.3\.0 builds for the GPU of this machine"):
        named("10.3.0").capability("SM86")


@pytest.mark.parametrize("version", ["8.5.0", "8.6.1.6", "10.0.0b6", "10.3.0.30", "11.4.0.106"])
def test_known_versions(version: str) -> None:
    adapter.require_known("tensorrt", version)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("8.4.3", "8.4.3 is too old.*JetPack 5.1"),
        ("7.1", "too old"),
        ("12.0.0", "12.0.0 is too new.*'tensorrt<12'"),
    ],
)
def test_unknown_versions(version: str, words: str) -> None:
    with pytest.raises(EdgeSegError, match=words):
        adapter.require_known("tensorrt", version)


def test_rtx_counts_its_versions_from_one(rtx: Api) -> None:
    assert rtx.name == "tensorrt-rtx"
    assert rtx.numbers[0] == 1
    assert rtx.strongly_typed and rtx.builds_ahead and rtx.reports_progress
    assert rtx.network_flags() != 0
    assert rtx.precision_flags(True, True) == []


def test_versions_are_numbers() -> None:
    assert Api(None, "tensorrt", "10.0.0b6").numbers == (10, 0, 0)


def test_no_tensorrt_names_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingRuntimeError, match=r"python3-libnvinfer.*pip install tensorrt"):
        load_api()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "raise ImportError('libnvinfer.so.8: cannot open shared object file\\nmore')",
            "cannot be imported: libnvinfer.so.8: cannot open shared object file",
        ),
        ("import _no_such_part", "No module named '_no_such_part'"),
        ("raise RuntimeError('this wheel is a stub')", "this wheel is a stub"),
        ("", "holds no builder"),
        ("__version__ = '8.4.1'\nBuilder = None", "8.4.1 is too old"),
    ],
)
def test_a_tensorrt_that_does_not_import(
    content: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(EdgeSegError, match=words) as caught:
        load_api("tensorrt")
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    assert "\n" not in str(caught.value)


def test_another_module_is_taken_where_one_is_broken(
    rtx: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.8')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    assert load_api().name == "tensorrt-rtx"


def test_an_unknown_module() -> None:
    with pytest.raises(EdgeSegError, match="did you mean 'tensorrt'"):
        load_api("tensorflow_rt")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "Assertion failed: shiftIsAllZeros(zeroPoint): Non-zero zero point is not supported. "
            "Please set kENABLE_UINT8 to enable it.",
            "Non-zero zero point is not supported",
        ),
        (
            "Invalid Node - b\nITensor::getDimensions: Error Code 4: API Usage Error (b: input has "
            "type Int32 but must have type Int8. In checkType at /_src/nodeBase.cpp:456)\n"
            "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError)",
            "b: input has type Int32 but must have type Int8",
        ),
        (
            "IBuilder::buildSerializedNetwork: Error Code 1: Myelin ([pass.cpp:337: check] Cannot "
            "compile 'up' for Turing (SM75): no GEMM. In compileGraph at /_src/code.cpp:2012)",
            "Cannot compile 'up' for Turing (SM75): no GEMM",
        ),
        ("something new", "something new"),
        ("", ""),
    ],
)
def test_a_reason_is_one_short_line(said: str, reason: str) -> None:
    assert shortened(said) == reason


def test_the_error_that_tells_something() -> None:
    said = [
        Message("ERROR", "first"),
        Message("INTERNAL_ERROR", "Error Code 10: Internal Error (no kernel for node x.)"),
        Message("ERROR", "Error Code 2: Internal Error (Assertion engine != nullptr failed. )"),
        Message("INFO", "done"),
    ]
    assert last_error(said) == "no kernel for node x"
    assert last_error(said[2:]).startswith("Assertion engine")
    assert last_error([]) == "it does not say why"


def test_memory_is_told_from_other_reasons() -> None:
    """Said by TensorRT 7 to 10 in NVIDIA's issues #477 and #4258, and by 1.7 for RTX here."""
    lacking = [
        "Error Code 1: Cuda Runtime (out of memory)",
        "OutOfMemory Error in computeCosts: 0",
        "Requested amount of GPU memory (15485030400 bytes) could not be allocated.",
        "Unexpected exception std::bad_alloc",
    ]
    assert all(messages.says([text], messages.MEMORY) for text in lacking)
    other = "Could not find any implementation for node conv due to insufficient workspace."
    assert not messages.says([other], messages.MEMORY)
    assert messages.says([other], messages.WORKSPACE)


@pytest.mark.parametrize("capability", ["SM80", "SM86", "SM89", "SM120"])
def test_a_graph_is_built_ahead_of_time(rtx: Api, capability: str) -> None:
    built = build(rtx, graph(), Settings(compute_capability=capability))
    assert len(built.plan) > 10_000
    assert not any(line.startswith("Layers:") for line in built.log)


def test_a_verbose_log_names_the_layers(rtx: Api) -> None:
    log = build(rtx, graph(), SM86, verbose=True).log
    assert any(line.startswith("Layers:") and "conv_1" in line for line in log)


def test_nothing_is_printed(rtx: Api, capfd: pytest.CaptureFixture[str]) -> None:
    build(rtx, graph(), SM86)
    with pytest.raises(BuildError):
        build(rtx, b"no model", SM86)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (graph(kind=np.uint8, zero=128), "QuantizeLinear 'q_0': Non-zero zero point is not suppor"),
        (b"", "no ONNX file"),
        (bytes(range(256)) * 8, "no ONNX file"),
        (graph()[:300], "no ONNX file"),
        # Its last node reads a tensor that is no text, nor there: even the refusal is no text.
        (graph().replace(b"\n\x04best\x12\x03ids", b"\n\x04be\xe4t\x12\x03ids"), "refuses|no ONNX"),
        (graph().replace(b"ArgMax", b"ArgMix"), "ArgMix 'best'"),
    ],
)
def test_what_is_refused_is_one_line(rtx: Api, model: bytes, words: str) -> None:
    with pytest.raises(BuildError, match=words) as caught:
        build(rtx, model, SM86)
    assert "\n" not in str(caught.value)


def test_a_timing_cache_goes_round(rtx: Api) -> None:
    first = build(rtx, graph(), SM86)
    assert first.timing_cache
    again = build(rtx, graph(), SM86, timing_cache=first.timing_cache)
    assert again.timing_cache
    assert len(again.plan) == len(first.plan)


@pytest.mark.parametrize("cache", [b"\0", b"no cache at all", bytes(range(256)) * 64])
def test_a_corrupt_timing_cache_is_begun_anew(rtx: Api, cache: bytes) -> None:
    built = build(rtx, graph(), SM86, timing_cache=cache)
    assert built.timing_cache and built.timing_cache != cache


def test_an_old_builder_in_a_cycle_does_not_end_during_a_new_one_s_build(rtx: Api) -> None:
    """The end of a builder in a callback of another's waits for ever on the library's lock."""
    script = """
import gc
from test_engines_tensorrt_build import SM86, build, graph, load_api
from edge_seg.engines.tensorrt import api as adapter

def message(*words):
    if gc.isenabled():  # as the collector may run at any allocation
        gc.collect()
    return Message(*words)

Message, adapter.Message = adapter.Message, message
gc.set_threshold(0)  # the collector runs where this script says so, and nowhere else
rtx = load_api("tensorrt_rtx_bindings")
logger = adapter.make_logger(rtx, False)
cycle = {"logger": logger, "builder": adapter.make_builder(rtx, logger)}
cycle["itself"] = cycle
del cycle, logger
assert build(rtx, graph(), SM86).plan
assert gc.isenabled()
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=90, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_progress_is_shown_in_percents(rtx: Api) -> None:
    seen: list[Any] = []

    def track(items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
        seen.extend((description, total))
        for item in items:
            seen.append(item)
            yield item

    build(rtx, graph(), SM86, track=track)
    assert seen == ["building the engine", 100, *range(1, 101)]


@pytest.mark.parametrize("percent", [1, 40])
def test_what_a_display_raises_ends_the_build(rtx: Api, percent: int) -> None:
    def track(items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
        for item in items:
            if item == percent:
                raise KeyError("closed")
            yield item

    with pytest.raises(KeyError):
        build(rtx, graph(), SM86, track=track)
    assert not any(thread.name == "tensorrt-build" for thread in threading.enumerate())


def test_ctrl_c_ends_the_build(rtx: Api) -> None:
    deep = graph(count=150)
    begun = time.monotonic()
    build(rtx, deep, SM86)
    whole = time.monotonic() - begun

    def track(items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
        for item in items:
            if item == 5:
                os.kill(os.getpid(), signal.SIGINT)
            yield item

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        build(rtx, deep, SM86, track=track)
    assert time.monotonic() - begun < 0.7 * whole
    assert not any(thread.name == "tensorrt-build" for thread in threading.enumerate())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_no_dla_core(rtx: Api) -> None:
    with pytest.raises(EdgeSegError, match=r"no DLA core here.*leave DLA out"):
        build(rtx, graph(), Settings(dla=True, compute_capability="SM86"))


def test_an_unknown_gpu(rtx: Api) -> None:
    with pytest.raises(EdgeSegError, match="unknown compute capability 'SM87': did you mean"):
        build(rtx, graph(), Settings(compute_capability="SM87"))


def test_a_workspace_that_is_too_small(rtx: Api) -> None:
    with pytest.raises(BuildError, match=r"workspace of .* MB is too small"):
        build(rtx, graph(), Settings(workspace_bytes=1, compute_capability="SM86"))
    assert build(rtx, graph(), Settings(workspace_bytes=1 << 28, compute_capability="SM86")).plan


@pytest.mark.parametrize(
    ("said", "settings", "kind"),
    [
        ("Cuda Runtime (out of memory)", SM86, building._NoMemoryError),
        ("Cuda Runtime (out of memory)", Settings(1 << 20), building._NoMemoryError),
        ("no node due to insufficient workspace", SM86, building._NoMemoryError),
        ("no node due to insufficient workspace", Settings(1 << 20), building._SmallWorkspaceError),
        ("no kernel for node x", SM86, BuildError),
    ],
)
def test_what_a_build_without_a_plan_means(
    said: str, settings: Settings, kind: type[EdgeSegError]
) -> None:
    error = building._refusal(named("10.3.0"), [Message("ERROR", said)], settings, 1 << 20)
    assert type(error) is kind


@pytest.mark.parametrize("again", [False, True])
def test_where_memory_runs_out_it_is_tried_once_more(
    rtx: Api, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen for real with an address space of 200 to 400 MB, which is no test for all machines."""
    asked = []

    def attempt(api: Api, watch: Any, model: bytes, settings: Settings, *others: Any) -> Built:
        asked.append(settings.workspace_bytes)
        if len(asked) == 1 or again:
            raise building._NoMemoryError(settings.workspace_bytes or 1 << 30)
        return Built(b"plan", b"", ())

    monkeypatch.setattr(building, "_attempt", attempt)
    if again:
        with pytest.raises(EdgeSegError, match=r"memory ran out .* add swap"):
            build(rtx, b"", Settings())
    else:
        assert build(rtx, b"", Settings()).plan == b"plan"
    assert asked == [None, 1 << 29]
