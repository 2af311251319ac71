"""Activation ranges: the lowest and highest value of every tensor over the calibration set.

Min-max, as the recipe's ``range_rule`` says: no outlier is cut, so that the ranges do not
depend on the order of the frames. ONNX Runtime's calibrator does the running.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx

from edge_seg.files import scratch_folder
from edge_seg.preprocess import Frame
from edge_seg.progress import Track, silent
from edge_seg.quantize.float_graph import FRAME

Ranges = dict[str, tuple[float, float]]


def collect_ranges(
    graph: onnx.ModelProto, frames: Sequence[Frame], track: Track = silent
) -> Ranges:
    """Run the float graph over frames at the network's size; return each tensor's range.

    ``frames`` are uint8 BGR (h, w, 3). Ranges are in the units of the tensors.
    """
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    if not frames:
        raise ValueError("ranges need at least one frame")
    with scratch_folder() as folder:
        source = folder / "float.onnx"
        onnx.save(graph, str(source))
        calibrator = create_calibrator(
            source,
            augmented_model_path=str(folder / "augmented.onnx"),
            calibrate_method=CalibrationMethod.MinMax,
        )
        calibrator.collect_data(_reader(iter(track(frames, "collecting ranges", len(frames)))))
        data = calibrator.compute_data().data
    ranges = {name: _low_high(value.range_value) for name, value in data.items()}
    return dict(sorted(ranges.items()))


def _low_high(values: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    low, high = values
    return float(np.min(low)), float(np.max(high))


def _reader(frames: Iterator[Frame]) -> object:
    """Hand the frames to ONNX Runtime's calibrator in the form it wants."""
    from onnxruntime.quantization.calibrate import CalibrationDataReader

    class Reader(CalibrationDataReader):
        """One graph input a call, None at the end."""

        def get_next(self) -> dict[str, np.ndarray] | None:
            frame = next(frames, None)
            return None if frame is None else {FRAME: frame[None]}

    return Reader()
