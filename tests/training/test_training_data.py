"""Augmentation and batches: the same for the same seed, frame and mask together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import road, road_set

from edge_seg.preprocess import InputSpec, normalise
from edge_seg.training.augment import Window, augment, crop
from edge_seg.training.data import frame_of, make_batch, prefetched
from edge_seg.training.settings import Settings

WINDOW = Window((96, 128), (64, 96))


def test_a_seed_is_a_sample() -> None:
    frame, mask = road(1, 120, 160)
    first = augment(frame, mask, WINDOW, np.random.default_rng(7))
    again = augment(frame, mask, WINDOW, np.random.default_rng(7))
    other = augment(frame, mask, WINDOW, np.random.default_rng(8))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    assert first[0].shape == (64, 96, 3)
    assert first[0].dtype == first[1].dtype == np.uint8
    assert first[1].shape == (64, 96)


def test_frame_and_mask_move_together() -> None:
    _, mask = road(2, 240, 320)
    painted = np.dstack([mask * 100] * 3)  # a frame that shows its own mask
    for seed in range(30):
        moved, moved_mask = crop(painted, mask, WINDOW, np.random.default_rng(seed))
        shown = np.round(moved[:, :, 0] / 100)
        inside = moved_mask != 255
        agree = (shown == moved_mask)[inside].mean()
        assert agree > 0.97, seed  # borders are interpolated in one and not in the other


def test_a_share_of_the_samples_keeps_its_colours() -> None:
    frame, mask = road(5, 120, 160)
    flat = np.full_like(frame, 77)  # every crop of it is 77, until its light changes
    kept = 0
    for seed in range(100):
        sample, labels = augment(flat, mask, WINDOW, np.random.default_rng(seed), altered=0.3)
        kept += bool((sample[labels != 255] == 77).mean() > 0.95)
    assert 55 < kept < 85


def test_masks_hold_only_known_ids() -> None:
    frame, mask = road(3)
    for seed in range(50):
        _, moved = augment(frame, mask, WINDOW, np.random.default_rng(seed))
        assert set(np.unique(moved)) <= {0, 1, 2, 255}


def test_every_epoch_shows_every_frame_once() -> None:
    for epoch in range(3):
        shown = [frame_of(epoch * 10 + position, 10, seed=4) for position in range(10)]
        assert sorted(shown) == list(range(10))
    assert [frame_of(n, 10, 4) for n in range(10)] != [frame_of(10 + n, 10, 4) for n in range(10)]


def test_batches_made_ahead_are_the_same_and_in_order(tmp_path: Path) -> None:
    frames = road_set(tmp_path / "set", 5)
    settings = Settings(batch=2, steps=6, height=96, width=128, crop_height=64, crop_width=96)
    spec = InputSpec(64, 96)
    steps = []
    for step, images, masks in prefetched(frames, settings, spec, first=2):
        wanted_images, wanted_masks = make_batch(frames, settings, spec, step)
        assert torch.equal(images, wanted_images)
        assert torch.equal(masks, wanted_masks)
        assert images.shape == (2, 3, 64, 96)
        assert masks.dtype == torch.int64
        steps.append(step)
    assert steps == [2, 3, 4, 5]


def test_without_augmentation_a_batch_is_the_frames(tmp_path: Path) -> None:
    frames = road_set(tmp_path / "set", 3)
    settings = Settings(batch=1, augment=False, height=96, width=128)
    spec = InputSpec(48, 64)
    images, _ = make_batch(frames, settings, spec, 0)
    shown = frames[frame_of(0, 3, settings.seed)].image
    assert np.array_equal(images.numpy(), normalise(shown, spec))


def test_a_broken_frame_stops_the_training_with_its_name(tmp_path: Path) -> None:
    frames = road_set(tmp_path / "set", 3)
    for picture in (tmp_path / "set" / "frames").iterdir():
        picture.write_bytes(b"")
    settings = Settings(batch=1, steps=3)
    with pytest.raises(Exception, match="road-"):
        list(prefetched(frames, settings, InputSpec(64, 96), first=0))
