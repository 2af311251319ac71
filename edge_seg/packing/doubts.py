"""What a reader of a pack's table should doubt: a network that tells nothing apart loses nothing.

doubts(judged, "openvino/int8")
# ["the float network itself predicts only 'background' on lane-test: ..."]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_seg.metrics import Evaluation
from edge_seg.packing.judging import Judged


def doubts(judged: Sequence[Judged], winner: str) -> list[str]:
    """Return a line where the float network, or else the winner, predicts one class alone."""
    floats = [("the float network itself", j) for j in judged if j.precision == "float32"]
    for who, row in [*floats, *((winner, j) for j in judged if j.label == winner)]:
        if row.evaluation is not None and (only := only_class(row.evaluation)):
            return [
                f"{who} predicts only '{only}' on {row.evaluation.frame_set}: see to its weights, "
                "its input's mean and std, and the order of its classes"
            ]
    return []


def only_class(evaluation: Evaluation) -> str:
    """Return the one class that every labelled pixel was given, "" where there are several."""
    predicted = np.flatnonzero(np.asarray(evaluation.confusion, np.int64).sum(axis=0))
    return evaluation.confusion_classes[predicted[0]] if len(predicted) == 1 else ""
