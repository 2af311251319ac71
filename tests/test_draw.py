import numpy as np
import pytest

from edge_seg.classes import LANE
from edge_seg.draw import NO_CLASS, colour_mask, overlay
from edge_seg.errors import EdgeSegError

MASK = np.array([[0, 1], [2, 255]], np.uint8)


def test_colours_are_the_palette_in_bgr():
    expected = [[[0, 0, 0], [128, 64, 128]], [[0, 210, 255], list(NO_CLASS)]]
    assert colour_mask(MASK, LANE).tolist() == expected


def test_an_id_that_no_class_has_is_grey():
    assert colour_mask(np.array([[3]], np.uint8), LANE).tolist() == [[list(NO_CLASS)]]


def test_overlay_blends_classes_and_leaves_background_and_unlabelled_pixels():
    frame = np.full((2, 2, 3), 100, np.uint8)
    # A quarter of the colour: 75 + 0.25 * (128, 64, 128) and 75 + 0.25 * (0, 210, 255).
    expected = [[[100, 100, 100], [107, 91, 107]], [[75, 128, 139], [100, 100, 100]]]
    blended = overlay(frame, MASK, LANE, alpha=0.25).astype(int)
    assert np.abs(blended - expected).max() <= 1  # half values may round either way
    assert (frame == 100).all()


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_overlay_at_both_ends(alpha):
    frame = np.random.default_rng(0).integers(0, 256, (31, 17, 3), np.uint8)
    mask = np.ones((31, 17), np.uint8)
    expected = colour_mask(mask, LANE) if alpha else frame
    assert np.array_equal(overlay(frame, mask, LANE, alpha), expected)


def test_overlay_takes_views_with_gaps():
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    mask = np.random.default_rng(1).integers(0, 3, (20, 30), np.uint8)
    whole = overlay(frame, mask, LANE)
    assert np.array_equal(overlay(frame[::2, ::3], mask[::2, ::3], LANE), whole[::2, ::3])


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(EdgeSegError, match="4x3 pixels does not fit a frame of 4x2"):
        overlay(np.zeros((2, 4, 3), np.uint8), np.zeros((3, 4), np.uint8), LANE)
