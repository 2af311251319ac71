"""``edge-seg eval``: documented JSON, a table for people, and its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import edge_seg, refusal

from edge_seg.bundle.archive import open_bundle
from edge_seg.classes import ClassMap
from edge_seg.frames import FrameSet, FrameSetWriter


def test_json_has_the_documented_fields(tiny_bundle: Path, few_frames: FrameSet) -> None:
    shown = json.loads(
        edge_seg("eval", tiny_bundle, few_frames.path, "--threads", 1, "--json", "--tolerance", 2)
    )
    (winner,) = [c for c in open_bundle(tiny_bundle).manifest.candidates if c.status == "winner"]
    assert shown["miou"] == pytest.approx(winner.miou)
    assert shown["iou"] == pytest.approx(winner.iou)
    assert set(shown["iou"]) == set(shown["dice"]) == {"background", "road", "lane_marking"}
    assert set(shown["boundary_f1"]) == {"road", "lane_marking"}
    assert shown["boundary_tolerance_px"] == 2
    assert shown["frames"] == len(shown["per_frame_miou"]) == len(few_frames)
    assert shown["frame_set_digest"] == few_frames.digest
    matrix = np.array(shown["confusion"])
    assert matrix.sum() == sum(few_frames.mask(i).size for i in range(len(few_frames)))
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    assert shown["iou"]["road"] == pytest.approx(100 * matrix[1, 1] / union[1])


def test_a_table_for_people(tiny_bundle: Path, few_frames: FrameSet) -> None:
    shown = edge_seg("eval", tiny_bundle, few_frames.path, "--threads", 1)
    for word in ("few-roads: 6 frames", "lane_marking", "Dice", "mean"):
        assert word in shown


def test_a_set_without_masks(tiny_bundle: Path, tmp_path: Path) -> None:
    with FrameSetWriter(tmp_path / "bare", name="bare") as writer:
        writer.add(np.zeros((8, 8, 3), np.uint8))
    assert "1 of 1 frames of 'bare' have no mask" in refusal("eval", tiny_bundle, tmp_path / "bare")


def test_a_set_of_other_classes(tiny_bundle: Path, tmp_path: Path) -> None:
    classes = ClassMap(("sky", "ground"), ((0, 0, 0), (9, 9, 9)))
    with FrameSetWriter(tmp_path / "other", name="other", classes=classes) as writer:
        writer.add(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))
    said = refusal("eval", tiny_bundle, tmp_path / "other")
    assert "'other' labels sky, ground, but the bundle has background, road, lane_marking" in said


def test_a_set_that_is_not_there(tiny_bundle: Path) -> None:
    assert "did you mean 'lane-test'?" in refusal("eval", tiny_bundle, "lane-tst")
