"""TorchScript on the device: the archive is loaded, the frame buffer is shared."""

from __future__ import annotations

import io

import numpy as np
import torch

from edge_seg.engines.session import Options
from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.preprocess import Frame, InputSpec, Mask, resize


class TorchSession:
    """A `edge_seg.engines.session.Session` on PyTorch's CPU kernels."""

    def __init__(self, model: bytes, spec: InputSpec, threads: int | None) -> None:
        if threads:
            torch.set_num_threads(threads)
        torch.backends.quantized.engine = "fbgemm"
        try:
            self._module = torch.jit.load(io.BytesIO(model), map_location="cpu")
        except RuntimeError as error:
            raise EdgeSegError(f"PyTorch cannot read the model: {in_one_line(error)}") from error
        self._spec = spec
        self._frame = np.empty((spec.height, spec.width, 3), np.uint8)
        self._input = torch.from_numpy(self._frame)[None]
        self._ids: Mask = np.empty((spec.height, spec.width), np.uint8)

    def preprocess(self, frame: Frame) -> None:
        """Resize into the tensor's memory."""
        resize(frame, self._spec, out=self._frame)

    def infer(self) -> None:
        """Run the archive."""
        with torch.inference_mode():
            self._ids = self._module(self._input)[0].numpy()

    def ids(self) -> Mask:
        """Return the last output."""
        return self._ids

    def close(self) -> None:
        """Drop the module."""
        del self._module


def open_session(
    model: bytes, spec: InputSpec, options: Options, threads: int | None
) -> TorchSession:
    """Load a TorchScript archive."""
    return TorchSession(model, spec, threads)
