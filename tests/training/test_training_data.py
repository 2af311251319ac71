"""Augmentation and batches: the same for the same seed, frame and mask together."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import road, road_set

from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import InputSpec, normalise
from edge_seg.training.augment import Window, augment, crop
from edge_seg.training.data import make_batch, prefetched, to_input
from edge_seg.training.settings import Settings
from edge_seg.training.sources import FrameSetSource, frame_of

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


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_made_ahead_are_the_same_and_in_order(tmp_path: Path, threads: int) -> None:
    source = FrameSetSource(road_set(tmp_path / "set", 5))
    settings = Settings(batch=2, steps=6, height=96, width=128, crop_height=64, crop_width=96)
    spec = InputSpec(64, 96)
    feed = source.open(settings, 0, range(2))
    steps = []
    for batch in prefetched(source, settings, spec, first=2, threads=threads):
        wanted = make_batch(feed, settings, spec, batch.step, range(2))
        assert torch.equal(batch.images, wanted.images)
        assert torch.equal(batch.masks, wanted.masks)
        assert batch.images.shape == (2, 64, 96, 3)
        assert batch.images.dtype == batch.masks.dtype == torch.uint8
        steps.append(batch.step)
    assert steps == [2, 3, 4, 5]


def test_shares_of_a_batch_are_the_batch(tmp_path: Path) -> None:
    source = FrameSetSource(road_set(tmp_path / "set", 5))
    settings = Settings(batch=4, height=96, width=128, crop_height=64, crop_width=96)
    feed, spec = source.open(settings, 0, range(4)), InputSpec(64, 96)
    whole = make_batch(feed, settings, spec, 7, range(4))
    shares = [make_batch(feed, settings, spec, 7, part) for part in (range(2), range(2, 4))]
    assert torch.equal(torch.cat([share.images for share in shares]), whole.images)
    assert torch.equal(torch.cat([share.masks for share in shares]), whole.masks)


def test_without_augmentation_a_batch_is_the_frames(tmp_path: Path) -> None:
    frames = road_set(tmp_path / "set", 3)
    settings = Settings(batch=1, augment=False, height=96, width=128)
    spec = InputSpec(48, 64)
    batch = make_batch(
        FrameSetSource(frames).open(settings, 0, range(1)), settings, spec, 0, range(1)
    )
    shown = frames[frame_of(0, 3, settings.seed)].image
    assert np.array_equal(to_input(batch.images, spec).numpy(), normalise(shown, spec))


def test_the_network_gets_what_the_reference_makes_of_a_frame() -> None:
    frame, _ = road(1)
    spec = InputSpec(96, 128, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    images = to_input(torch.from_numpy(frame[None, :, :, ::-1].copy()), spec)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(images.numpy(), normalise(frame, spec))


def test_a_broken_frame_stops_the_training_with_its_name(tmp_path: Path) -> None:
    frames = road_set(tmp_path / "set", 3)
    for picture in (tmp_path / "set" / "frames").iterdir():
        picture.write_bytes(b"")
    settings = Settings(batch=1, steps=3)
    with pytest.raises(Exception, match="road-"):
        list(prefetched(FrameSetSource(frames), settings, InputSpec(64, 96), first=0))


def test_a_check_may_end_the_waiting(tmp_path: Path) -> None:
    class Slow(FrameSetSource):
        """Its frames never come, until it is closed."""

        def open(self, settings: Settings, first: int, positions: range) -> NeverFeed:
            return NeverFeed()

    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) > 2:
            raise EdgeSegError("enough")

    source = Slow(road_set(tmp_path / "set", 3))
    with pytest.raises(EdgeSegError, match="enough"):
        list(prefetched(source, Settings(batch=1), InputSpec(64, 96), first=0, check=check))


class NeverFeed:
    def __init__(self) -> None:
        self.closed = threading.Event()

    def frame(self, step: int, position: int) -> object:
        self.closed.wait()
        raise EdgeSegError("closed")

    def close(self) -> None:
        self.closed.set()
