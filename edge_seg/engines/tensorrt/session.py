"""TensorRT on the device: an engine built once on this very GPU, over memory allocated once.

What happens to a frame: the resize writes it into pinned memory (the one write by the
processor), the GPU's copy engine takes it up, the engine runs, the copy engine brings the ids
down, `TensorRtSession.ids` is a view of where they came to: one copy up of the frame, one down
of the ids. On a Jetson, whose GPU shares the memory, both fall away and nothing is copied.

Options: ``cuda_graph`` queues a whole frame with one call instead of one for each kernel,
``dla`` builds for the deep learning accelerator, ``workspace_mb`` is the memory that the builder
may try kernels with.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

from edge_seg.engines.session import Options, check_ends
from edge_seg.engines.tensorrt.api import Api, load_api, make_logger
from edge_seg.engines.tensorrt.build import Built, Settings, build
from edge_seg.engines.tensorrt.cuda import Buffer, Device, Graph, Stream, device
from edge_seg.engines.tensorrt.messages import MEMORY, last_error, says
from edge_seg.engines.tensorrt.plans import forget, plan_for
from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame, InputSpec, Mask, resize
from edge_seg.progress import Track, silent


def hardware() -> str:
    """Name the GPU that engines run on; quick, nothing is built.

    Raises `EdgeSegError` where there is no TensorRT, no cuda-python, no driver or no GPU.
    """
    gpu = device()  # first, as TensorRT takes a second to load
    load_api().require_runs_on(gpu.name, gpu.compute_capability)
    return f"{gpu.name}, compute capability {gpu.compute_capability}"


def prepare(
    model: bytes, options: Options, track: Track = silent, say: Callable[[str], None] | None = None
) -> bytes:
    """Return the engine of this machine's GPU for an ONNX file, built where it is not kept yet.

    A session opened with the same options finds it in the cache.
    """
    return plan_for(model, device(), load_api(), _settings(options), build, track, say or _say)


class TensorRtSession:
    """A `edge_seg.engines.session.Session` on an NVIDIA GPU."""

    def __init__(self, model: bytes, spec: InputSpec, options: Options) -> None:
        api, gpu = load_api(), device()
        self._spec = spec
        self._log = make_logger(api)
        self._runtime = _runtime(api, self._log, options)
        self._engine = _load(self._runtime, self._log, model, options, api, gpu)
        check_ends([_end(self._engine, name) for name in _names(self._engine, api)], spec)
        self._context: Any = self._engine.create_execution_context()
        if self._context is None:
            raise EdgeSegError(
                f"TensorRT cannot run its engine: {_said(self._log)}: end other programs that "
                "use the GPU, or take a smaller model"
            )
        with contextlib.ExitStack() as closing:
            self._frame = Buffer((spec.height, spec.width, 3), gpu)
            closing.callback(self._frame.close)
            self._mask = Buffer((spec.height, spec.width), gpu)
            closing.callback(self._mask.close)
            self._stream = Stream()
            closing.callback(self._stream.close)
            self._bind(_names(self._engine, api))
            self._graph = self._captured() if options.get("cuda_graph", False) else None
            if self._graph:
                closing.callback(self._graph.close)
            self._closing = closing.pop_all()

    def preprocess(self, frame: Frame) -> None:
        """Resize into the pinned memory that the GPU reads."""
        resize(frame, self._spec, out=self._frame.array)

    def infer(self) -> None:
        """Run the engine and wait for it."""
        if self._graph:
            self._graph.launch()
        else:
            self._enqueue()
        self._stream.wait()

    def ids(self) -> Mask:
        """Return the pinned memory that the GPU writes."""
        return self._mask.array

    def close(self) -> None:
        """Free the GPU's memory and drop the engine."""
        self._closing.close()
        self._context = self._engine = self._runtime = None  # in this order

    def _enqueue(self) -> None:
        """Queue one frame's work: the frame up, the engine, the ids down."""
        self._stream.up(self._frame)
        if not self._context.execute_async_v3(self._stream.handle):
            raise EdgeSegError(f"TensorRT cannot run its engine: {_said(self._log)}")
        self._stream.down(self._mask)

    def _bind(self, names: list[str]) -> None:
        """Hand the buffers to the engine and run it once: better that it fails now than later."""
        for name, buffer in zip(names, (self._frame, self._mask), strict=True):
            if not self._context.set_tensor_address(name, buffer.pointer):
                raise EdgeSegError(f"TensorRT refuses a buffer for {name}: {_said(self._log)}")
        self._enqueue()
        self._stream.wait()

    def _captured(self) -> Graph | None:
        graph = self._stream.capture(self._enqueue)
        if graph is None:
            _say("this engine cannot be captured in a CUDA graph: running it without")
        return graph


def _load(runtime: Any, log: Any, model: bytes, options: Options, api: Api, gpu: Device) -> Any:
    """Return the engine; a kept plan that TensorRT refuses, though it is whole, is built anew."""
    settings = _settings(options)
    new = False

    def build_new(*arguments: Any, **keywords: Any) -> Built:
        nonlocal new
        new = True
        return build(*arguments, **keywords)

    for _ in range(2):
        plan = plan_for(model, gpu, api, settings, build_new, say=_say)
        log.messages.clear()
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is not None:
            return engine
        if says((text for _, text in log.messages), MEMORY):
            break  # the plan is not to blame
        forget(model, gpu, api, settings)
        if new:
            break
        _say(f"TensorRT refuses the engine in the cache ({_said(log)}): building again")
    raise EdgeSegError(f"TensorRT refuses its engine: {_said(log)}")


def _settings(options: Options) -> Settings:
    megabytes = options.get("workspace_mb")
    if megabytes is not None and (not isinstance(megabytes, int) or megabytes < 1):
        raise EdgeSegError(f"workspace_mb is {megabytes!r}: give whole megabytes, at least 1")
    workspace = None if megabytes is None else megabytes << 20
    return Settings(workspace_bytes=workspace, dla=bool(options.get("dla", False)))


def _runtime(api: Api, log: Any, options: Options) -> Any:
    try:
        runtime = api.module.Runtime(log)
    except (TypeError, RuntimeError) as error:  # pybind11's way to say that it got nothing
        raise EdgeSegError(f"TensorRT does not start: {_said(log)}: see edge-seg doctor") from error
    if options.get("dla", False):
        runtime.DLA_core = 0
    return runtime


def _names(engine: Any, api: Api) -> list[str]:
    """Return the names of the inputs, then of the outputs."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    output = api.module.TensorIOMode.OUTPUT
    return sorted(names, key=lambda name: bool(engine.get_tensor_mode(name) == output))


def _end(engine: Any, name: str) -> tuple[str, tuple[int, ...]]:
    return engine.get_tensor_dtype(name).name.lower(), tuple(engine.get_tensor_shape(name))


def _said(log: Any) -> str:
    """Return in one line why TensorRT gave up, as far as it said."""
    return last_error(log.messages) or "it does not say why"


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def open_session(
    model: bytes, spec: InputSpec, options: Options, threads: int | None
) -> TensorRtSession:
    """Load an ONNX file as the engine of this machine's GPU; ``threads`` are the processor's."""
    return TensorRtSession(model, spec, options)
