"""Metrics by hand, by brute force and against scikit-learn."""

from __future__ import annotations

import math
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet, FrameSetWriter
from edge_seg.metrics import BoundaryF1, Confusion, boundary_f1, evaluate

TRUTH = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 255, 255]], np.uint8)
PREDICTION = np.array([[0, 1, 1, 1], [0, 0, 1, 0], [2, 1, 2, 0]], np.uint8)


def masks(seed: int, classes: int = 3, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, shape).astype(np.uint8)


def confusion_of(prediction: np.ndarray, truth: np.ndarray, classes: int = 3) -> Confusion:
    confusion = Confusion(classes)
    confusion.add(prediction, truth)
    return confusion


def test_confusion_by_hand() -> None:
    confusion = confusion_of(PREDICTION, TRUTH)
    assert confusion.matrix.tolist() == [[3, 1, 0], [1, 3, 0], [0, 1, 1]]
    np.testing.assert_allclose(confusion.iou(), [3 / 5, 3 / 6, 1 / 2])
    np.testing.assert_allclose(confusion.dice(), [6 / 8, 6 / 9, 2 / 3])
    assert confusion.miou() == pytest.approx((0.6 + 0.5 + 0.5) / 3)
    assert confusion.pixel_accuracy() == pytest.approx(7 / 10)


def test_a_class_that_occurs_nowhere_is_left_out_of_the_mean() -> None:
    zeros = np.zeros((2, 2), np.uint8)
    confusion = confusion_of(zeros, zeros)
    assert confusion.iou()[0] == 1
    assert np.isnan(confusion.iou()[1:]).all()
    assert np.isnan(confusion.dice()[1:]).all()
    assert confusion.miou() == 1


def test_a_class_only_predicted_has_iou_zero() -> None:
    confusion = confusion_of(np.array([[0, 1]], np.uint8), np.array([[0, 0]], np.uint8))
    np.testing.assert_allclose(confusion.iou(), [0.5, 0, math.nan])
    assert confusion.miou() == 0.25


def test_nothing_labelled_has_no_score() -> None:
    confusion = confusion_of(np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8))
    assert confusion.matrix.sum() == 0
    assert math.isnan(confusion.miou())
    assert math.isnan(confusion.pixel_accuracy())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 2), classes=st.integers(2, 8))
def test_equals_scikit_learn(seed: int, classes: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the peer")
    prediction, truth = masks(seed, classes).ravel(), masks(seed + 1, classes).ravel()
    confusion = confusion_of(prediction[None], truth[None], classes)
    ids = range(classes)
    matrix = sklearn.confusion_matrix(truth, prediction, labels=ids)
    np.testing.assert_array_equal(confusion.matrix, matrix)
    iou = sklearn.jaccard_score(truth, prediction, labels=ids, average=None)
    np.testing.assert_allclose(confusion.iou(), iou)
    dice = sklearn.f1_score(truth, prediction, labels=ids, average=None)
    np.testing.assert_allclose(confusion.dice(), dice)
    accuracy = sklearn.accuracy_score(truth, prediction)
    assert confusion.pixel_accuracy() == pytest.approx(accuracy)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 2), split=st.integers(1, 19))
def test_frames_pool_and_iou_is_symmetric(seed: int, split: int) -> None:
    a, b = masks(seed), masks(seed + 1)
    parts = Confusion(3)
    parts.add(a[:split], b[:split])
    parts.merge(confusion_of(a[split:], b[split:]))
    np.testing.assert_array_equal(parts.matrix, confusion_of(a, b).matrix)
    np.testing.assert_allclose(parts.iou(), confusion_of(b, a).iou())
    iou = parts.iou()
    np.testing.assert_allclose(parts.dice(), 2 * iou / (1 + iou))


@pytest.mark.parametrize(
    ("prediction", "truth", "words"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), "frame's size"),
        (np.zeros((1, 2, 3), np.uint8), np.zeros((1, 2, 3), np.uint8), "frame's size"),
        (np.zeros((2, 2), np.int64), np.zeros((2, 2), np.uint8), "uint8"),
        (np.full((2, 2), 3, np.uint8), np.zeros((2, 2), np.uint8), "prediction holds class 3"),
        (np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8), "prediction holds class 255"),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), 9, np.uint8), "truth holds class 9"),
    ],
)
def test_masks_that_do_not_fit_are_refused(prediction, truth, words: str) -> None:
    confusion = Confusion(3)
    with pytest.raises(EdgeSegError, match=words):
        confusion.add(prediction, truth)
    assert confusion.matrix.sum() == 0


