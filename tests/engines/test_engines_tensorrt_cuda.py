"""CUDA's calls: what they say without a GPU, what they free, and, on a GPU, what they do.

Where a test needs more than a refusal, `HostGpu` stands in for CUDA. That its functions are those
of the installed cuda-python, and that those take what ours are given, is tested here too.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host_gpu import HostGpu

from edge_seg.engines.tensorrt import cuda
from edge_seg.engines.tensorrt.cuda import Buffer, Device, Graph, Stream, device
from edge_seg.errors import EdgeSegError, MissingRuntimeError

pytest.importorskip("cuda.bindings.driver", reason="cuda-python is not installed")

DISCRETE = Device("RTX", "8.6", False, 8 << 30, "12.6")
ORIN = Device("Orin", "8.7", True, 8 << 30, "12.6")
BOTH = pytest.mark.parametrize("kind", [DISCRETE, ORIN], ids=["discrete", "integrated"])


@pytest.fixture
def gpu() -> Device:
    """The machine's GPU."""
    try:
        return device()
    except EdgeSegError as error:
        pytest.skip(f"no GPU to test on: {error}")


@pytest.fixture
def no_gpu() -> None:
    with contextlib.suppress(EdgeSegError):
        pytest.skip(f"this machine has a GPU: {device().name}")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[HostGpu], HostGpu]:
    def use_one(host: HostGpu) -> HostGpu:
        monkeypatch.setattr(cuda, "_driver", lambda: host)
        return host

    return use_one


Use = Callable[[HostGpu], HostGpu]


# Without a GPU: what is really said.


def test_without_a_driver_it_says_so_in_one_line(no_gpu: None) -> None:
    for make in (device, Stream, lambda: Buffer((2, 3), ORIN), lambda: Buffer((2, 3), DISCRETE)):
        with pytest.raises(EdgeSegError) as error:
            make()
        assert "\n" not in str(error.value)
        assert not cuda._has_driver() and "there is no NVIDIA driver here" in str(error.value)


def test_the_calls_are_those_of_the_installed_cuda_python(no_gpu: None) -> None:
    """Without a driver each refuses, after it has read its arguments."""
    real, address = cuda._driver(), 1 << 40
    gpu, context, stream = real.CUdevice(0), real.CUcontext(), real.CUstream()
    graph, ready = real.CUgraph(), real.CUgraphExec()
    mode = real.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    given = {
        "cuCtxPopCurrent": (),
        "cuCtxPushCurrent": (context,),
        "cuDeviceGet": (0,),
        "cuDeviceGetAttribute": (real.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_INTEGRATED, gpu),
        "cuDeviceGetName": (256, gpu),
        "cuDevicePrimaryCtxRelease": (gpu,),
        "cuDevicePrimaryCtxRetain": (gpu,),
        "cuDeviceTotalMem": (gpu,),
        "cuDriverGetVersion": (),
        "cuGetErrorString": (real.CUresult.CUDA_ERROR_NO_DEVICE,),
        "cuGraphDestroy": (graph,),
        "cuGraphExecDestroy": (ready,),
        "cuGraphInstantiate": (graph, 0),
        "cuGraphLaunch": (ready, stream),
        "cuInit": (0,),
        "cuMemAlloc": (6,),
        "cuMemFree": (address,),
        "cuMemFreeHost": (address,),
        "cuMemHostAlloc": (6, real.CU_MEMHOSTALLOC_DEVICEMAP),
        "cuMemHostGetDevicePointer": (address, 0),
        "cuMemcpyDtoHAsync": (address, address, 6, stream),
        "cuMemcpyHtoDAsync": (address, address, 6, stream),
        "cuStreamBeginCapture": (stream, mode),
        "cuStreamCreate": (real.CUstream_flags.CU_STREAM_NON_BLOCKING,),
        "cuStreamDestroy": (stream,),
        "cuStreamEndCapture": (stream,),
        "cuStreamSynchronize": (stream,),
    }
    assert {name for name in vars(HostGpu) if re.match("cu[A-Z]", name)} == set(given)
    for name in (name for name in vars(HostGpu) if name.startswith("CU")):
        ours, theirs = getattr(HostGpu, name), getattr(real, name)
        for member, number in getattr(ours, "__dict__", {}).items():
            assert int(getattr(theirs, member)) == number
    assert int(real.CU_MEMHOSTALLOC_DEVICEMAP) == HostGpu.CU_MEMHOSTALLOC_DEVICEMAP
    for name, arguments in given.items():
        with pytest.raises(RuntimeError, match=r"not found|libcuda|driver library"):
            getattr(real, name)(*arguments)
    assert int(stream) == 0  # as `Stream.handle` asks for it
    known = {int(status): status.name for status in real.CUresult}
    assert [known[number] for number in cuda._REFUSALS] == [
        "CUDA_ERROR_OUT_OF_MEMORY",
        "CUDA_ERROR_NO_DEVICE",
        "CUDA_ERROR_INVALID_DEVICE",
        "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
    ]


