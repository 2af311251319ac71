"""Errors of depths, by hand and against another library's Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from edge_seg import gate
from edge_seg.classes import DEPTH, IGNORE, DepthScale
from edge_seg.depth_metrics import SIGMA_PX, STABLE, DepthScores, ssim
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet, FrameSetWriter
from edge_seg.metrics import evaluate

SCALE = DepthScale(1.0, 100.0)


def test_equal_maps_have_no_error() -> None:
    mask = np.random.default_rng(0).integers(0, 255, (32, 48)).astype(np.uint8)
    scores = DepthScores(SCALE)
    scores.add(mask, mask)
    errors = scores.errors()
    assert errors is not None
    assert errors.ssim == pytest.approx(100)
    assert (errors.mse, errors.rmse_m, errors.abs_rel, errors.within_125) == (0, 0, 0, 100)


def test_errors_of_flat_maps_by_hand() -> None:
    """10 m told as 100 m: half of the scale, ten times as far, 90 m wrong."""
    truth, told = np.full((20, 20), 127, np.uint8), np.full((20, 20), 254, np.uint8)
    scores = DepthScores(SCALE)
    scores.add(told, truth)
    errors = scores.frames[0]
    assert errors.mse == pytest.approx(0.25)
    assert errors.rmse_m == pytest.approx(90, rel=1e-4)
    assert errors.abs_rel == pytest.approx(900, rel=1e-4)
    assert errors.within_125 == 0
    # Flat maps differ in level alone: (2ab + C1) / (a^2 + b^2 + C1).
    assert errors.ssim == pytest.approx(100 * (2 * 0.5 + 1e-4) / (1.25 + 1e-4), rel=1e-6)


def test_what_has_no_truth_counts_nowhere() -> None:
    truth = np.full((30, 40), 100, np.uint8)
    truth[:, 20:] = IGNORE
    told = np.full((30, 40), 100, np.uint8)
    told[:, 20:] = 3
    scores = DepthScores(SCALE)
    scores.add(told, truth)
    scores.add(told, np.full((30, 40), IGNORE, np.uint8))
    assert len(scores.frames) == 1
    assert scores.frames[0].mse == 0
    assert scores.frames[0].ssim == pytest.approx(100)


def test_ssim_is_that_of_another_gaussian() -> None:
    rng = np.random.default_rng(1)
    one = gaussian_filter(rng.random((40, 60)), 2)
    other = np.clip(one + rng.normal(0, 0.02, one.shape), 0, 1)

    def blur(values: np.ndarray) -> np.ndarray:
        # 11 pixels wide: truncated 5 pixels from the middle.
        return gaussian_filter(values, SIGMA_PX, truncate=5 / SIGMA_PX, mode="reflect")

    a, b = blur(one), blur(other)
    c1, c2 = STABLE
    level = (2 * a * b + c1) / (a * a + b * b + c1)
    shared = blur(one * other) - a * b
    contrast = blur(one * one) - a * a + blur(other * other) - b * b
    expected = level * (2 * shared + c2) / (contrast + c2)
    assert np.abs(ssim(one, other) - expected).max() < 1e-6


def _depth_set(folder, masks) -> FrameSet:
    with FrameSetWriter(folder, "far", DEPTH) as writer:
        for mask in masks:
            writer.add(np.full((*mask.shape, 3), 90, np.uint8), mask)
    return FrameSet.open(folder)


def test_a_depth_set_is_scored_by_ssim_and_the_gate_with_it(tmp_path) -> None:
    truth = np.tile(np.linspace(0, 254, 64).astype(np.uint8), (48, 1))
    frames = _depth_set(tmp_path / "far", [truth, truth])
    right = evaluate(lambda frame: truth, frames)
    wrong = evaluate(lambda frame: truth[:, ::-1].copy(), frames)
    assert right.score == pytest.approx(100)
    assert right.miou is None
    assert wrong.depth is not None
    assert right.per_frame_ssim == pytest.approx([100, 100])
    drop, by_class = gate.drops(right, wrong)
    assert drop == pytest.approx(100 - wrong.depth.ssim)
    assert by_class == {}
    assert "SSIM drops" in gate.why_missed(gate.Gate(0.5, 1.0), drop, by_class, "SSIM")


def test_a_set_without_any_depth_scores_nothing(tmp_path) -> None:
    unknown = np.full((16, 16), IGNORE, np.uint8)
    frames = _depth_set(tmp_path / "none", [unknown])
    with pytest.raises(EdgeSegError, match="no pixel of 'far' has a depth"):
        evaluate(lambda frame: unknown, frames)
