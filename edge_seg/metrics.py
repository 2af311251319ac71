"""How well predicted masks match the truth: IoU, Dice, confusion and boundary F1.

    evaluation = evaluate(segmenter, FrameSet.open("lane-mini"))
    evaluation.miou                      # percent
    evaluation.iou["lane_marking"]       # percent; None where the set has no such pixel

`Confusion` and `BoundaryF1` accumulate over frames and count in 0..1; an `Evaluation` holds
percent and encodes to JSON. Counts are pooled over the whole set before dividing (as PASCAL
VOC and Cityscapes do), so a frame with little paint weighs little. A class that is neither in
the truth nor predicted anywhere has no IoU and is left out of the mean. Frame sets of depth are
scored by `edge_seg.depth_metrics`.
Truth pixels of 255 (ignore) count nowhere.

Sources: Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010 (IoU over
the pooled confusion); Csurka et al., "What is a good evaluation measure for semantic
segmentation?", BMVC 2013 (boundary F1, averaged over frames); Perazzi et al., "A Benchmark
Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016 (DAVIS: matching
boundaries by dilation with a disc).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from edge_seg.classes import IGNORE, DepthScale
from edge_seg.depth_metrics import DepthErrors, DepthScores
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from edge_seg.preprocess import Frame, Mask

BOUNDARY_TOLERANCE_PX = 3.0
"""How far apart two boundaries may be and still match. Csurka et al. allow 0.75 % of the
diagonal, 6 pixels at 640x480; paint is itself only a few pixels wide there, so half of that."""

Progress = Callable[[int, int], None]
"""Called with (frames done, frames in all)."""

_Pixels = npt.NDArray[np.bool_]
_VALUES = 256
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


class Confusion:
    """Counts of (truth, prediction) pairs; ``matrix`` (n, n) int64, rows are the truth.

    >>> confusion = Confusion(2)
    >>> confusion.add(np.array([[0, 1, 1]], np.uint8), np.array([[0, 0, 1]], np.uint8))
    >>> confusion.iou()
    array([0.5, 0.5])
    """

    def __init__(self, classes: int) -> None:
        if not 1 <= classes < IGNORE:
            raise ValueError(f"a confusion matrix has 1 to 254 classes, not {classes}")
        self.matrix: npt.NDArray[np.int64] = np.zeros((classes, classes), np.int64)

    def add(self, prediction: Mask, truth: Mask) -> None:
        """Count one frame: masks (H, W) uint8 of equal size; 255 in the truth is ignored.

        Raises `EdgeSegError` where sizes differ or an id is not a class.
        """
        _check_pair(prediction, truth)
        pairs = truth.astype(np.uint16) << 8 | prediction
        joint = np.bincount(pairs.ravel(), minlength=_VALUES**2).reshape(_VALUES, _VALUES)
        self._refuse_foreign(joint)
        classes = len(self.matrix)
        self.matrix += joint[:classes, :classes]

    def merge(self, other: Confusion) -> None:
        """Add another matrix's counts to this one's."""
        self.matrix += other.matrix

    def iou(self) -> npt.NDArray[np.float64]:
        """Intersection over union per class, 0..1; nan where a class occurs nowhere."""
        hits, truth, prediction = self._counts()
        return _divide(hits, truth + prediction - hits)

    def miou(self) -> float:
        """Mean IoU over the classes that occur, 0..1; nan where there is none."""
        return _mean(self.iou())

    def dice(self) -> npt.NDArray[np.float64]:
        """Dice coefficient (pixel F1) per class, 0..1; nan where a class occurs nowhere."""
        hits, truth, prediction = self._counts()
        return _divide(2 * hits, truth + prediction)

    def pixel_accuracy(self) -> float:
        """Share of labelled pixels that were predicted right, 0..1; nan where there is none."""
        total = int(self.matrix.sum())
        return float(np.trace(self.matrix)) / total if total else math.nan

    def _counts(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        return np.diag(self.matrix), self.matrix.sum(axis=1), self.matrix.sum(axis=0)

    def _refuse_foreign(self, joint: npt.NDArray[np.int64]) -> None:
        classes = len(self.matrix)
        predicted = np.flatnonzero(joint[:, classes:].any(axis=0)) + classes
        labelled = np.flatnonzero(joint[classes:IGNORE].any(axis=1)) + classes
        for what, ids in (("prediction", predicted), ("truth", labelled)):
            if len(ids):
                raise EdgeSegError(
                    f"a {what} holds class {ids[0]}, but there are only 0..{classes - 1}: "
                    "model and frame set must share one class map"
                )


def boundary_f1(prediction: Mask, truth: Mask, class_id: int, tolerance_px: float) -> float:
    """F1 in 0..1 of how well the boundaries of one class match within ``tolerance_px`` pixels.

    Precision is the share of predicted boundary pixels within the (Euclidean) tolerance of a
    true one, recall the other way round. A boundary pixel belongs to the class and has one of
    four neighbours that does not; the frame's border and ignored pixels make no boundary.
    nan where neither mask has a boundary of the class, 0 where only one has.
    """
    _check_pair(prediction, truth)
    labelled = truth != IGNORE
    predicted = _boundary(prediction, class_id, labelled)
    true = _boundary(truth, class_id, labelled)
    counts = np.count_nonzero(predicted), np.count_nonzero(true)
    if not any(counts):
        return math.nan
    if not all(counts):
        return 0.0
    # Growing one boundary by a disc marks all that is within its radius: the same answer as
    # thresholding a distance transform, at a tenth of the time for a few pixels.
    disc = _disc(tolerance_px)
    precision = np.count_nonzero(predicted & _grow(true, disc)) / counts[0]
    recall = np.count_nonzero(true & _grow(predicted, disc)) / counts[1]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


class BoundaryF1:
    """Mean boundary F1 of one class over the frames in which either mask has a boundary."""

    def __init__(self, class_id: int, tolerance_px: float = BOUNDARY_TOLERANCE_PX) -> None:
        self.class_id = class_id
        self.tolerance_px = tolerance_px
        self.values: list[float] = []

    def add(self, prediction: Mask, truth: Mask) -> None:
        """Score one frame: masks (H, W) uint8 of equal size."""
        value = boundary_f1(prediction, truth, self.class_id, self.tolerance_px)
        if not math.isnan(value):
            self.values.append(value)

    def mean(self) -> float:
        """Mean over the frames scored, 0..1; nan where there is none."""
        return _mean(np.array(self.values))


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Result of `evaluate`. Shares are percent; None stands where there is nothing to score.

    ``confusion`` counts pixels, rows are the truth, in order of ``confusion_classes``. Where a
    set scores only some classes, those are the ones in ``iou``, ``dice``, ``boundary_f1`` and
    ``miou``, and ``confusion_classes`` begins with "rest" for everything else. Of a depth there are
    ``depth`` and ``per_frame_ssim``, and nothing of classes.
    """

    miou: float | None
    iou: dict[str, float | None]
    dice: dict[str, float | None]
    boundary_f1: dict[str, float | None]
    boundary_tolerance_px: float
    pixel_accuracy: float | None
    confusion: list[list[int]]
    confusion_classes: list[str]
    frames: int
    per_frame_miou: list[float | None]
    frame_set: str
    frame_set_digest: str
    depth: DepthErrors | None = None
    per_frame_ssim: list[float] = []

    @property
    def score(self) -> float | None:
        """What the gate is about, in percent: mean IoU, of a depth SSIM."""
        return self.miou if self.depth is None else self.depth.ssim