DEVICE = "from edge_seg.engines.tensorrt.cuda import device; device()"


def last_line(code: str, path: str = "") -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([path, *sys.path])}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    return result.stderr.strip().splitlines()[-1]


def test_without_cuda_python_the_extra_is_named() -> None:
    line = last_line(f"import sys; sys.modules['cuda'] = None; {DEVICE}")
    assert MissingRuntimeError.__name__ in line
    assert "needs cuda-python, which is not installed: pip install 'edge-seg[jetson]'" in line


def test_a_cuda_python_that_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "cuda" / "bindings").mkdir(parents=True)
    (tmp_path / "cuda" / "__init__.py").write_text("")
    (tmp_path / "cuda" / "bindings" / "__init__.py").write_text("raise ImportError('no symbol x')")
    assert "cuda-python is damaged: no symbol x: pip install" in last_line(DEVICE, str(tmp_path))


OLD = """
def cuInit(flags):
    raise RuntimeError('Failed to dlopen libcuda.so.1')
"""


def test_a_cuda_python_of_before_where_it_was_and_as_it_fails(tmp_path: Path, no_gpu: None) -> None:
    """Seen with 11.8.7, 12.2.1 and 12.6.2; 12.9 and 13.5 fail in other words."""
    (tmp_path / "cuda").mkdir()
    (tmp_path / "cuda" / "__init__.py").write_text("")
    (tmp_path / "cuda" / "cuda.py").write_text(OLD)
    assert "there is no NVIDIA driver here" in last_line(DEVICE, str(tmp_path))


# What each status becomes.


def test_a_gpu_that_is_there(use: Use) -> None:
    host = use(HostGpu())
    assert device() == Device("Orin", "8.7", False, 8 << 30, "12.6")
    host.integrated = 1
    assert device().integrated