def stripe(column: int, width: int = 3) -> np.ndarray:
    mask = np.zeros((10, 20), np.uint8)
    mask[:, column : column + width] = 2
    return mask


def test_boundary_by_hand() -> None:
    truth = stripe(5)  # boundary: columns 5 and 7 (the frame's border is none)
    assert boundary_f1(truth, truth, 2, 0) == 1
    # Shifted by 2: boundaries at 7 and 9; with tolerance 0 only column 7 meets.
    assert boundary_f1(stripe(7), truth, 2, 0) == pytest.approx(0.5)
    assert boundary_f1(stripe(7), truth, 2, 2) == 1
    assert boundary_f1(stripe(12), truth, 2, 3) == 0
    # Twice the paint: all of the truth is found, half of the prediction is right.
    both = np.maximum(stripe(5), stripe(12))
    assert boundary_f1(both, truth, 2, 1) == pytest.approx(2 * 0.5 * 1 / 1.5)


def test_boundary_tolerance_is_euclidean() -> None:
    a, b = np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)
    a[2, 2], b[4, 4] = 1, 1  # sqrt(8) = 2.83 apart
    assert boundary_f1(a, b, 1, 2.8) == 0
    assert boundary_f1(a, b, 1, 2.83) == 1


def test_boundary_of_absent_classes() -> None:
    nothing = np.zeros((10, 20), np.uint8)
    assert math.isnan(boundary_f1(nothing, nothing, 2, 3))
    assert boundary_f1(stripe(5), nothing, 2, 3) == 0
    assert boundary_f1(nothing, stripe(5), 2, 3) == 0
    full = np.full((10, 20), 2, np.uint8)
    assert math.isnan(boundary_f1(full, full, 2, 3))


def test_ignored_pixels_make_no_boundary() -> None:
    truth = stripe(5)
    truth[:, 8:] = 255
    assert boundary_f1(np.where(np.arange(20) >= 5, 2, 0).astype(np.uint8) * np.ones_like(truth),
                       truth, 2, 0) == 1  # fmt: skip


def brute_force_f1(prediction: np.ndarray, truth: np.ndarray, id: int, tolerance: float) -> float:
    def boundary(mask: np.ndarray) -> list[tuple[int, int]]:
        height, width = mask.shape
        points = []
        for y in range(height):
            for x in range(width):
                if mask[y, x] != id or truth[y, x] == 255:
                    continue
                for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    inside = 0 <= v < height and 0 <= u < width
                    if inside and truth[v, u] != 255 and mask[v, u] != id:
                        points.append((y, x))
                        break
        return points

    def near(some, others) -> int:
        return sum(any(math.dist(p, q) <= tolerance for q in others) for p in some)

    p, t = boundary(prediction), boundary(truth)
    if not p and not t:
        return math.nan
    if not p or not t:
        return 0.0
    precision, recall = near(p, t) / len(p), near(t, p) / len(t)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 2), tolerance=st.sampled_from([0, 1, 1.5, 2, 3]))
def test_boundary_equals_brute_force(seed: int, tolerance: float) -> None:
    draw = np.random.default_rng(seed)
    truth = draw.choice(np.array([0, 1, 2, 255], np.uint8), (9, 11), p=[0.7, 0.1, 0.1, 0.1])
    prediction = draw.choice(np.array([0, 1, 2], np.uint8), (9, 11), p=[0.7, 0.15, 0.15])
    expected = brute_force_f1(prediction, truth, 2, tolerance)
    assert boundary_f1(prediction, truth, 2, tolerance) == pytest.approx(expected, nan_ok=True)


def test_boundary_averages_frames_that_have_one() -> None:
    score = BoundaryF1(2, tolerance_px=0)
    assert math.isnan(score.mean())
    score.add(stripe(7), stripe(5))
    score.add(stripe(5), stripe(5))
    score.add(np.zeros((10, 20), np.uint8), np.zeros((10, 20), np.uint8))
    assert score.mean() == pytest.approx((0.5 + 1) / 2)


def frame_set(path: Path, labels: list[np.ndarray], **about) -> FrameSet:
    with FrameSetWriter(path, name="s", **about) as writer:
        for index, mask in enumerate(labels):
            image = np.full((*mask.shape, 3), index, np.uint8)
            writer.add(image, mask, format="png")
    return FrameSet.open(path)


def answers(predictions: list[np.ndarray]):
    return lambda frame: predictions[frame[0, 0, 0]]


