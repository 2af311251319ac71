"""A .tflite file rewritten: other tensor names, and equal vectors stored once.

The converter names a tensor by all the classes on the way to it, some 900 bytes each, and the
quantizer writes eight bytes of zero point, all zero, for every channel of every weight and
bias: together a seventh of an int8 MobileNet. Neither changes what the file computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt

IDENTIFIER = b"TFL3"
"""Of a TensorFlow Lite flatbuffer (schema.fbs, ``file_identifier``)."""


class SharingBuilder(flatbuffers.Builder):
    """Writes a vector of the same type and content once; whoever needs it points to it."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: npt.NDArray[Any]) -> int:  # flatbuffers' name
        """Return the offset of a vector."""
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]


def rewrite(model: bytes, names: Mapping[str, str], output: str = "") -> bytes:
    """Return the file with tensors renamed, old to new, and equal vectors shared.

    ``output`` is what its one output is to be called, "" what it is.

    Law: its outputs stay what they are, to the bit.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    content: Any = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    for graph in content.subgraphs:
        for tensor in graph.tensors:
            old = tensor.name.decode()
            tensor.name = names.get(old, old).encode()
        if output:
            graph.tensors[graph.outputs[0]].name = output.encode()
    for buffer in content.buffers:
        if isinstance(buffer.data, bytes | bytearray):  # else it is written byte by byte: seconds
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
    builder = SharingBuilder(len(model))
    builder.Finish(content.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())
