"""The little of CUDA that a session needs, through cuda-python, NVIDIA's own bindings.

    gpu = device()                             # or one line that says why there is none
    frame, stream = Buffer((256, 512, 3), gpu), Stream()
    frame.array[:] = picture                   # pinned memory, seen as an array
    stream.up(frame)                           # nothing to do where the GPU shares the memory
    ...                                        # work on frame.pointer, on stream.handle
    stream.wait()

Laws: a `Buffer`, `Stream` or `Graph` that is closed holds nothing any more, closing twice is
fine, and one that could not be made holds nothing. Any thread may use and close what another
made, one at a time; what was current in it stays so. A call that CUDA refuses is an
`EdgeSegError` of one line.

It is CUDA's driver API, which needs the driver's libcuda.so.1 alone: the runtime API comes with
cuda-python, and where that is newer than a JetPack its runtime refuses the JetPack's driver.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_seg.errors import EdgeSegError, MissingRuntimeError, in_one_line

_NO_DRIVER = (
    "there is no NVIDIA driver here (libcuda.so.1): run this on a Jetson or a machine with an "
    "NVIDIA GPU; in a container, start that with --runtime nvidia"
)
_NO_GPU = (
    "the NVIDIA driver finds no GPU: see what nvidia-smi says, and whether CUDA_VISIBLE_DEVICES "
    "hides it"
)
# What can be said better than in CUDA's own words; its numbers never change.
_REFUSALS = {
    2: "the GPU is out of memory: end other programs that use it, or take a smaller model",
    100: _NO_GPU,  # asked of any GPU
    101: _NO_GPU,  # asked of the first
    803: "driver mismatch: parts of two NVIDIA drivers are mixed: restart the machine",
}


@dataclass(frozen=True)
class Device:
    """The GPU that CUDA calls its first (``CUDA_VISIBLE_DEVICES`` chooses another).

    ``integrated`` says that it shares the host's memory and can map it, as on a Jetson. The
    driver's version is the newest CUDA that it knows.
    """

    name: str
    compute_capability: str
    integrated: bool
    total_bytes: int
    driver_version: str


def device() -> Device:
    """Return what is known of the GPU; takes milliseconds, and none of its memory.

    Raises `MissingRuntimeError` without cuda-python, and `EdgeSegError` where there is no GPU, or
    no driver, or one that does not fit this cuda-python.
    """
    gpu, kinds = _first(), _driver().CUdevice_attribute

    def ask(name: str) -> int:
        kind = getattr(kinds, f"CU_DEVICE_ATTRIBUTE_{name}")
        return int(_call("cuDeviceGetAttribute", kind, gpu))

    capability = [ask(f"COMPUTE_CAPABILITY_{part}") for part in ("MAJOR", "MINOR")]
    version = int(_call("cuDriverGetVersion"))  # 12060 is 12.6
    return Device(
        name=_call("cuDeviceGetName", 256, gpu).partition(b"\0")[0].decode(errors="replace"),
        compute_capability=".".join(map(str, capability)),
        integrated=bool(ask("INTEGRATED") and ask("CAN_MAP_HOST_MEMORY")),
        total_bytes=int(_call("cuDeviceTotalMem", gpu)),
        driver_version=f"{version // 1000}.{version % 1000 // 10}",
    )


class _Context:
    """Where CUDA keeps what is made on the GPU: the primary context, which TensorRT uses too.

    ``with context:`` makes it current in this thread, as nearly all calls want it.
    """

    def __init__(self) -> None:
        self._gpu = _first()
        self._context = _call("cuDevicePrimaryCtxRetain", self._gpu)

    def __enter__(self) -> None:
        _call("cuCtxPushCurrent", self._context)

    def __exit__(self, *error: object) -> None:
        _driver().cuCtxPopCurrent()

    def free(self, name: str, *things: Any) -> None:
        """Call what frees; where CUDA refuses, as after a fault of the GPU, nothing is left."""
        with contextlib.suppress(EdgeSegError), self:
            _call(name, *things)

    def close(self) -> None:
        """Let go of it, once: with the last that does, the context ends and all that is in it."""
        _driver().cuDevicePrimaryCtxRelease(self._gpu)


class Buffer:
    """Bytes that the host sees as ``array`` and the GPU at the address ``pointer``.

    The host's side is pinned memory. An integrated GPU is given that very memory, so that
    nothing is ever copied; any other has its own, which `Stream.up` and `Stream.down` copy.
    Since Xavier the processor caches pinned memory as it does any other: it is quick to fill.

    Pinned memory goes with the last view of ``array``: who kept one beyond `close` may read it.
    """

    def __init__(self, shape: tuple[int, ...], gpu: Device) -> None:
        size = math.prod(shape)
        self.shared = gpu.integrated
        flags = _driver().CU_MEMHOSTALLOC_DEVICEMAP if self.shared else 0
        with contextlib.ExitStack() as undo:
            context = undo.enter_context(contextlib.closing(_Context()))
            with context:
                address = int(_call("cuMemHostAlloc", size, flags))
                undo.callback(context.free, "cuMemFreeHost", address)
                self._closing = contextlib.ExitStack()
                if self.shared:
                    self.pointer = int(_call("cuMemHostGetDevicePointer", address, 0))
                else:
                    self.pointer = int(_call("cuMemAlloc", size))
                    self._closing.callback(context.free, "cuMemFree", self.pointer)
            memory = (ctypes.c_uint8 * size).from_address(address)
            self.array: npt.NDArray[np.uint8] = np.frombuffer(memoryview(memory), np.uint8).reshape(
                shape
            )
            free = weakref.finalize(memory, undo.pop_all().close)
            free.atexit = False  # the process takes its memory along

    def close(self) -> None:
        """Free the GPU's side, and the host's unless somebody still looks at it."""
        self._closing.close()
        self.array, self.pointer = np.empty(0, np.uint8), 0


class Stream:
    """A queue of work for the GPU, which runs in the order in which it was put there."""

    def __init__(self) -> None:
        with contextlib.ExitStack() as undo:
            self._context = undo.enter_context(contextlib.closing(_Context()))
            with self._context:
                flags = _driver().CUstream_flags.CU_STREAM_NON_BLOCKING
                self._stream = _call("cuStreamCreate", flags)
            undo.callback(self._context.free, "cuStreamDestroy", self._stream)
            # What is still running writes into memory that is freed next.
            undo.callback(self._context.free, "cuStreamSynchronize", self._stream)
            self._closing = undo.pop_all()

    @property
    def handle(self) -> int:
        """The stream's address, for TensorRT."""
        return int(self._stream)

    def up(self, buffer: Buffer) -> None:
        """Queue the copy of what the host wrote to the GPU's memory, where that is another."""
        if not buffer.shared:
            goal, source = buffer.pointer, buffer.array.ctypes.data
            self._queue("cuMemcpyHtoDAsync", goal, source, buffer.array.nbytes)

    def down(self, buffer: Buffer) -> None:
        """Queue the copy of what the GPU wrote to the host's memory, where that is another."""
        if not buffer.shared:
            goal, source = buffer.array.ctypes.data, buffer.pointer
            self._queue("cuMemcpyDtoHAsync", goal, source, buffer.array.nbytes)

    def _queue(self, name: str, *arguments: Any) -> None:
        with self._context:
            _call(name, *arguments, self._stream)

    def wait(self) -> None:
        """Return when all that was queued is done; raises what went wrong with it."""
        self._queue("cuStreamSynchronize")

    def capture(self, enqueue: Callable[[], None]) -> Graph | None:
        """Return what ``enqueue`` queues as a graph, launched at once; None where CUDA cannot.

        Nothing of it is run. An error of ``enqueue`` that is no `EdgeSegError` goes through.
        """
        # Other threads may use CUDA meanwhile: only this one's calls are of the capture.
        mode = _driver().CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        try:
            with self._context, contextlib.ExitStack() as undo:
                _call("cuStreamBeginCapture", self._stream, mode)
                try:
                    enqueue()
                finally:
                    # Not by `_call`: what `enqueue` raised is the news, not what follows from it.
                    status, graph = _driver().cuStreamEndCapture(self._stream)
                    if not status:
                        undo.callback(self._context.free, "cuGraphDestroy", graph)
                _check(status)
                return Graph(graph, self._queue)
        except EdgeSegError:
            return None

    def close(self) -> None:
        """Wait for what was queued, then free the stream."""
        self._closing.close()


