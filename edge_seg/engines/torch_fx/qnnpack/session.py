"""TorchScript on qnnpack's kernels; all else is as on fbgemm's."""

from __future__ import annotations

from edge_seg.engines.session import Options
from edge_seg.engines.torch_fx.session import TorchSession
from edge_seg.preprocess import InputSpec


def open_session(
    model: bytes, spec: InputSpec, options: Options, threads: int | None
) -> TorchSession:
    """Load a TorchScript archive."""
    return TorchSession(model, spec, threads, kernels="qnnpack")