def evaluate(
    predict: Callable[[Frame], Mask],
    frames: FrameSet,
    progress: Progress | None = None,
    tolerance_px: float = BOUNDARY_TOLERANCE_PX,
) -> Evaluation:
    """Run ``predict`` on every frame and score its masks against the set's.

    ``predict`` takes (H, W, 3) uint8 BGR and returns (H, W) uint8 ids of ``frames.classes``.
    What the set cannot judge is not scored: see ``scored`` and ``merge`` in
    `edge_seg.frames.manifest`. Boundary F1 is for every scored class but "background".
    Raises `EdgeSegError` where a frame has no mask or a prediction does not fit the truth.
    """
    if not math.isfinite(tolerance_px):
        raise EdgeSegError(f"the tolerance is a number of pixels, not {tolerance_px}")
    if not frames.has_masks:
        missing = sum(entry.mask is None for entry in frames.entries)
        raise EdgeSegError(
            f"{missing} of {len(frames)} frames of {frames.name!r} have no mask: "
            "accuracy needs a frame set with a mask for every frame"
        )
    if frames.classes.depth is not None:
        return _evaluate_depth(predict, frames, frames.classes.depth, progress)
    names, scored, table = _scoring(frames)
    total = Confusion(len(names))
    boundaries = {
        names[id]: BoundaryF1(id, tolerance_px) for id in scored if names[id] != "background"
    }
    per_frame: list[float | None] = []
    for index, labelled in enumerate(frames):
        assert labelled.mask is not None
        truth = _look_up(labelled.mask, table)
        prediction = _look_up(_as_mask(predict(labelled.image)), table)
        frame = Confusion(len(names))
        frame.add(prediction, truth)
        total.merge(frame)
        per_frame.append(_percent(_mean(frame.iou()[scored])))
        for boundary in boundaries.values():
            boundary.add(prediction, truth)
        if progress is not None:
            progress(index + 1, len(frames))
    iou, dice = total.iou(), total.dice()
    return Evaluation(
        miou=_percent(_mean(iou[scored])),
        iou={names[id]: _percent(iou[id]) for id in scored},
        dice={names[id]: _percent(dice[id]) for id in scored},
        boundary_f1={name: _percent(boundary.mean()) for name, boundary in boundaries.items()},
        boundary_tolerance_px=tolerance_px,
        pixel_accuracy=_percent(total.pixel_accuracy()),
        confusion=total.matrix.tolist(),
        confusion_classes=names,
        frames=len(frames),
        per_frame_miou=per_frame,
        frame_set=frames.name,
        frame_set_digest=frames.digest,
    )


