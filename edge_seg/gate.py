"""The gate: how much accuracy a quantized candidate may lose.

Points are percentage points of IoU: a float mean IoU of 91.0 and a quantized one of 90.6
are a drop of 0.4 points. Of a depth they are points of SSIM.
"""

from __future__ import annotations

from edge_seg.bundle.manifest import Gate
from edge_seg.metrics import Evaluation

MAX_DROP = 0.5
"""Points of mean IoU, or of SSIM."""
MAX_CLASS_DROP = 1.0
"""Points of IoU of any one class."""


def drops(reference: Evaluation, candidate: Evaluation) -> tuple[float, dict[str, float | None]]:
    """Return the drop of the score and per class, in points; a gain is negative.

    A class that the evaluation set does not hold has no drop (None).
    """
    per_class = {name: _drop(iou, candidate.iou.get(name)) for name, iou in reference.iou.items()}
    return _drop(reference.score, candidate.score) or 0.0, per_class


def _drop(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else before - after


def why_missed(
    gate: Gate, drop: float, class_drop: dict[str, float | None], measure: str = "mean IoU"
) -> str:
    """Return what missed the gate in words, or an empty string where it is held."""
    reasons = []
    if drop > gate.max_drop:
        reasons.append(f"{measure} drops {drop:.2f} points (at most {gate.max_drop:g})")
    for name, value in class_drop.items():
        if value is not None and value > gate.max_class_drop:
            reasons.append(f"{name} drops {value:.2f} points (at most {gate.max_class_drop:g})")
    return "; ".join(reasons)
