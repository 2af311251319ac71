"""The sets that ship: whole, small, labelled, of the weather they say, with no road in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import calibration_sets
from edge_seg.frames import FrameSet

CALIBRATION = ("lane-mini", "lane-night", "lane-rain")
SETS = (*CALIBRATION, "lane-test")


def shares(name: str) -> npt.NDArray[np.float64]:
    """Return the share of each class in each frame (n, 3)."""
    frames = FrameSet.open(name)
    masks = (frames.mask(index) for index in range(len(frames)))
    return np.array([np.bincount(m.ravel(), minlength=3) / m.size for m in masks if m is not None])


def brightness(name: str) -> npt.NDArray[np.float64]:
    """Return the mean level of each frame (n,), 0..255."""
    frames = FrameSet.open(name)
    return np.array([frames.image(index).mean() for index in range(len(frames))])


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_whole(name: str) -> None:
    frames = FrameSet.open(name)
    frames.verify()
    assert len(frames) == 64
    assert frames.has_masks
    assert frames.licence == "Apache-2.0"
    assert frames.classes.names == ("background", "road", "lane_marking")
    assert {frame.image.shape for frame in frames} == {(480, 640, 3)}


@pytest.mark.parametrize("name", SETS)
def test_its_classes_are_as_common_as_on_roads(name: str) -> None:
    # Photographs of streets, measured: camseq01 25 % road and 1.8 % marking, camvid11 32 % road.
    table = shares(name)
    assert 0.25 < table[:, 1].mean() < 0.45
    assert 0.005 < table[:, 2].mean() < 0.03
    assert table[:, 1].min() > 0.03
    assert (table[:, 2] > 0).sum() >= 50


def test_nights_are_darker_and_mixed_sets_hold_both() -> None:
    night, rain, mixed = (brightness(name) for name in ("lane-night", "lane-rain", "lane-mini"))
    assert np.median(night) < 0.7 * min(np.median(rain), np.median(mixed))
    assert (mixed < np.median(night)).any()
    assert mixed.std() > night.std()


@pytest.mark.parametrize(
    ("name", "seed", "terms"),
    [
        ("lane-mini", 1001, ""),
        ("lane-night", 1002, "night=100, rain=0, fog=0, "),
        ("lane-rain", 1003, "night=0, rain=100, "),
        ("lane-test", 2001, ""),
    ],
)
def test_a_set_says_how_it_was_made(name: str, seed: int, terms: str) -> None:
    start = f"rendered by carla_bridge.world: random roads, seed {seed}, 1 a scene, {terms}p3"
    assert FrameSet.open(name).source.startswith(start)


def test_no_frame_is_in_two_sets() -> None:
    digests = [entry.frame_sha256 for name in SETS for entry in FrameSet.open(name).entries]
    assert len(set(digests)) == len(digests)


def test_they_stay_small() -> None:
    root = Path(calibration_sets.__file__).parent
    size = sum(file.stat().st_size for file in root.glob("*/**/*") if file.is_file())
    assert size < 15_000_000