def _evaluate_depth(
    predict: Callable[[Frame], Mask],
    frames: FrameSet,
    scale: DepthScale,
    progress: Progress | None,
) -> Evaluation:
    """Score depths; of classes there is nothing to say."""
    scores = DepthScores(scale)
    for index, labelled in enumerate(frames):
        assert labelled.mask is not None
        prediction = _as_mask(predict(labelled.image))
        _check_pair(prediction, labelled.mask)
        scores.add(prediction, labelled.mask)
        if progress is not None:
            progress(index + 1, len(frames))
    errors = scores.errors()
    if errors is None:
        raise EdgeSegError(f"no pixel of {frames.name!r} has a depth: it can score nothing")
    return Evaluation(
        miou=None,
        iou={},
        dice={},
        boundary_f1={},
        boundary_tolerance_px=BOUNDARY_TOLERANCE_PX,
        pixel_accuracy=None,
        confusion=[],
        confusion_classes=[],
        frames=len(frames),
        per_frame_miou=[],
        frame_set=frames.name,
        frame_set_digest=frames.digest,
        depth=errors,
        per_frame_ssim=[frame.ssim for frame in scores.frames],
    )


def _scoring(frames: FrameSet) -> tuple[list[str], list[int], npt.NDArray[np.uint8]]:
    """Return (names of the confusion's rows, rows to report, id -> row as a (256,) table)."""
    table = np.arange(_VALUES, dtype=np.uint8)
    classes = frames.classes.names
    rows = {name: id for id, name in enumerate(classes)}
    names = list(classes)
    reported = list(range(len(classes)))
    if frames.scored is not None:
        names = ["rest", *frames.scored]
        rows = {name: row for row, name in enumerate(names) if row}
        reported = list(rows.values())
    for id, name in enumerate(classes):
        table[id] = rows.get(frames.merge.get(name, name), 0)
    return names, reported, table


def _check_pair(prediction: Mask, truth: Mask) -> None:
    if prediction.dtype != np.uint8 or truth.dtype != np.uint8:
        raise EdgeSegError(f"masks are uint8, not {prediction.dtype} and {truth.dtype}")
    if prediction.ndim != 2 or prediction.shape != truth.shape:
        raise EdgeSegError(
            f"a prediction is {prediction.shape}, its truth {truth.shape}: "
            "masks must be (H, W) of the frame's size"
        )


def _as_mask(prediction: Mask) -> Mask:
    if not isinstance(prediction, np.ndarray):
        found = type(prediction).__name__
        raise EdgeSegError(f"a prediction must be a uint8 array (H, W), not a {found}")
    if prediction.dtype != np.uint8 or prediction.ndim != 2:
        found = f"{prediction.dtype} {prediction.shape}"
        raise EdgeSegError(f"a prediction must be a uint8 array (H, W), not {found}")
    return prediction


def _look_up(mask: Mask, table: npt.NDArray[np.uint8]) -> Mask:
    # OpenCV's table look-up is ten times as fast as numpy's indexing.
    return np.asarray(cv2.LUT(mask, table), np.uint8)


def _boundary(mask: Mask, class_id: int, labelled: _Pixels) -> _Pixels:
    inside = (mask == class_id) & labelled
    outside = ~inside & labelled
    return inside & _grow(outside, _CROSS)


def _grow(pixels: _Pixels, kernel: npt.NDArray[np.uint8]) -> _Pixels:
    return np.asarray(cv2.dilate(pixels.view(np.uint8), kernel)).view(np.bool_)


def _disc(radius: float) -> npt.NDArray[np.uint8]:
    reach = np.arange(-int(radius), int(radius) + 1)
    return (np.add.outer(reach**2, reach**2) <= radius**2).astype(np.uint8)


def _divide(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _mean(values: npt.NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else math.nan


def _percent(share: float) -> float | None:
    return None if math.isnan(share) else 100.0 * float(share)
