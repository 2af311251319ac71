"""OpenVINO on the device: one request, tensors over buffers made once.

Option ``resize``: ``graph`` puts the resize into the compiled model, which is then
compiled anew for a frame of another size; ``host`` resizes with OpenCV.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence

import numpy as np
import openvino
from openvino.preprocess import PrePostProcessor, ResizeAlgorithm

from edge_seg.engines.session import Options, check_ends
from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.preprocess import Frame, InputSpec, Mask, resize


class OpenVinoSession:
    """A `edge_seg.engines.session.Session` on OpenVINO's CPU plugin.

    ``floats`` is what layers that are not int8 compute in: f32, or bf16.
    """

    def __init__(
        self, model: bytes, spec: InputSpec, threads: int | None, floats: str = "f32"
    ) -> None:
        self._spec = spec
        self._model = _read(model)
        check_ends([_end(port) for port in (*self._model.inputs, *self._model.outputs)], spec)
        self._config = {
            "PERFORMANCE_HINT": "LATENCY",
            # Left out, it is bfloat16 where the processor has that, and the masks depend on the
            # machine.
            "INFERENCE_PRECISION_HINT": floats,
            **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
        }
        self._compile(self._model, (spec.height, spec.width))

    def _compile(self, model: openvino.Model, size: tuple[int, int]) -> None:
        try:
            compiled = _core().compile_model(model, "CPU", self._config)
        except RuntimeError as error:
            raise EdgeSegError(f"OpenVINO refuses the model: {in_one_line(error)}") from error
        # Only now: a size that failed must not look compiled to the next frame.
        self._request = compiled.create_infer_request()
        self._frame = np.empty((1, *size, 3), np.uint8)
        self._request.set_input_tensor(openvino.Tensor(self._frame, shared_memory=True))
        self._size = size

    def preprocess(self, frame: Frame) -> None:
        """Resize into the request's input."""
        resize(frame, self._spec, out=self._frame[0])

    def infer(self) -> None:
        """Run the graph."""
        self._request.infer()

    def ids(self) -> Mask:
        """Return the request's output."""
        ids: Mask = self._request.get_output_tensor(0).data
        return ids.reshape(self._spec.height, self._spec.width)

    def close(self) -> None:
        """Drop the compiled model."""
        del self._request, self._model


class ResizingOpenVinoSession(OpenVinoSession):
    """The same with the resize inside the graph, compiled for the first frame's size.

    A camera has one size. Where another comes, compiling again would take longer than many
    frames: from then on OpenCV resizes.
    """

    _sizes = 0

    def preprocess(self, frame: Frame) -> None:
        """Copy into the request's input, resized here where sizes vary."""
        if frame.shape[:2] != self._size and self._sizes < 2:
            self._sizes += 1
            own = (self._spec.height, self._spec.width)
            first = self._sizes == 1
            model = _with_resize(self._model, frame) if first else self._model
            self._compile(model, frame.shape[:2] if first else own)
        if frame.shape[:2] == self._size:
            np.copyto(self._frame[0], frame)
        else:
            resize(frame, self._spec, out=self._frame[0])


@functools.cache
def _core() -> openvino.Core:
    """Return the one core of this process; it is never given back.

    A core's CPU plugin brings a stack for signal handlers and restores the one before when it
    goes. Cores that go in the order they came restore a stack that is no more, and the next
    Ctrl-C ends the process with a segmentation fault (seen with OpenVINO 2026.4).
    """
    return openvino.Core()


def require_bfloat16(capabilities: Sequence[str]) -> None:
    """Raise `EdgeSegError` where the processor's ``OPTIMIZATION_CAPABILITIES`` lack BF16.

    OpenVINO would run float32 in its place, and say nothing.
    """
    if "BF16" not in capabilities:
        raise EdgeSegError(
            "this processor has no bfloat16 arithmetic (AVX-512 BF16 or AMX): take another "
            "precision, such as int8"
        )


def _read(model: bytes) -> openvino.Model:
    try:
        return _core().read_model(io.BytesIO(model))
    except RuntimeError as error:
        raise EdgeSegError(f"OpenVINO cannot read the model: {in_one_line(error)}") from error


def _end(port: openvino.Output) -> tuple[str, tuple[int, ...]]:
    return port.get_element_type().to_dtype().name, tuple(port.partial_shape.get_max_shape())


def _with_resize(model: openvino.Model, frame: Frame) -> openvino.Model:
    """Return a copy of ``model`` that takes frames of this frame's size."""
    steps = PrePostProcessor(model.clone())
    source = steps.input()
    source.tensor().set_shape([1, *frame.shape]).set_layout(openvino.Layout("NHWC"))
    source.model().set_layout(openvino.Layout("NHWC"))
    source.preprocess().resize(ResizeAlgorithm.RESIZE_LINEAR)
    return steps.build()


def open_session(
    model: bytes, spec: InputSpec, options: Options, threads: int | None
) -> OpenVinoSession:
    """Load an ONNX file in the way that ``options`` say; raises `EdgeSegError` where it cannot."""
    floats = str(options.get("floats", "f32"))
    if floats == "bf16":
        require_bfloat16(_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    kind = ResizingOpenVinoSession if options.get("resize") == "graph" else OpenVinoSession
    return kind(model, spec, threads, floats)
