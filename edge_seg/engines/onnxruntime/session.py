"""ONNX Runtime on the device: input and output are bound to two buffers made once."""

from __future__ import annotations

import numpy as np
import onnxruntime

from edge_seg.engines.session import Options, check_ends
from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.preprocess import Frame, InputSpec, Mask, resize

# Its wheel carries usage telemetry; nothing on a robot reports to anybody.
onnxruntime.disable_telemetry_events()


class OnnxRuntimeSession:
    """A `edge_seg.engines.session.Session` on ONNX Runtime's CPU kernels."""

    def __init__(self, model: bytes, spec: InputSpec, threads: int | None) -> None:
        options = onnxruntime.SessionOptions()
        # Spinning threads would take the cores of whatever else the robot runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise EdgeSegError(f"ONNX Runtime refuses the model: {in_one_line(error)}") from error
        ends = [*self._session.get_inputs(), *self._session.get_outputs()]
        check_ends([(end.type[len("tensor(") : -1], tuple(end.shape)) for end in ends], spec)
        self._spec = spec
        self._frame = np.empty((spec.height, spec.width, 3), np.uint8)
        self._ids = np.empty((spec.height, spec.width), np.uint8)
        self._binding = self._session.io_binding()
        source, target = ends
        self._binding.bind_input(
            source.name, "cpu", 0, np.uint8, [1, *self._frame.shape], self._frame.ctypes.data
        )
        self._binding.bind_output(
            target.name, "cpu", 0, np.uint8, [1, 1, *self._ids.shape], self._ids.ctypes.data
        )

    def preprocess(self, frame: Frame) -> None:
        """Resize into the bound input."""
        resize(frame, self._spec, out=self._frame)

    def infer(self) -> None:
        """Run the graph."""
        self._session.run_with_iobinding(self._binding)

    def ids(self) -> Mask:
        """Return the bound output."""
        return self._ids

    def close(self) -> None:
        """Drop the runtime's session."""
        del self._binding, self._session


def open_session(
    model: bytes, spec: InputSpec, options: Options, threads: int | None
) -> OnnxRuntimeSession:
    """Load an ONNX file; ``options`` were spent when the file was made."""
    return OnnxRuntimeSession(model, spec, threads)
