from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_seg.preprocess import InputSpec, normalise, resize, resize_mask

SIDES = st.integers(1, 40)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(deadline=None, max_examples=40)
@given(SIDES, SIDES, SIDES, SIDES)
def test_resize_is_torchs_half_pixel_bilinear(h: int, w: int, height: int, width: int) -> None:
    frame = picture(h, w)
    planes = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
    wanted = torch.nn.functional.interpolate(planes, (height, width), mode="bilinear")
    found = resize(frame, InputSpec(height, width))
    assert found.dtype == np.uint8 and found.shape == (height, width, 3)
    assert np.abs(found - wanted[0].permute(1, 2, 0).numpy()).max() <= 1.0


@pytest.mark.parametrize("size", [(20, 30), (8, 16), (5, 4)])
def test_resize_fills_the_buffer_it_is_given(size: tuple[int, int]) -> None:
    frame, spec = picture(*size), InputSpec(8, 16)
    buffer = np.zeros((8, 16, 3), np.uint8)
    assert np.shares_memory(resize(frame, spec, out=buffer), buffer)
    assert np.array_equal(buffer, resize(frame, spec))


def test_a_mask_of_the_frames_size_is_a_copy() -> None:
    ids = np.ones((4, 6), np.uint8)
    mask = resize_mask(ids, 4, 6)
    assert np.array_equal(mask, ids) and not np.shares_memory(mask, ids)


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, SIDES, SIDES)
def test_a_mask_is_resized_as_opencv_does_in_one_go(
    h: int, w: int, height: int, width: int
) -> None:
    ids = np.random.default_rng(0).integers(0, 256, (h, w), dtype=np.uint8)
    peer = cv2.resize(ids, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    assert np.array_equal(resize_mask(ids, height, width), peer)


def test_a_mask_grows_by_repeating_ids() -> None:
    ids = np.array([[0, 1], [2, 1]], np.uint8)
    assert np.array_equal(resize_mask(ids, 4, 6), ids.repeat(2, 0).repeat(3, 1))


@settings(deadline=None, max_examples=40)
@given(SIDES, SIDES, SIDES, SIDES)
def test_a_masks_pixel_is_the_id_nearest_to_its_centre(
    h: int, w: int, height: int, width: int
) -> None:
    """Centres are at half a pixel, as in `resize`: mask and frame must not shift apart."""

    def nearest(size: int, target: int) -> tuple[np.ndarray, np.ndarray]:
        """Where a centre lies halfway between two ids, either is nearest."""
        centre = (np.arange(target) + 0.5) * size / target
        low, high = np.floor(centre - 1e-3), np.floor(centre + 1e-3)
        return np.clip(low, 0, size - 1).astype(int), np.clip(high, 0, size - 1).astype(int)

    rows = np.repeat(np.arange(h, dtype=np.uint8)[:, None], w, 1)
    columns = np.repeat(np.arange(w, dtype=np.uint8)[None], h, 0)
    for found, allowed in (
        (resize_mask(rows, height, width)[:, 0], nearest(h, height)),
        (resize_mask(columns, height, width)[0], nearest(w, width)),
    ):
        assert np.all((found == allowed[0]) | (found == allowed[1]))


@settings(deadline=None, max_examples=20)
@given(SIDES, SIDES)
def test_a_resized_mask_holds_no_new_id(height: int, width: int) -> None:
    ids = np.random.default_rng(0).choice([0, 2, 7, 255], (9, 11)).astype(np.uint8)
    mask = resize_mask(ids, height, width)
    assert mask.shape == (height, width) and mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 2, 7, 255}


def test_normalise_by_hand() -> None:
    frame = np.array([[[255, 51, 0]]], np.uint8)  # blue, green, red
    spec = InputSpec(1, 1, mean=(0.5, 0.2, 0.0), std=(0.5, 0.1, 2.0))
    found = normalise(frame, spec)
    assert found.shape == (1, 3, 1, 1) and found.dtype == np.float32
    assert found.ravel() == pytest.approx([-1.0, 0.0, 0.5], abs=1e-6)  # red, green, blue