def test_evaluation_by_hand_is_percent_and_json(tmp_path: Path) -> None:
    frames = frame_set(tmp_path / "s", [TRUTH, TRUTH])
    seen: list[tuple[int, int]] = []
    perfect = np.where(TRUTH == 255, 0, TRUTH).astype(np.uint8)
    result = evaluate(
        answers([PREDICTION, perfect]), frames, lambda *step: seen.append(step), tolerance_px=1
    )
    assert result.confusion == [[7, 1, 0], [1, 7, 0], [0, 1, 3]]
    assert result.confusion_classes == ["background", "road", "lane_marking"]
    assert result.iou["road"] == pytest.approx(100 * 7 / 10)
    assert result.miou == pytest.approx(100 * (7 / 9 + 7 / 10 + 3 / 4) / 3)
    assert result.dice["lane_marking"] == pytest.approx(100 * 6 / 7)
    assert result.pixel_accuracy == pytest.approx(100 * 17 / 20)
    assert result.per_frame_miou[1] == 100
    assert set(result.boundary_f1) == {"road", "lane_marking"}
    assert (result.frames, result.frame_set_digest) == (2, frames.digest)
    assert seen == [(1, 2), (2, 2)]
    again = msgspec.json.decode(msgspec.json.encode(result), type=type(result))
    assert again == result


def test_absent_classes_are_null_in_json(tmp_path: Path) -> None:
    zeros = np.zeros((4, 4), np.uint8)
    result = evaluate(answers([zeros]), frame_set(tmp_path / "s", [zeros]))
    assert result.iou == {"background": 100.0, "road": None, "lane_marking": None}
    assert result.miou == 100.0
    assert result.boundary_f1 == {"road": None, "lane_marking": None}


def test_road_only_counts_paint_as_road(tmp_path: Path) -> None:
    truth = np.array([[0, 0, 1, 1, 1, 255]], np.uint8)
    prediction = np.array([[0, 1, 1, 2, 0, 2]], np.uint8)
    labels = {"scored": ("road",), "merge": {"lane_marking": "road"}}
    result = evaluate(answers([prediction]), frame_set(tmp_path / "s", [truth], **labels))
    assert result.confusion_classes == ["rest", "road"]
    assert result.confusion == [[1, 1], [1, 2]]
    assert result.iou == {"road": pytest.approx(50.0)}
    assert result.miou == result.iou["road"]
    assert set(result.boundary_f1) == {"road"}


def test_lane_only_scores_paint_against_the_rest(tmp_path: Path) -> None:
    truth = np.array([[0, 0, 2, 2, 2, 255]], np.uint8)
    prediction = np.array([[1, 2, 2, 2, 1, 1]], np.uint8)
    frames = frame_set(tmp_path / "s", [truth], scored=("lane_marking",))
    result = evaluate(answers([prediction]), frames)
    assert result.confusion == [[1, 1], [1, 2]]
    assert result.iou == {"lane_marking": pytest.approx(50.0)}
    assert result.pixel_accuracy == pytest.approx(60.0)


def test_foreign_predictions_are_refused_where_only_some_classes_are_scored(tmp_path: Path) -> None:
    frames = frame_set(tmp_path / "s", [np.zeros((2, 2), np.uint8)], scored=("road",))
    with pytest.raises(EdgeSegError, match="prediction holds class 7"):
        evaluate(answers([np.full((2, 2), 7, np.uint8)]), frames)


def test_evaluation_needs_masks_and_masks(tmp_path: Path) -> None:
    with FrameSetWriter(tmp_path / "s", name="s") as writer:
        writer.add(np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(EdgeSegError, match="1 of 1 frames of 's' have no mask"):
        evaluate(answers([]), FrameSet.open(tmp_path / "s"))
    frames = frame_set(tmp_path / "t", [np.zeros((2, 2), np.uint8)])
    for wrong in (np.zeros((2, 2)), [[0]], frames[0].image, np.zeros((3, 2), np.uint8)):
        with pytest.raises(EdgeSegError, match="must be"):
            evaluate(answers([wrong]), frames)  # type: ignore[list-item]


def test_a_frame_is_scored_in_milliseconds() -> None:
    """Not a benchmark: a loop over pixels or classes would take a hundred times as long."""
    truth, prediction = masks(0, 3, (480, 640)), masks(1, 3, (480, 640))
    confusion, boundary, best = Confusion(3), BoundaryF1(2), math.inf
    for _ in range(5):
        start = time.perf_counter()
        confusion.add(prediction, truth)
        boundary.add(prediction, truth)
        best = min(best, time.perf_counter() - start)
    assert best < 0.03
