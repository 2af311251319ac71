from __future__ import annotations

import pytest

from edge_seg.bundle.manifest import Gate
from edge_seg.gate import MAX_CLASS_DROP, MAX_DROP, drops, why_missed
from edge_seg.metrics import Evaluation

GATE = Gate(0.5, 1.0)


def scored(miou: float, **iou: float | None) -> Evaluation:
    return Evaluation(
        miou=miou,
        iou=iou,
        dice={},
        boundary_f1={},
        boundary_tolerance_px=3.0,
        pixel_accuracy=None,
        confusion=[],
        confusion_classes=[],
        frames=1,
        per_frame_miou=[],
        frame_set="set",
        frame_set_digest="",
    )


def test_a_drop_is_float_minus_quantized_in_points() -> None:
    drop, classes = drops(scored(91.0, road=95.0, lane=87.0), scored(90.5, road=95.5, lane=85.5))
    assert drop == 0.5
    assert classes == {"road": -0.5, "lane": 1.5}


def test_a_class_that_the_set_does_not_hold_has_no_drop() -> None:
    _, classes = drops(scored(95.0, road=95.0, lane=None), scored(95.0, road=95.0, lane=None))
    assert classes == {"road": 0.0, "lane": None}
    assert why_missed(GATE, 0.0, classes) == ""


@pytest.mark.parametrize(
    ("drop", "lane", "missed"),
    [
        (0.5, 1.0, []),  # the limits themselves are allowed
        (-3.0, -3.0, []),  # a gain
        (0.51, 0.0, ["mean IoU drops 0.51 points (at most 0.5)"]),
        (0.0, 1.01, ["lane drops 1.01 points (at most 1)"]),
        (
            0.9,
            2.5,
            ["mean IoU drops 0.90 points (at most 0.5)", "lane drops 2.50 points (at most 1)"],
        ),
    ],
)
def test_what_missed_the_gate_is_named(drop: float, lane: float, missed: list[str]) -> None:
    assert why_missed(GATE, drop, {"lane": lane}) == "; ".join(missed)


def test_the_default_gate_is_half_a_point_and_one_of_a_class() -> None:
    assert (MAX_DROP, MAX_CLASS_DROP) == (0.5, 1.0)
