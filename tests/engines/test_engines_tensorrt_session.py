"""A TensorRT session: what it does with the runtime's answers, and, on a GPU, its masks.

`HostTensorRt` stands in for a TensorRT that runs, over `HostGpu`'s memory; its only engine finds
the bright pixels. What refuses a plan here is the real TensorRT for RTX, which needs no GPU to.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from host_gpu import HostGpu

pytest.importorskip("cuda.bindings.driver", reason="cuda-python is not installed")

from edge_seg.engines.tensorrt import cuda, session
from edge_seg.engines.tensorrt.api import Api, load_api, make_logger
from edge_seg.engines.tensorrt.build import Built, Settings
from edge_seg.engines.tensorrt.cuda import Device, device
from edge_seg.engines.tensorrt.plans import plans_folder
from edge_seg.engines.tensorrt.session import TensorRtSession, hardware, open_session, prepare
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from edge_seg.models.model import Model
from edge_seg.preprocess import Frame, InputSpec, Mask, resize

SPEC = InputSpec(4, 6)
ENDS = {"frame": ("UINT8", (1, 4, 6, 3)), "ids": ("UINT8", (1, 1, 4, 6))}


class Logger:
    """TensorRT's base of all loggers."""


WARNING, ERROR = SimpleNamespace(name="WARNING"), SimpleNamespace(name="ERROR")


class Runtime:
    """Runs the plan ``good``, and is the engine and the context too."""

    TensorIOMode = SimpleNamespace(INPUT=1, OUTPUT=2)

    def __init__(self, host: HostGpu, ends: dict[str, Any]) -> None:
        self.host, self.ends = host, ends
        self.log: Any = None
        self.addresses: dict[str, int] = {}
        self.num_io_tensors = len(ends)
        self.out_of_memory = False
        self.refuses_to_run = False

    def start(self, log: Any) -> Runtime:
        self.log = log
        return self

    def deserialize_cuda_engine(self, plan: bytes) -> Runtime | None:
        if plan.startswith(b"good"):
            return self
        large = plan.startswith(b"large")
        self.log.log(ERROR, "Error Code 1: Cuda Runtime (out of memory)" if large else "odd")
        self.log.log(ERROR, "wrong magic\nand more")
        self.log.log(WARNING, "a warning")
        return None

    def get_tensor_name(self, index: int) -> str:
        return sorted(self.ends, reverse=True)[index]  # the output first

    def get_tensor_mode(self, name: str) -> int:
        return self.TensorIOMode.OUTPUT if name == "ids" else self.TensorIOMode.INPUT

    def get_tensor_dtype(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name=self.ends[name][0])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.ends[name][1]
        return shape

    def create_execution_context(self) -> Runtime | None:
        return None if self.out_of_memory else self

    def set_tensor_address(self, name: str, pointer: int) -> bool:
        self.addresses[name] = pointer
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert ("stream", stream) in self.host.held
        if self.refuses_to_run:
            return False
        (status,) = self.host._queue("execute", self._run)
        return not status

    def _run(self) -> None:
        frame = (ctypes.c_uint8 * 72).from_address(self.addresses["frame"])
        ids = (ctypes.c_uint8 * 24).from_address(self.addresses["ids"])
        ids[:] = [int(sum(frame[3 * n : 3 * n + 3]) > 300) for n in range(24)]