@pytest.mark.parametrize(
    ("call", "status", "line"),
    [
        ("cuInit", 100, "finds no GPU: see what nvidia-smi says"),
        ("cuDeviceGet", 101, "finds no GPU: see what nvidia-smi says"),
        ("cuInit", 803, "driver mismatch: parts of two"),
        ("cuDeviceTotalMem", 2, "the GPU is out of memory"),
        ("cuInit", 999, r"CUDA refuses: what CUDA says \(CUDA_ERROR_OF_A_TEST\)"),
    ],
)
def test_a_status_is_one_line_with_the_way_out(use: Use, call: str, status: int, line: str) -> None:
    use(HostGpu(call, status))
    with pytest.raises(EdgeSegError, match=line) as error:
        device()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "fault", [RuntimeError('Function "cuInit" not found'), ValueError("99 is not a valid CUresult")]
)
def test_a_driver_and_a_cuda_python_that_do_not_fit(
    use: Use, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def refuse(flags: int) -> None:
        raise fault

    monkeypatch.setattr(use(HostGpu()), "cuInit", refuse, raising=False)
    monkeypatch.setattr(cuda, "_has_driver", lambda: True)
    with pytest.raises(EdgeSegError, match=f"driver mismatch: {fault}: update the NVIDIA driver"):
        device()


def test_what_is_known_of_the_gpu_costs_none_of_its_memory(use: Use) -> None:
    """A context takes hundreds of megabytes of some."""
    host = use(HostGpu("cuDevicePrimaryCtxRetain"))
    device()
    assert not host.held and not host.current


# Memory, streams and graphs, over the host's memory.


@BOTH
def test_what_is_sent_up_comes_down(use: Use, kind: Device) -> None:
    host = use(HostGpu())
    buffer, stream = Buffer((3, 4), kind), Stream()
    sent = np.arange(12, dtype=np.uint8).reshape(3, 4)
    buffer.array[:] = sent
    calls = host.calls
    stream.up(buffer)
    if not kind.integrated:
        buffer.array[:] = 0
    stream.down(buffer)
    assert host.calls - calls == (0 if kind.integrated else 2)
    assert (buffer.pointer == buffer.array.ctypes.data) == kind.integrated
    stream.wait()
    assert np.array_equal(buffer.array, sent)
    for thing in (buffer, stream, buffer, stream):
        thing.close()
    assert not host.held


@BOTH
def test_a_view_that_is_kept_beyond_the_end_may_be_read(use: Use, kind: Device) -> None:
    host = use(HostGpu())
    buffer = Buffer((3, 4), kind)
    buffer.array[:] = 7
    view = buffer.array[1]
    buffer.close()
    assert sorted(kind for kind, _ in host.held) == ["context", "host"]
    assert view.tolist() == [7] * 4
    del view
    assert not host.held


def use_everything(kind: Device) -> None:
    """What a session does, closing what it made when something fails."""
    made: list[Any] = []
    try:
        made.append(Buffer((3, 4), kind))
        made.append(Buffer((2,), kind))
        made.append(Stream())
        frame, ids, stream = made

        def enqueue() -> None:
            stream.up(frame)
            stream.down(ids)

        enqueue()
        stream.wait()
        graph = stream.capture(enqueue)
        if graph is not None:
            made.append(graph)
            graph.launch()
        stream.wait()
    finally:
        while made:
            made.pop().close()


@BOTH
def test_whichever_call_fails_nothing_stays_held(use: Use, kind: Device) -> None:
    whole = use(HostGpu())
    use_everything(kind)
    assert not whole.held
    refusals = 0
    for number in range(whole.calls):
        host = use(HostGpu(refused=number))
        try:
            use_everything(kind)
        except EdgeSegError:
            refusals += 1
        assert not host.held and not host.current, number
        assert host.recording is None
    assert 5 < refusals < whole.calls  # not one that only spoils a capture


@BOTH
def test_where_the_context_cannot_be_current_nothing_stays_held(use: Use, kind: Device) -> None:
    host = use(HostGpu("cuCtxPushCurrent", 201))
    for make in (Stream, lambda: Buffer((3, 4), kind)):
        with pytest.raises(EdgeSegError, match="CUDA refuses"):
            make()
        assert not host.held and not host.current


def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do it in a thread of its own, where no context is current."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work, *arguments).result()


@BOTH
def test_what_one_thread_made_others_use_and_close(use: Use, kind: Device) -> None:
    host = use(HostGpu())
    buffer, stream = apart(Buffer, (2,), kind), apart(Stream)
    buffer.array[:] = 1
    apart(stream.up, buffer)
    graph = apart(stream.capture, adder(buffer, stream, host))
    apart(graph.launch)
    apart(stream.wait)
    for thing in (graph, stream, buffer):
        apart(thing.close)
    assert not host.held


def test_what_was_current_in_a_thread_stays_so(use: Use) -> None:
    host = use(HostGpu())
    host.current.append(5)  # another library's
    use_everything(DISCRETE)
    assert host.current == [5]


def adder(goal: Buffer, stream: Stream, host: HostGpu) -> Callable[[], None]:
    """Return what queues one addition on the buffer."""

    def add() -> None:
        host._queue("add", lambda: np.add(goal.array, 1, out=goal.array))
        stream.up(goal)

    return add


def test_a_captured_graph_does_when_launched_what_was_queued(use: Use) -> None:
    host = use(HostGpu())
    buffer, stream = Buffer((2,), ORIN), Stream()
    buffer.array[:] = 0
    graph = stream.capture(adder(buffer, stream, host))
    assert graph is not None
    assert buffer.array.tolist() == [0, 0]  # nothing ran
    for _ in range(3):
        graph.launch()
    assert buffer.array.tolist() == [3, 3]
    assert {kind for kind, _ in host.held} == {"context", "exec", "host", "stream"}
    for thing in (stream, graph, buffer, graph):  # in whichever order
        thing.close()
    assert not host.held


def test_a_graph_of_cuda_11(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the function of today's name takes other things."""
    host = use(HostGpu())
    monkeypatch.setattr(host, "cuGraphInstantiateWithFlags", host.cuGraphInstantiate, raising=False)
    monkeypatch.setattr(host, "cuGraphInstantiate", None)
    graph = Stream().capture(lambda: None)
    assert graph is not None
    graph.close()


@pytest.mark.parametrize(
    "refused",
    ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "add"],
)
def test_without_a_capture_the_stream_goes_on(use: Use, refused: str) -> None:
    host = use(HostGpu(refused, status=900))
    buffer, stream = Buffer((2,), ORIN), Stream()
    buffer.array[:] = 0
    add = adder(buffer, stream, host)

    def refusing() -> None:
        if refused == "add":  # as where TensorRT says that it cannot
            raise EdgeSegError("not while capturing")
        add()

    assert stream.capture(refusing) is None
    assert host.recording is None
    assert not [kind for kind, _ in host.held if kind in ("graph", "exec")]
    host.refused = ""
    add()
    assert buffer.array.tolist() == [1, 1]


def test_a_fault_while_capturing_goes_through(use: Use) -> None:
    host = use(HostGpu())
    stream = Stream()

    def wrong() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        stream.capture(wrong)
    assert host.recording is None
    stream.close()
    assert not host.held


# On a GPU.


def test_a_buffer_goes_up_and_down(gpu: Device) -> None:
    buffer, stream = Buffer((480, 640, 3), gpu), Stream()
    sent = np.random.default_rng(0).integers(0, 256, buffer.array.shape, np.uint8)
    buffer.array[:] = sent
    stream.up(buffer)
    stream.wait()
    if not buffer.shared:
        buffer.array[:] = 0
    stream.down(buffer)
    stream.wait()
    assert np.array_equal(buffer.array, sent)
    for thing in (stream, buffer, stream, buffer):
        thing.close()


def memset(buffer: Buffer, stream: Stream, value: int) -> None:
    """Let the GPU write."""
    stream._queue("cuMemsetD8Async", buffer.pointer, value, buffer.array.nbytes)


def test_the_memory_of_an_integrated_gpu_is_the_hosts(gpu: Device) -> None:
    if not gpu.integrated:
        pytest.skip(f"{gpu.name} has memory of its own")
    buffer, stream = Buffer((64, 64), gpu), Stream()
    memset(buffer, stream, 9)
    stream.wait()
    assert (buffer.array == 9).all()
    for thing in (stream, buffer):
        thing.close()


def test_a_graph_gives_what_the_plain_calls_give(gpu: Device) -> None:
    buffer, stream = Buffer((64, 64), gpu), Stream()

    def enqueue() -> None:
        stream.up(buffer)
        memset(buffer, stream, 5)
        stream.down(buffer)

    graph = stream.capture(enqueue)
    assert isinstance(graph, Graph)
    buffer.array[:] = 0
    graph.launch()
    stream.wait()
    assert (buffer.array == 5).all()
    graph.close()
    assert stream.capture(lambda: stream.wait()) is None  # what may not be captured
    buffer.array[:] = 0
    enqueue()
    stream.wait()
    assert (buffer.array == 5).all()
    for thing in (stream, buffer):
        thing.close()


def test_what_is_closed_is_free(gpu: Device) -> None:
    stream = Stream()  # which keeps the context
    with stream._context:
        Buffer((1 << 20,), gpu).close()  # the driver's own
        before = cuda._call("cuMemGetInfo")
        for _ in range(20):
            Buffer((1 << 26,), gpu).close()
        assert before - cuda._call("cuMemGetInfo") < 1 << 26
    stream.close()


def test_the_last_that_is_closed_ends_the_context(gpu: Device) -> None:
    def active() -> int:
        return int(cuda._driver().cuDevicePrimaryCtxGetState(0)[2])

    if active():
        pytest.skip("another library holds the context")
    buffer, stream = Buffer((64,), gpu), Stream()
    assert active()
    for thing in (buffer, stream):
        thing.close()
    assert not active()
    use_everything(gpu)  # and it starts again


def test_a_thread_uses_and_closes_what_another_made_on_the_gpu(gpu: Device) -> None:
    buffer, stream = apart(Buffer, (64, 64), gpu), apart(Stream)

    def enqueue() -> None:
        stream.up(buffer)
        memset(buffer, stream, 5)
        stream.down(buffer)

    apart(enqueue)
    apart(stream.wait)
    assert (buffer.array == 5).all()
    graph = apart(stream.capture, enqueue)
    buffer.array[:] = 0
    apart(graph.launch)
    apart(stream.wait)
    assert (buffer.array == 5).all()
    view = buffer.array[1]
    for thing in (graph, stream, buffer):
        apart(thing.close)
    assert (view == 5).all()


def test_more_memory_than_there_is(gpu: Device) -> None:
    with pytest.raises(EdgeSegError, match=r"out of memory|CUDA refuses"):
        Buffer((1 << 44,), gpu)
