"""What a guest runs to have one frame counted: ``python counted.py FILE.tflite``.

The counter (count.c) takes syscall 9999 for a mark. One thread: it counts no more than one.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

MARK = 9999


def main() -> None:
    """Run two frames, the second between marks: the first one may also set up kernels."""
    from ai_edge_litert.interpreter import Interpreter

    mark = ctypes.CDLL(None).syscall
    interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
    interpreter.allocate_tensors()
    for tensor in interpreter.get_input_details():
        interpreter.set_tensor(tensor["index"], _noise(tensor["shape"], np.dtype(tensor["dtype"])))
    interpreter.invoke()
    mark(MARK)
    interpreter.invoke()
    mark(MARK)


def _noise(shape: npt.NDArray[np.int32], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the same numbers at every call: over the range of integers, or within 0..1."""
    random = np.random.default_rng(0)
    if kind.kind == "f":
        return random.random(tuple(shape)).astype(kind)
    limits = np.iinfo(kind)
    return random.integers(limits.min, limits.max, tuple(shape), endpoint=True).astype(kind)


if __name__ == "__main__":
    main()
