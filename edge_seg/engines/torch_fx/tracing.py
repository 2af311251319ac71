"""The file of the engines that are PyTorch: TorchScript with frame in and mask out.

    payload = traced(network, model)   # its input's size and its task
    torch.jit.load(io.BytesIO(payload))(frame)  # (1, h, w, 3) uint8 BGR -> (1, h, w) uint8 ids

Law: equal networks give equal bytes, which say nothing of the machine that wrote them.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from typing import TYPE_CHECKING

import torch
from torch import nn

from edge_seg.engines.lowering import CannotLowerError
from edge_seg.errors import in_one_line
from edge_seg.masks import FARTHEST
from edge_seg.preprocess import InputSpec

if TYPE_CHECKING:
    from edge_seg.models.model import Model

_NOT_THE_NETWORK = re.compile(r".*\.debug_pkl|.*/\.data/serialization_id")
"""Members that name source files of this machine, and a digest over all members."""
_COUNTED = re.compile(rb"(?<=torch_fx[./]tracing)[./]___torch_mangle_\d+(?=[.\n])")
"""What torch adds to a class's name where this process has traced one of that name before."""


class FrameToIds(nn.Module):
    """The network with its ends on: uint8 BGR (1, h, w, 3) in, uint8 ids (1, h, w) out."""

    def __init__(self, network: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.network = network
        std = torch.tensor(spec.std).reshape(1, 3, 1, 1)
        self.scale = nn.Buffer(1.0 / (255.0 * std))
        self.offset = nn.Buffer(-torch.tensor(spec.mean).reshape(1, 3, 1, 1) / std)

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """Normalise, run, decide."""
        rgb = frame.permute(0, 3, 1, 2).flip(1).float()
        return self.decide(self.network(rgb * self.scale + self.offset))

    def decide(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the ids (1, h, w) of logits (1, classes, h, w)."""
        return logits.argmax(1).to(torch.uint8)


class FrameToDepth(FrameToIds):
    """The same, of a depth network: depths as `edge_seg.masks` says."""

    def decide(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the mask (1, h, w) of answers (1, 1, h, w)."""
        return (logits[:, 0] * FARTHEST).round().clamp(0.0, FARTHEST).to(torch.uint8)


def traced(network: nn.Module, model: Model) -> bytes:
    """Return a TorchScript archive; raises `CannotLowerError` where the network cannot be run.

    Tracing runs it once, on the kernels that are set: a quantized kernel that refuses what it is
    given does so here.
    """
    spec = model.input
    whole = FrameToDepth if model.classes.depth else FrameToIds
    frame = torch.zeros(1, spec.height, spec.width, 3, dtype=torch.uint8)
    buffer = io.BytesIO()
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            script = torch.jit.trace(whole(network, spec).eval(), frame, check_trace=False)
            torch.jit.save(torch.jit.freeze(script), buffer)
    except Exception as error:  # the user's own code runs here: anything may come
        reason = in_one_line(error, 200)
        raise CannotLowerError(f"PyTorch cannot trace the module: {reason}") from error
    return _tidied(buffer)


def _tidied(archive: io.BytesIO) -> bytes:
    """Return the archive without what differs from one machine or process to the next."""
    tidied = io.BytesIO()
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(tidied, "w") as new:
        for name in old.namelist():
            if _NOT_THE_NETWORK.fullmatch(name):
                continue
            payload = old.read(name)
            if name.endswith((".py", ".pkl")):
                payload = _COUNTED.sub(b"", payload)
            # A ZipInfo made here has the year 1980 for its date.
            new.writestr(zipfile.ZipInfo(_COUNTED.sub(b"", name.encode()).decode()), payload)
    return tidied.getvalue()
