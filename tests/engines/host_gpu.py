"""A stand-in for CUDA's driver where there is no GPU: its GPU's memory is the host's.

    monkeypatch.setattr(cuda, "_driver", lambda: host)    # host = HostGpu()

It keeps account of what is held, and that each thread has a living context current where CUDA
wants one; it runs what is queued at once or, while it captures, when the graph is launched, and
refuses any one call that a test wants refused.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

PRIMARY = 77
"""The handle of the primary context."""


class Status(int):
    """A status as cuda-python gives it."""

    name = "CUDA_ERROR_OF_A_TEST"


class HostGpu:
    """CUDA's driver over the host's memory; call number ``refused`` fails with ``status``."""

    CU_MEMHOSTALLOC_DEVICEMAP = 2
    CUstream_flags = SimpleNamespace(CU_STREAM_NON_BLOCKING=1)
    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1)
    CUdevice_attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_INTEGRATED=18,
        CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY=19,
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR=75,
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR=76,
    )

    def __init__(self, refused: int | str = -1, status: int = 2) -> None:
        self.refused, self.status, self.calls = refused, Status(status), 0
        self.held: dict[tuple[str, int], Any] = {}
        self.recording: list[Callable[[], object]] | None = None
        self.integrated = 0
        self._current = threading.local()
        self._numbers = itertools.count(1)

    @property
    def current(self) -> list[int]:
        """The contexts of this thread, the current one last."""
        stack: list[int] = self._current.__dict__.setdefault("stack", [])
        return stack

    @property
    def retained(self) -> int:
        """How often the primary context is held; what is on the GPU needs that it is."""
        return sum(kind == "context" for kind, _ in self.held)

    def _refuses(self, name: str) -> bool:
        self.calls += 1
        return self.refused in (self.calls - 1, name)

    def _asked(self, name: str, *result: Any) -> tuple[Any, ...]:
        """Answer a call that needs no context."""
        refused = self._refuses(name)
        return (self.status, *[None for _ in result]) if refused else (Status(), *result)

    def _needs_context(self) -> None:
        assert self.retained and self.current and self.current[-1] == PRIMARY, "no living context"

    def _new(self, name: str, kind: str, thing: Any, number: int | None = None) -> tuple[Any, ...]:
        self._needs_context()
        if self._refuses(name):
            return self.status, None
        number = next(self._numbers) if number is None else number
        self.held[kind, number] = thing
        return Status(), number

    def _drop(self, kind: str, number: int) -> tuple[Status]:
        self._needs_context()
        del self.held[kind, number]  # twice is a fault
        return (Status(),)

    def _queue(self, name: str, work: Callable[[], object]) -> tuple[Status]:
        if self._refuses(name):
            return (self.status,)
        if self.recording is None:
            work()
        else:
            self.recording.append(work)
        return (Status(),)

    def cuInit(self, flags: int) -> tuple[Any, ...]:
        return self._asked("cuInit")

    def cuDriverGetVersion(self) -> tuple[Any, ...]:
        return self._asked("cuDriverGetVersion", 12060)

    def cuDeviceGet(self, ordinal: int) -> tuple[Any, ...]:
        return self._asked("cuDeviceGet", ordinal)

    def cuDeviceGetName(self, length: int, gpu: int) -> tuple[Any, ...]:
        return self._asked("cuDeviceGetName", b"Orin\0".ljust(length))

    def cuDeviceTotalMem(self, gpu: int) -> tuple[Any, ...]:
        return self._asked("cuDeviceTotalMem", 8 << 30)

    def cuDeviceGetAttribute(self, attribute: int, gpu: int) -> tuple[Any, ...]:
        known = {18: self.integrated, 19: 1, 75: 8, 76: 7}
        return self._asked("cuDeviceGetAttribute", known[attribute])

    def cuGetErrorString(self, status: int) -> tuple[Any, ...]:
        return Status(), b"what CUDA says"

    def cuDevicePrimaryCtxRetain(self, gpu: int) -> tuple[Any, ...]:
        if self._refuses("cuDevicePrimaryCtxRetain"):
            return self.status, None
        self.held["context", next(self._numbers)] = gpu
        return Status(), PRIMARY

    def cuDevicePrimaryCtxRelease(self, gpu: int) -> tuple[Status]:
        del self.held[next(key for key in self.held if key[0] == "context")]
        assert self.retained or not self.held, "this ends with its context"
        return (Status(),)

    def cuCtxPushCurrent(self, context: int) -> tuple[Status]:
        if self.refused == "cuCtxPushCurrent":  # by no number: what frees needs it too
            return (self.status,)
        assert self.retained and context == PRIMARY
        self.current.append(context)
        return (Status(),)

    def cuCtxPopCurrent(self) -> tuple[Any, ...]:
        return Status(), self.current.pop()

    def cuMemHostAlloc(self, size: int, flags: int) -> tuple[Any, ...]:
        memory = (ctypes.c_uint8 * size)()
        return self._new("cuMemHostAlloc", "host", (memory, flags), ctypes.addressof(memory))

    def cuMemAlloc(self, size: int) -> tuple[Any, ...]:
        memory = (ctypes.c_uint8 * size)()
        return self._new("cuMemAlloc", "device", memory, ctypes.addressof(memory))

    def cuMemHostGetDevicePointer(self, address: int, flags: int) -> tuple[Any, ...]:
        self._needs_context()
        assert self.held["host", address][1] == self.CU_MEMHOSTALLOC_DEVICEMAP
        return self._asked("cuMemHostGetDevicePointer", address)

    def cuMemFree(self, address: int) -> tuple[Status]:
        return self._drop("device", address)

    def cuMemFreeHost(self, address: int) -> tuple[Status]:
        return self._drop("host", address)

    def cuStreamCreate(self, flags: int) -> tuple[Any, ...]:
        return self._new("cuStreamCreate", "stream", None)

    def cuStreamDestroy(self, stream: int) -> tuple[Status]:
        return self._drop("stream", stream)

    def cuStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        self._needs_context()
        return self._asked("cuStreamSynchronize")

    def cuMemcpyHtoDAsync(self, goal: int, source: int, size: int, stream: int) -> tuple[Status]:
        assert ("device", goal) in self.held and ("host", source) in self.held
        return self._copy("cuMemcpyHtoDAsync", goal, source, size)

    def cuMemcpyDtoHAsync(self, goal: int, source: int, size: int, stream: int) -> tuple[Status]:
        assert ("host", goal) in self.held and ("device", source) in self.held
        return self._copy("cuMemcpyDtoHAsync", goal, source, size)

    def _copy(self, name: str, goal: int, source: int, size: int) -> tuple[Status]:
        self._needs_context()
        return self._queue(name, lambda: ctypes.memmove(goal, source, size))

    def cuStreamBeginCapture(self, stream: int, mode: int) -> tuple[Any, ...]:
        self._needs_context()
        status, *_ = self._asked("cuStreamBeginCapture")
        self.recording = None if status else []
        return (status,)

    def cuStreamEndCapture(self, stream: int) -> tuple[Any, ...]:
        recorded, self.recording = self.recording, None
        return self._new("cuStreamEndCapture", "graph", recorded)

    def cuGraphInstantiate(self, graph: int, flags: int) -> tuple[Any, ...]:
        return self._new("cuGraphInstantiate", "exec", self.held["graph", graph])

    def cuGraphLaunch(self, graph: int, stream: int) -> tuple[Status]:
        self._needs_context()
        works = self.held["exec", graph]
        return self._queue("cuGraphLaunch", lambda: [work() for work in works])

    def cuGraphDestroy(self, graph: int) -> tuple[Status]:
        return self._drop("graph", graph)

    def cuGraphExecDestroy(self, graph: int) -> tuple[Status]:
        return self._drop("exec", graph)
