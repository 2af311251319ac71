"""TorchScript on the device: the archive is loaded, the frame buffer is shared."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch

from edge_seg.engines.session import Options
from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.preprocess import Frame, InputSpec, Mask, resize
from edge_seg.quiet import quiet

# Where tensors of different grids are concatenated, the first one's counts; FX makes that one
# reach over all of them, which torch cannot know.
warnings.filterwarnings("ignore", "All inputs of this cat operator must share")


class TorchSession:
    """A `edge_seg.engines.session.Session` on PyTorch's CPU kernels.

    ``kernels`` names the quantized ones: they hold the weights in their own layout.
    """

    def __init__(
        self, model: bytes, spec: InputSpec, threads: int | None, kernels: str = "fbgemm"
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        self._kernels = kernels
        self._choose_kernels()
        frame = torch.zeros(1, spec.height, spec.width, 3, dtype=torch.uint8)
        try:
            with quiet(), torch.inference_mode():
                self._module = torch.jit.load(io.BytesIO(model), map_location="cpu")
                self._module(frame)  # the first run warns of what is deprecated
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
        self._choose_kernels()  # one setting for the process, and another session may be open
        with torch.inference_mode():
            self._ids = self._module(self._input)[0].numpy()

    def ids(self) -> Mask:
        """Return the last output."""
        return self._ids

    def close(self) -> None:
        """Drop the module."""
        del self._module

    def _choose_kernels(self) -> None:
        try:
            torch.backends.quantized.engine = self._kernels
        except RuntimeError as error:
            known = ", ".join(torch.backends.quantized.supported_engines)
            raise EdgeSegError(
                f"this PyTorch has no {self._kernels} kernels, only {known}: "
                "install a CPU build from pypi.org"
            ) from error


def open_session(
    model: bytes, spec: InputSpec, options: Options, threads: int | None
) -> TorchSession:
    """Load a TorchScript archive."""
    return TorchSession(model, spec, threads)
