"""Weights on disk: safetensors, float16, with the network's configuration in the header.

    save("lane.safetensors", header, network.state_dict())
    stored = read("lane.safetensors")
    stored.header.architecture, stored.header.config, stored.tensors

float16 halves the file; the rounding (11 bits of mantissa) is far below what int8 quantization
takes away later. Batch norm variances are stored as float32, where float16 could overflow.
Nothing is ever unpickled.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch

from edge_seg.classes import ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.files import write_bytes
from edge_seg.preprocess import InputSpec

SCHEMA = "edge-seg/weights-1"


class Header(msgspec.Struct, frozen=True):
    """What the file says of its weights; stored as JSON under the metadata key ``edge_seg``."""

    schema: str
    architecture: str
    config: dict[str, Any]
    classes: ClassMap
    input: InputSpec
    trained_on: str = ""


class Stored(msgspec.Struct, frozen=True):
    """A weights file, read; ``header`` is None in a safetensors file of another maker."""

    header: Header | None
    tensors: dict[str, Any]


def save(path: Path | str, header: Header, state: Mapping[str, torch.Tensor]) -> None:
    """Write ``state`` with its header, whole or not at all."""
    from safetensors.torch import save as serialise

    tensors = {
        name: _compact(name, tensor).contiguous()
        for name, tensor in sorted(state.items())
        if not name.endswith("num_batches_tracked")  # counts steps, changes no output
    }
    text = msgspec.json.encode(header, order="sorted").decode()
    write_bytes(path, serialise(tensors, metadata={"edge_seg": text}))


def _compact(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point() or name.endswith("running_var"):
        return tensor.detach().cpu()
    return tensor.detach().cpu().to(torch.float16)


def read(path: Path | str) -> Stored:
    """Read a safetensors file; floats become float32.

    Raises `EdgeSegError` where the file is missing, broken, or holds NaN or infinity.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as deserialise

    path = Path(path)
    try:
        payload = path.read_bytes()
        tensors = deserialise(payload)
    except OSError as error:
        raise EdgeSegError(f"cannot read the weights {path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, KeyError) as error:
        raise EdgeSegError(f"{path} is no whole safetensors file: {error}") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            tensors[name] = tensor.float()
    refuse_not_finite(tensors, path)
    return Stored(_header(payload, path), tensors)


def _header(payload: bytes, path: Path) -> Header | None:
    """Return our header; safetensors begins with its JSON's length as a little-endian uint64."""
    (length,) = struct.unpack_from("<Q", payload)
    metadata = msgspec.json.decode(payload[8 : 8 + length]).get("__metadata__") or {}
    if "edge_seg" not in metadata:
        return None
    try:
        header = msgspec.json.decode(metadata["edge_seg"], type=Header)
    except msgspec.MsgspecError as error:
        raise EdgeSegError(f"{path} has a broken edge-seg header: {error}") from error
    if header.schema != SCHEMA:
        raise EdgeSegError(
            f"{path} has weights of schema {header.schema}, this edge-seg reads {SCHEMA}: "
            "update edge-seg"
        )
    return header


def refuse_not_finite(tensors: Mapping[str, torch.Tensor], source: Path | str) -> None:
    """Raise `EdgeSegError` where a weight is NaN or infinite, naming the first tensor."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise EdgeSegError(
                f"the weights {source} hold NaN or infinity in {name}: "
                "take an earlier checkpoint, or train again with a smaller learning rate"
            )


def fill(network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Load ``tensors`` into ``network``; every weight must be there, in its shape.

    Raises `EdgeSegError` that names the first weight which does not fit.
    """
    wanted = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    given = {name: value for name, value in tensors.items() if name in wanted}
    missing = [name for name in wanted if name not in tensors]
    unknown = [
        name for name in tensors if name not in wanted and not name.endswith("num_batches_tracked")
    ]
    if missing or unknown:
        first = (
            f"{missing[0]} is missing" if missing else f"{unknown[0]} has no place in the network"
        )
        raise EdgeSegError(
            f"the weights {source} do not fit the network: {first} "
            f"({len(missing)} missing, {len(unknown)} unknown); "
            "they belong to another network or another configuration"
        )
    for name, tensor in given.items():
        if tensor.shape != wanted[name].shape:
            raise EdgeSegError(
                f"the weights {source} do not fit the network: {name} is "
                f"{tuple(tensor.shape)}, the network has {tuple(wanted[name].shape)}"
            )
    network.load_state_dict(given, strict=False)
