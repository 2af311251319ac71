"""What a built engine was built for: the JSON beside it in the cache, and the name of its files.

    wanted = BuiltFor(layout=1, model_sha256="…", gpu="Orin", compute_capability="8.7", ...)
    wanted.unlike(found)    # "was built with TensorRT 10.3.0, this is TensorRT 10.7.0"

A file in a cache may have been written by anybody: it is decoded strictly, and what is printed of
it is one line.
"""

from __future__ import annotations

import msgspec

from edge_seg.files import sha256

ABOUT_LIMIT = 1 << 16
"""No JSON of ours has more bytes."""
_NAMES = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT for RTX"}


class BuiltFor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a plan depends on; the precision is in the model."""

    layout: int
    model_sha256: str
    gpu: str
    compute_capability: str
    tensorrt: str
    tensorrt_version: str
    cuda_driver: int
    dla: bool
    workspace_bytes: int | None

    @property
    def key(self) -> str:
        """The name of its files."""
        return sha256(msgspec.json.encode(self))[:32]

    @property
    def timing_key(self) -> str:
        """The name of the timing cache, which all models share."""
        nobodys = msgspec.structs.replace(self, model_sha256="", dla=False, workspace_bytes=None)
        return nobodys.key

    def unlike(self, other: BuiltFor) -> str:
        """Say in what ``other``, which was built before, does not fit; "" where it does."""
        if self.model_sha256 != other.model_sha256:
            return "was built from another model"
        if self.layout != other.layout:
            return "was built by another version of edge-seg"
        if (self.gpu, self.compute_capability) != (other.gpu, other.compute_capability):
            theirs = f"{_plain(other.gpu)}, {_plain(other.compute_capability)}"
            return f"was built for another GPU ({theirs})"
        if self._tensorrt() != other._tensorrt():
            return f"was built with {other._tensorrt()}, this is {self._tensorrt()}"
        if self.cuda_driver != other.cuda_driver:
            return f"was built under CUDA {other.cuda_driver}, this is CUDA {self.cuda_driver}"
        if self.dla != other.dla:
            return f"was built {'for' if other.dla else 'without'} DLA"
        return "was built with another workspace" if self != other else ""

    def differences(self, other: BuiltFor) -> int:
        """Count the fields that differ."""
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return sum(one != two for one, two in zip(mine, theirs, strict=True))

    def _tensorrt(self) -> str:
        name = _NAMES.get(self.tensorrt, _plain(self.tensorrt))
        return f"{name} {_plain(self.tensorrt_version)}"


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the JSON beside a plan holds."""

    plan_sha256: str
    plan_bytes: int
    built_for: BuiltFor

    def encoded(self) -> bytes:
        """Return it as a file, for people too."""
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"

    @classmethod
    def decoded(cls, content: bytes) -> About | None:
        """Read it from a file; None where that is none of ours, whatever it is."""
        try:
            return msgspec.json.decode(content, type=cls)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            return None


def _plain(text: str) -> str:
    """Return what may be printed of a text that anybody may have written."""
    return "".join(letter for letter in text if letter.isprintable())[:60]