class Graph:
    """Work that was captured once and is launched with one call."""

    def __init__(self, graph: Any, queue: Callable[..., None]) -> None:
        self._queue = queue
        # CUDA 11's cuda-python has another function of the name that this one has since.
        newer, older = "cuGraphInstantiate", "cuGraphInstantiateWithFlags"
        with contextlib.ExitStack() as undo:
            context = undo.enter_context(contextlib.closing(_Context()))
            with context:
                self._graph = _call(older if hasattr(_driver(), older) else newer, graph, 0)
            undo.callback(context.free, "cuGraphExecDestroy", self._graph)
            self._closing = undo.pop_all()

    def launch(self) -> None:
        """Queue the whole of it on the stream that it was captured from."""
        self._queue("cuGraphLaunch", self._graph)

    def close(self) -> None:
        """Free the graph."""
        self._closing.close()


def _driver() -> Any:
    """Import cuda-python's view of the driver, which moved with CUDA 12.6."""
    try:
        try:
            return importlib.import_module("cuda.bindings.driver")
        except ModuleNotFoundError:
            return importlib.import_module("cuda.cuda")
    except ModuleNotFoundError:
        raise MissingRuntimeError(
            "engine 'tensorrt' needs cuda-python, which is not installed: "
            "pip install 'edge-seg[jetson]'"
        ) from None
    except ImportError as error:
        raise MissingRuntimeError(
            f"cuda-python is damaged: {in_one_line(error)}: pip install --force-reinstall "
            "cuda-python"
        ) from error


def _first() -> Any:
    """Start CUDA, which is done once, and return its first GPU."""
    _call("cuInit", 0)
    return _call("cuDeviceGet", 0)


def _call(name: str, *arguments: Any) -> Any:
    """Call CUDA and return its result, if it has one; raises `EdgeSegError` where it refuses."""
    try:
        status, *results = getattr(_driver(), name)(*arguments)
    except (RuntimeError, ValueError) as error:  # a function, a status that one of the two lacks
        if not _has_driver():
            raise EdgeSegError(_NO_DRIVER) from error
        raise EdgeSegError(
            f"driver mismatch: {in_one_line(error)}: update the NVIDIA driver and cuda-python"
        ) from error
    _check(status)
    return results[0] if results else None


def _check(status: Any) -> None:
    if not status:
        return
    if int(status) in _REFUSALS:
        raise EdgeSegError(_REFUSALS[int(status)])
    _, text = _driver().cuGetErrorString(status)
    raise EdgeSegError(f"CUDA refuses: {text.decode()} ({status.name})")


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
