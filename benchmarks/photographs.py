"""Accuracy on labelled photographs: float and int8, each source by itself.

The folder holds images, masks and an index.csv with the columns file, mask, kind and
source, as ``edge-seg frames import`` reads it.
"""

from __future__ import annotations

import csv
import functools
import tempfile
from pathlib import Path

import msgspec

from edge_seg import Segmenter
from edge_seg.frames import FrameSet
from edge_seg.frames.importers import import_folder
from edge_seg.metrics import evaluate
from edge_seg.models.registry import load
from edge_seg.training.validation import predict

KINDS = ("road+lane", "road_only", "lane_only")
TOLERANCE_PX = 5.0


def score(model_name: str, bundle: Path, folder: Path) -> list[dict]:
    """Return a row a source: name, kind, frames, and the scores of float and int8."""
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    groups = sorted({(r["source"], r["kind"]) for r in rows if r["kind"] in KINDS and r["mask"]})
    model = load(model_name)

    in_float = functools.partial(predict, model.module, model.input)

    results = []
    with tempfile.TemporaryDirectory() as place, Segmenter(bundle) as segmenter:
        for source, kind in groups:
            path = Path(place) / f"{source}-{kind}"
            import_folder(folder, path, name=source, source=source, kind=kind)
            frames = FrameSet.open(path)
            results.append(
                {
                    "source": source,
                    "kind": kind,
                    "frames": len(frames),
                    "float": _scores(in_float, frames),
                    "int8": _scores(segmenter, frames),
                }
            )
    return results


def _scores(predict: object, frames: FrameSet) -> dict:
    evaluation = evaluate(predict, frames, tolerance_px=TOLERANCE_PX)
    keep = ("miou", "iou", "dice", "boundary_f1", "boundary_tolerance_px")
    record = msgspec.to_builtins(evaluation)
    return {name: record[name] for name in keep}