def wanted(frame: Frame) -> Mask:
    return (resize(frame, SPEC).astype(int).sum(2) > 300).astype(np.uint8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


Machine = Callable[..., Runtime]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return what makes this machine one with a GPU and a TensorRT that builds ``plans``."""

    def make(
        host: HostGpu, plans: tuple[bytes, ...] = (b"good",), ends: dict[str, Any] = ENDS
    ) -> Runtime:
        runtime, remaining = Runtime(host, ends), list(plans)
        module = SimpleNamespace(
            Runtime=runtime.start,
            TensorIOMode=runtime.TensorIOMode,
            ILogger=Logger,
            IBuilderConfig=SimpleNamespace(),
        )
        api = Api(module, "tensorrt", "10.7.0")

        def build(*arguments: Any, **keywords: Any) -> Built:
            return Built(remaining.pop(0), b"", ())  # type: ignore[arg-type]

        monkeypatch.setattr(cuda, "_driver", lambda: host)
        monkeypatch.setattr(session, "load_api", lambda: api)
        monkeypatch.setattr(session, "build", build)
        return runtime

    return make


def frames() -> list[Frame]:
    generator = np.random.default_rng(3)
    sizes = [(4, 6), (12, 30), (4, 6), (3, 5)]
    return [generator.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


@pytest.mark.parametrize("integrated", [0, 1])
@pytest.mark.parametrize("graph", [False, True])
def test_ids_are_those_of_the_frame(machine: Machine, integrated: int, graph: bool) -> None:
    host = HostGpu()
    host.integrated = integrated
    machine(host)
    opened = open_session(b"model", SPEC, {"cuda_graph": graph}, 2)
    views = []
    for frame in [*frames(), *reversed(frames())]:
        opened.preprocess(frame)
        before = host.calls
        opened.infer()
        # Zero copy: only the engine and the wait. A graph: one launch, whatever is in it.
        assert host.calls - before == (2 if graph or integrated else 4)
        assert np.array_equal(opened.ids(), wanted(frame))
        views.append(opened.ids())
    assert all(np.shares_memory(views[0], view) for view in views)
    assert views[0].shape == (4, 6) and views[0].dtype == np.uint8
    last = views[-1].copy()
    for _ in range(2):
        opened.close()
    assert sorted(kind for kind, _ in host.held) == ["context", "host"]  # still looked at
    assert np.array_equal(views[-1], last)
    del views
    assert not host.held


@pytest.mark.parametrize("integrated", [0, 1])
@pytest.mark.parametrize("graph", [False, True])
def test_each_call_in_a_thread_of_its_own(machine: Machine, integrated: int, graph: bool) -> None:
    """As in a ROS node, where one thread opens what another runs."""
    host = HostGpu()
    host.integrated = integrated
    machine(host)

    def apart(work: Callable[..., Any], *arguments: Any) -> Any:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(work, *arguments).result()

    opened = apart(open_session, b"model", SPEC, {"cuda_graph": graph}, None)
    for frame in frames():
        apart(opened.preprocess, frame)
        apart(opened.infer)
        assert np.array_equal(apart(opened.ids), wanted(frame))
    apart(opened.close)
    assert not host.held


@pytest.mark.parametrize("integrated", [0, 1])
def test_whichever_call_fails_nothing_stays_held(machine: Machine, integrated: int) -> None:
    def open_and_run(host: HostGpu) -> None:
        host.integrated = integrated
        machine(host)
        opened = open_session(b"model", SPEC, {"cuda_graph": True}, None)
        try:
            opened.preprocess(frames()[0])
            opened.infer()
            assert np.array_equal(opened.ids(), wanted(frames()[0]))
        finally:
            opened.close()

    whole = HostGpu()
    open_and_run(whole)
    refusals = 0
    for number in range(whole.calls):
        host = HostGpu(refused=number)
        try:
            open_and_run(host)
        except EdgeSegError as error:
            assert "\n" not in str(error)  # noqa: PT017
            refusals += 1
        assert not host.held, number
    assert refusals > 8


def test_where_no_graph_can_be_captured_it_runs_without(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    host = HostGpu("cuStreamEndCapture", status=901)
    machine(host)
    opened = open_session(b"model", SPEC, {"cuda_graph": True}, None)
    assert "cannot be captured in a CUDA graph: running it without" in capsys.readouterr().err
    opened.preprocess(frames()[1])
    opened.infer()
    assert np.array_equal(opened.ids(), wanted(frames()[1]))
    opened.close()
    assert not host.held


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("frame", ("FLOAT", (1, 3, 4, 6))),
        ("frame", ("UINT8", (1, 4, 8, 3))),
        ("ids", ("INT32", (1, 1, 4, 6))),
        ("more", ("UINT8", (1, 4, 6, 3))),
    ],
)
def test_an_engine_with_other_ends_is_refused(machine: Machine, name: str, end: Any) -> None:
    host = HostGpu()
    machine(host, ends={**ENDS, name: end})
    with pytest.raises(EdgeSegError, match=r"the model goes from .*pack the model again"):
        open_session(b"model", SPEC, {}, None)
    assert not host.held


def test_a_kept_engine_that_is_refused_is_built_again(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(HostGpu(), (b"of another libc",))
    prepare(b"model", {})
    machine(HostGpu(), (b"good",))
    open_session(b"model", SPEC, {}, None).close()
    line = "TensorRT refuses the engine in the cache (wrong magic): building again"
    assert line in capsys.readouterr().err.splitlines()
    machine(HostGpu(), ())
    open_session(b"model", SPEC, {}, None).close()  # kept
    assert not capsys.readouterr().err


def test_an_engine_that_is_refused_when_new_is_not_built_forever(machine: Machine) -> None:
    machine(HostGpu(), (b"bad", b"bad", b"bad"))
    with pytest.raises(EdgeSegError, match=r"TensorRT refuses its engine: wrong magic$"):
        open_session(b"model", SPEC, {}, None)
    assert not list(plans_folder().glob("*.plan"))


def test_a_refused_engine_that_cannot_be_removed_is_not_tried_forever(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(HostGpu(), (b"bad",))
    prepare(b"model", {})
    monkeypatch.setattr(session, "forget", lambda *arguments: None)  # a read-only folder
    with pytest.raises(EdgeSegError, match="TensorRT refuses its engine: wrong magic"):
        open_session(b"model", SPEC, {}, None)


def test_a_full_gpu_does_not_cost_the_kept_engine(machine: Machine) -> None:
    machine(HostGpu(), (b"large",))
    prepare(b"model", {})
    with pytest.raises(EdgeSegError, match="TensorRT refuses its engine"):
        open_session(b"model", SPEC, {}, None)
    assert list(plans_folder().glob("*.plan"))


def test_an_engine_that_does_not_fit_the_memory_is_one_line(machine: Machine) -> None:
    machine(HostGpu()).out_of_memory = True
    with pytest.raises(EdgeSegError, match=r"cannot run its engine: .*end other programs"):
        open_session(b"model", SPEC, {}, None)


def test_an_engine_that_does_not_run_is_refused_when_it_is_opened(machine: Machine) -> None:
    host = HostGpu()
    machine(host).refuses_to_run = True
    with pytest.raises(EdgeSegError, match="cannot run its engine: it does not say why"):
        open_session(b"model", SPEC, {}, None)
    assert not host.held


def test_options_become_the_builders_settings() -> None:
    assert session._settings({}) == Settings()
    given = {"dla": True, "workspace_mb": 256, "cuda_graph": True}
    assert session._settings(given) == Settings(workspace_bytes=256 << 20, dla=True)
    for wrong in (0, -1, 1.5, "many"):
        with pytest.raises(EdgeSegError, match="give whole megabytes"):
            session._settings({"workspace_mb": wrong})


def test_hardware_is_named(machine: Machine) -> None:
    machine(HostGpu())
    assert hardware() == "Orin, compute capability 8.7"


# The real runtime, without a GPU.


def test_without_a_gpu_it_says_so_in_one_line() -> None:
    try:
        pytest.skip(f"this machine has a GPU: {device().name}")
    except EdgeSegError as error:
        reason = str(error)
    for ask in (hardware, lambda: open_session(b"model", SPEC, {}, None)):
        with pytest.raises(EdgeSegError) as caught:
            ask()
        assert str(caught.value) == reason and "\n" not in reason


def test_the_real_runtime_refuses_a_plan_and_its_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    api = load_api("tensorrt_rtx_bindings")
    built = iter([b"no engine", b"nor this"])
    monkeypatch.setattr(
        session,
        "build",
        lambda *a, **k: Built(next(built), b"", ()),  # type: ignore[arg-type]
    )
    gpu = Device("RTX", "8.6", False, 8 << 30, "13.0")
    log = make_logger(api)
    runtime = session._runtime(api, log, {})
    for _ in range(2):
        with pytest.raises(EdgeSegError, match=r"TensorRT refuses its engine: \S+") as error:
            session._load(runtime, log, b"model", {}, api, gpu)
        assert "\n" not in str(error.value) and "does not say why" not in str(error.value)
    assert "takes seconds, once" in capsys.readouterr().err


# On a GPU.


@pytest.mark.parametrize("precision", ["int8", "float32"])
@pytest.mark.parametrize("graph", [False, True])
def test_masks_are_those_of_onnx_runtime(
    precision: str, graph: bool, fitted_model: Model, road_frames: FrameSet, few_frames: FrameSet
) -> None:
    try:
        hardware()
    except EdgeSegError as error:
        pytest.skip(f"no GPU to test on: {error}")
    from edge_seg import engines
    from edge_seg.engines.lowering import Source
    from edge_seg.quantize import Recipe, collect_ranges, float_graph
    from edge_seg.quantize.graph import layers

    spec, onnx_graph = fitted_model.input, float_graph(fitted_model)
    some = [resize(road_frames.image(index), spec) for index in range(8)]
    ranges = collect_ranges(onnx_graph, some)
    recipe = Recipe(
        model_digest="m", calibration_digest="c", layers=tuple(layers(onnx_graph)), ranges=ranges
    )
    source = Source(fitted_model, onnx_graph, recipe, some)
    model = engines.find("tensorrt").lowering()(source, precision, {})
    peer = engines.find("onnxruntime").open(model, spec, {}, threads=1)
    opened = open_session(model, spec, {"cuda_graph": graph}, None)
    assert isinstance(opened, TensorRtSession)
    for index in range(6):
        for each in (peer, opened):
            each.preprocess(few_frames.image(index))
            each.infer()
        assert np.mean(peer.ids() == opened.ids()) >= 0.995
    opened.close()
    opened.close()
