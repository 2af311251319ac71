"""What a network's answers say, and how much two masks agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edge_seg.classes import DEPTH, IGNORE, LANE, ClassMap, DepthScale
from edge_seg.masks import agreeing, to_masks

SCALE = DepthScale(1.0, 100.0)


def test_a_scale_is_even_in_the_logarithm() -> None:
    masks = np.array([[0, 127, 254, IGNORE]], np.uint8)
    assert SCALE.metres(masks)[0, :3].tolist() == pytest.approx([1, 10, 100])
    assert np.isnan(SCALE.metres(masks)[0, 3])
    metres = np.array([[0.5, 1, 10, 100, 1000, 0, -1, np.nan, np.inf]])
    assert SCALE.codes(metres).tolist() == [[0, 0, 127, 254, 254, 255, 255, 255, 255]]


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=6)))
def test_a_mask_comes_back_from_its_metres(mask: np.ndarray) -> None:
    assert np.array_equal(SCALE.codes(SCALE.metres(mask)), mask)


@given(st.floats(1, 100))
def test_a_depth_is_told_to_within_a_percent(metres: float) -> None:
    told = float(SCALE.metres(SCALE.codes(np.array([[metres]])))[0, 0])
    assert told == pytest.approx(metres, rel=0.0092)  # half a step of 1.83 %


@pytest.mark.parametrize("ends", [(0.0, 1.0), (2.0, 1.0), (1.0, float("inf")), (1.0, 1.0)])
def test_a_scale_without_a_logarithm_or_length_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="a depth scale goes from above 0 m"):
        DepthScale(*ends)


def test_a_depth_has_one_name() -> None:
    with pytest.raises(ValueError, match="a depth has one name, not 3"):
        ClassMap(LANE.names, LANE.palette, SCALE)
    assert (DEPTH.task, DEPTH.values, LANE.task, LANE.values) == (
        "depth", 255, "segmentation", 3,
    )  # fmt: skip


def test_answers_become_the_best_class_or_the_nearest_depth() -> None:
    logits = np.array([[[[0.1]], [[0.7]], [[0.2]]]], np.float32)
    assert to_masks(logits, LANE).tolist() == [[[1]]]
    answers = np.array([[[[-1.0, 0.0, 0.5, 1.0, 7.0]]]], np.float32)
    assert to_masks(answers, DEPTH).tolist() == [[[0, 0, 127, 254, 254]]]


def test_neighbouring_depths_agree_and_neighbouring_classes_do_not() -> None:
    one, other = np.array([[1, 1, 1, 0]], np.uint8), np.array([[1, 2, 3, 255]], np.uint8)
    assert agreeing(one, other, LANE) == 25.0
    assert agreeing(one, other, DEPTH) == 50.0
