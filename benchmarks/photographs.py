"""Accuracy on labelled photographs: float and int8, each source by itself.

The folder holds images, masks and an index.csv with the columns file, mask, kind and
source, as ``edge-seg frames import`` reads it.
"""

from __future__ import annotations

import csv
import functools
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import msgspec
import numpy as np

from edge_seg import Segmenter
from edge_seg.frames import FrameSet
from edge_seg.frames.importers import import_folder
from edge_seg.metrics import evaluate
from edge_seg.models.registry import load
from edge_seg.preprocess import Frame, Mask
from edge_seg.training.validation import predict

KINDS = ("road+lane", "road_only", "lane_only")
EGO_LANE = "ego_lane_area"
TOLERANCE_PX = 5.0


def score(
    model_name: str, bundle: Path, folder: Path, others: Iterable[FrameSet] = ()
) -> list[dict]:
    """Return a row a source: name, kind, frames, and the scores of float and int8.

    ``others`` are labelled sets to score besides, rendered from maps, say.
    """
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    groups = sorted({(r["source"], r["kind"]) for r in rows if r["kind"] in KINDS and r["mask"]})
    ego = [r for r in rows if r["kind"] == EGO_LANE]
    model = load(model_name)

    in_float = functools.partial(predict, model.module, model.input)

    results = []
    with tempfile.TemporaryDirectory() as place, Segmenter(bundle) as segmenter:
        for source, kind in groups:
            path = Path(place) / f"{source}-{kind}"
            import_folder(folder, path, name=source, source=source, kind=kind)
            frames = FrameSet.open(path)
            results.append(_row(source, kind, frames, in_float, segmenter))
        for frames in others:
            results.append(_row(frames.name, "rendered", frames, in_float, segmenter))
        for source in sorted({r["source"] for r in ego}):
            pairs = [_ego_lane(folder, r) for r in ego if r["source"] == source]
            results.append(
                {
                    "source": source,
                    "kind": EGO_LANE,
                    "frames": len(pairs),
                    "float": _found(in_float, pairs),
                    "int8": _found(segmenter, pairs),
                }
            )
    return results


def _row(source: str, kind: str, frames: FrameSet, in_float: object, segmenter: Segmenter) -> dict:
    return {
        "source": source,
        "kind": kind,
        "frames": len(frames),
        "float": _scores(in_float, frames),
        "int8": _scores(segmenter, frames),
    }


def _ego_lane(folder: Path, row: dict[str, str]) -> tuple[Frame, Mask]:
    """Return a photograph and the mask of the lane that its car is in."""
    frame = cv2.imread(str(folder / row["file"]))
    mask = cv2.imread(str(folder / row["mask_native"]), cv2.IMREAD_GRAYSCALE)
    assert frame is not None, row["file"]
    assert mask is not None, row["mask_native"]
    return frame, (mask == 1).astype(np.uint8)


def _found(predict: Callable[[Frame], Mask], pairs: list[tuple[Frame, Mask]]) -> dict:
    """Return the share of the ego lane that is taken for road or its marking, percent.

    Only one lane is labelled, so nothing can be said about road elsewhere: no IoU.
    """
    found = sum(int(np.count_nonzero(lane[predict(frame) > 0])) for frame, lane in pairs)
    return {"ego_lane_found": 100.0 * found / sum(int(lane.sum()) for _, lane in pairs)}


def _scores(predict: object, frames: FrameSet) -> dict:
    evaluation = evaluate(predict, frames, tolerance_px=TOLERANCE_PX)
    keep = ("miou", "iou", "dice", "boundary_f1", "boundary_tolerance_px")
    record = msgspec.to_builtins(evaluation)
    return {name: record[name] for name in keep}
