"""Two passes over the frames: every tensor's extremes, then histograms between them.

    seen = extremes(graph, frames)              # each frame's lowest and highest value
    counted = count_values(graph, frames, spans(seen))

The second pass knows the range from the first, so that no histogram is ever rescaled, and the order
of the frames does not matter. All activations of one frame are in memory at a time (lane-unet at
256x512: 46 million values, 180 MB), and nothing of them is kept but the counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from edge_seg.errors import EdgeSegError
from edge_seg.files import scratch_folder
from edge_seg.preprocess import Frame
from edge_seg.progress import Track, silent
from edge_seg.quantize.float_graph import FRAME
from edge_seg.quantize.observers import Histogram, Range, Seen, minmax
from edge_seg.quantize.sensitivity import literal_session

BINS = 2048
"""Eight a level of the uint8 grid, as in TensorRT (Migacz 2017, GTC S7310)."""
BLOCK = 1 << 18
"""Values that are counted at once: a megabyte, which stays in the processor's cache."""
NARROWEST = 1e-30
"""A narrower range is one value: float32 has no numbers for its bins."""


def extremes(
    graph: onnx.ModelProto, frames: Sequence[Frame], track: Track = silent
) -> dict[str, Seen]:
    """Run the float graph over frames; return every float tensor's extremes, sorted by name.

    ``frames`` are uint8 BGR (h, w, 3) at the network's size. The tensors, and the operators that
    find their extremes, are those of ONNX Runtime's min-max calibrator. Raises `EdgeSegError` where
    an extreme is not finite, naming the first tensor that is not. Its reductions pass over some
    NaNs; `count_values` over none.
    """
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    with scratch_folder() as folder:
        source = folder / "float.onnx"
        onnx.save(graph, str(source))
        session = create_calibrator(
            source,
            augmented_model_path=str(folder / "augmented.onnx"),
            calibrate_method=CalibrationMethod.MinMax,
        ).infer_session
        given = {output.name for output in session.get_outputs()}
        tensors = [name for name in _in_order(graph) if f"{name}_ReduceMin" in given]
        ends = [f"{name}_Reduce{end}" for name in tensors for end in ("Min", "Max")]
        rows = []
        for number, frame in enumerate(track(frames, "collecting ranges", len(frames)), 1):
            row = [float(value[0]) for value in session.run(ends, {FRAME: frame[None]})]
            if not np.isfinite(row).all():  # here or before here
                whole = literal_session(_giving_out(graph, tensors))
                _require_finite(tensors, whole.run(tensors, {FRAME: frame[None]}), number)
            rows.append(row)
    columns = np.array(rows).T
    seen = zip(tensors, columns[::2], columns[1::2], strict=True)
    return dict(sorted((name, Seen(lows, highs)) for name, lows, highs in seen))


def spans(seen: Mapping[str, Seen]) -> dict[str, Range]:
    """Return where the bins of each tensor lie: its values and zero; constants have none."""
    found = {}
    for name, tensor in seen.items():
        low, high = minmax(tensor)
        if high - low > NARROWEST:
            found[name] = min(low, 0.0), max(high, 0.0)
    return found


def count_values(
    graph: onnx.ModelProto,
    frames: Sequence[Frame],
    where: Mapping[str, Range],
    track: Track = silent,
) -> dict[str, Histogram]:
    """Run the float graph over frames; return the histograms of the tensors in ``where``.

    Raises `EdgeSegError` that names the tensor where a value is not finite.
    """
    if not where:
        return {}
    names = [name for name in _in_order(graph) if name in where]
    session = literal_session(_giving_out(graph, names))
    found: dict[str, Histogram] = {}
    for number, frame in enumerate(track(frames, "counting values", len(frames)), 1):
        values = session.run(names, {FRAME: frame[None]})
        _require_finite(names, values, number)
        for name, tensor in zip(names, values, strict=True):
            counted = count(tensor, *where[name])
            found[name] = found[name] + counted if name in found else counted
    return found


def count(values: npt.NDArray[np.floating], low: float, high: float, bins: int = BINS) -> Histogram:
    """Return the histogram of finite values between ``low`` and ``high``, which hold zero.

    A value outside counts in the bin at that end.
    """
    counts = np.zeros(bins, np.int64)
    zeros = 0
    start, per_unit = np.float32(low), np.float32(bins / (high - low))
    flat = values.reshape(-1).astype(np.float32, copy=False)
    for first in range(0, flat.size, BLOCK):
        block = flat[first : first + BLOCK]
        places = np.clip((block - start) * per_unit, 0, bins - 1)
        counts += np.bincount(places.astype(np.int64), minlength=bins)
        zeros += block.size - int(np.count_nonzero(block))
    of_zero = np.clip((np.float32(0) - start) * per_unit, 0, bins - 1)
    counts[int(of_zero)] -= zeros
    return Histogram(low, high, counts, zeros)


def _in_order(graph: onnx.ModelProto) -> list[str]:
    """Name the tensors as the graph computes them: of broken ones the first is the cause."""
    given = [tensor.name for tensor in graph.graph.input]
    return given + [name for node in graph.graph.node for name in node.output if name]


def _giving_out(graph: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return a copy of the graph that gives these tensors out too."""
    wide = onnx.ModelProto()
    wide.CopyFrom(graph)
    own = {output.name for output in graph.graph.output}
    wide.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in own)
    return wide


def _require_finite(names: Sequence[str], values: Sequence[np.ndarray], number: int) -> None:
    for name, tensor in zip(names, values, strict=True):
        broken = ~np.isfinite(tensor)
        if broken.any():
            raise EdgeSegError(
                f"tensor '{name}' is {tensor[broken][0]} on calibration frame {number}: it has no "
                "range; check the model's weights, or take the frame out of the calibration set"
            )
