"""LiteRT on the device: the interpreter's own tensors are filled and read, nothing is copied.

Runs with ai-edge-litert, and with its predecessor tflite-runtime where only that is installed.
Class ids are found here and not in the graph: there is no fast kernel for an argmax over the
last axis, and a few compares over planes take less.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_seg.engines.session import Options
from edge_seg.errors import EdgeSegError, MissingRuntimeError, in_one_line
from edge_seg.masks import FARTHEST
from edge_seg.preprocess import Frame, InputSpec, Mask, resize
from edge_seg.quiet import quiet

DEPTH = "depth"
"""What a depth network's output is called in the file; any other's are logits."""


class LiteRtSession:
    """A `edge_seg.engines.session.Session` on XNNPACK's kernels."""

    def __init__(self, model: bytes, spec: InputSpec, threads: int | None) -> None:
        interpreter = _runtime()
        try:
            with quiet():
                self._interpreter: Any = interpreter.Interpreter(
                    model_content=model, num_threads=threads or _cores()
                )
                self._interpreter.allocate_tensors()
                source, logits = _ends(self._interpreter, spec)
                self._table = _pixel_table(source)
                # A damaged file may load and still not run: better now than in mid-drive.
                self._interpreter.invoke()
                self._input = self._interpreter.tensor(source["index"])
                self._logits = self._interpreter.tensor(logits["index"])
                _ = self._input().shape, self._logits().shape
        except (ValueError, RuntimeError, MemoryError) as error:
            raise EdgeSegError(_refusal(interpreter, error)) from error
        self._spec = spec
        self._frame = np.empty((spec.height, spec.width, 3), np.uint8)
        depth = logits["name"] == DEPTH
        self._ids = Depths(logits, spec) if depth else ClassIds(spec.height, spec.width)

    def preprocess(self, frame: Frame) -> None:
        """Resize, then write each pixel's value on the input's grid into the input."""
        resized = resize(frame, self._spec, out=self._frame)
        view = self._input()[0]
        if view.dtype == np.int8:
            np.bitwise_xor(resized.view(np.int8), np.int8(-128), out=view)  # less 128
        else:
            cv2.LUT(resized, self._table, dst=view)

    def infer(self) -> None:
        """Run the graph."""
        self._interpreter.invoke()

    def ids(self) -> Mask:
        """Return the class of the highest logit, or the depth, by the buffers made once."""
        return self._ids(self._logits()[0])

    def close(self) -> None:
        """Drop the interpreter."""
        del self._input, self._logits, self._interpreter


class ClassIds:
    """Logits (h, w, classes) of any number type to ids (h, w) uint8; ties go to the lower id."""

    def __init__(self, height: int, width: int) -> None:
        self._ids = np.empty((height, width), np.uint8)
        self._better = np.empty((height, width), np.bool_)
        self._id = np.empty((height, width), np.uint8)
        self._planes: Any = None

    def __call__(self, logits: npt.NDArray[Any]) -> Mask:
        """Return the ids in a buffer that the next call overwrites."""
        self._planes = cv2.split(logits, self._planes)  # into those of the last call
        best, *others = self._planes
        self._ids[:] = 0
        for number, plane in enumerate(others, 1):
            np.greater(plane, best, out=self._better)
            np.multiply(self._better.view(np.uint8), np.uint8(number), out=self._id)
            # A later class that is better has the higher number too.
            np.maximum(self._ids, self._id, out=self._ids)
            np.maximum(best, plane, out=best)
        return self._ids


class Depths:
    """A depth network's answer (h, w, 1) to mask values (h, w) uint8, as `edge_seg.masks` says.

    ``output`` are the tensor's details: an integer has 256 values or 65,536, whose depths are
    looked up.
    """

    def __init__(self, output: dict[str, Any], spec: InputSpec) -> None:
        self._mask = np.empty((spec.height, spec.width), np.uint8)
        self._scaled = np.empty((spec.height, spec.width), np.float32)
        self._table: npt.NDArray[np.uint8] | None = None
        kind = np.dtype(output["dtype"])
        if kind != np.float32:
            scale, zero_point = output["quantization"]
            limits = np.iinfo(kind)
            values = np.arange(limits.min, limits.max + 1, dtype=np.float32)
            self._least = int(limits.min)
            self._table = self._rounded((values - zero_point) * np.float32(scale * FARTHEST))

    def __call__(self, answer: npt.NDArray[Any]) -> Mask:
        """Return the depths in a buffer that the next call overwrites."""
        plane = answer[:, :, 0]
        if self._table is not None:
            np.take(self._table, plane.astype(np.int32) - self._least, out=self._mask)
            return self._mask
        np.multiply(plane, np.float32(FARTHEST), out=self._scaled)
        np.copyto(self._mask, self._rounded(self._scaled))
        return self._mask

    @staticmethod
    def _rounded(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        return np.clip(np.rint(values), 0, FARTHEST).astype(np.uint8)


def _runtime() -> ModuleType:
    """Import the interpreter of whichever runtime is installed."""
    try:
        from ai_edge_litert import interpreter
    except ModuleNotFoundError:
        if int(np.__version__.split(".")[0]) >= 2:  # it would raise a SystemError that says nothing
            raise MissingRuntimeError(
                f"tflite-runtime needs numpy 1, and {np.__version__} is installed: "
                "pip install 'numpy<2', or the newer runtime: pip install ai-edge-litert"
            ) from None
        from tflite_runtime import interpreter
    return interpreter


def _refusal(runtime: ModuleType, error: Exception) -> str:
    """Say why a model was not loaded; the old runtime lacks operators and versions of them."""
    older = "tflite" in runtime.__name__
    hint = "; pip install ai-edge-litert, which knows more operators" if older else ""
    return f"LiteRT refuses the model: {in_one_line(error)}{hint}"


def _cores() -> int:
    """Return how many cores this process may use: LiteRT itself would use one."""
    return len(os.sched_getaffinity(0))


def _ends(interpreter: Any, spec: InputSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the input's and the output's details; refuse those that are no frame and no logits."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    wanted = (1, spec.height, spec.width)
    shapes = [tuple(int(side) for side in end["shape"]) for end in (*inputs, *outputs)]
    if len(shapes) != 2 or shapes[0] != (*wanted, 3) or shapes[1][:3] != wanted:
        raise EdgeSegError(
            f"the model goes through {shapes}, its bundle says {(*wanted, 3)} to "
            f"{(*wanted, 'classes')}: pack the model again"
        )
    return inputs[0], outputs[0]


def _pixel_table(source: dict[str, Any]) -> npt.NDArray[Any]:
    """Return for each pixel value 0..255 its number on the input's grid."""
    pixels = np.arange(256, dtype=np.float32)
    kind = np.dtype(source["dtype"])
    if kind == np.float32:
        return pixels
    scale, zero_point = source["quantization"]
    limits = np.iinfo(kind)
    return np.clip(np.rint(pixels / scale) + zero_point, limits.min, limits.max).astype(kind)


def open_session(
    model: bytes, spec: InputSpec, options: Options, threads: int | None
) -> LiteRtSession:
    """Load a .tflite file; ``options`` were spent when the file was made."""
    return LiteRtSession(model, spec, threads)
