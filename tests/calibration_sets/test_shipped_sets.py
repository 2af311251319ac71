"""The sets that ship: whole, small, labelled, and with no road in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import calibration_sets
from edge_seg.frames import FrameSet

SETS = ("lane-mini", "lane-test")


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_whole(name: str) -> None:
    frames = FrameSet.open(name)
    frames.verify()
    assert len(frames) == 64
    assert frames.has_masks
    assert frames.licence == "Apache-2.0"
    assert frames.classes.names == ("background", "road", "lane_marking")


@pytest.mark.parametrize("name", SETS)
def test_its_masks_show_roads(name: str) -> None:
    frames = FrameSet.open(name)
    shares = []
    for frame in frames:
        assert frame.mask is not None
        assert frame.image.shape == (480, 640, 3)
        assert frame.mask.shape == (480, 640)
        shares.append(np.bincount(frame.mask.ravel(), minlength=3) / frame.mask.size)
    table = np.array(shares)
    assert 0.2 < table[:, 1].mean() < 0.5
    assert 0.005 < table[:, 2].mean() < 0.04
    assert (table[:, 2] > 0).sum() >= 40


def test_seeds_differ() -> None:
    sources = [FrameSet.open(name).source for name in SETS]
    assert "seed 1001" in sources[0]
    assert "seed 2001" in sources[1]


def test_they_stay_small() -> None:
    root = Path(calibration_sets.__file__).parent
    size = sum(file.stat().st_size for file in root.glob("*/**/*") if file.is_file())
    assert size < 6_000_000
