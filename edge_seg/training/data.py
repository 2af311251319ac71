"""The batch of a step, and threads that make the next ones while the network works.

    batch = make_batch(feed, settings, spec, step, positions=range(settings.batch))
    with closing(prefetched(source, settings, spec, first=0)) as batches:
        for batch in batches:
            images = to_input(batch.images, spec)

A batch follows from (source, seed, step) and nothing else. Pixels stay uint8 until they are
where the network is: a quarter of the bytes to move.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

import numpy as np
import torch

from edge_seg.preprocess import InputSpec, resize, resize_mask
from edge_seg.training.augment import Window, augment
from edge_seg.training.settings import Settings
from edge_seg.training.sources import Feed, Source

AHEAD = 3
"""How many batches wait: enough to hide a slow frame, small in memory."""
POLL_SECONDS = 0.2


class Batch(NamedTuple):
    """A step's images (B, h, w, 3) uint8 RGB and masks (B, h, w) uint8."""

    step: int
    images: torch.Tensor
    masks: torch.Tensor


def make_batch(
    feed: Feed, settings: Settings, spec: InputSpec, step: int, positions: range
) -> Batch:
    """Return these positions of a step's batch; ``spec`` has the crop's size.

    Without augmentation the whole frame is squeezed into the crop.
    """
    shape = (len(positions), spec.height, spec.width)
    images, masks = np.empty((*shape, 3), np.uint8), np.empty(shape, np.uint8)
    window = Window((settings.height, settings.width), (spec.height, spec.width), settings.scales)
    for place, position in enumerate(positions):
        frame, mask = feed.frame(step, position)
        if settings.augment:
            number = step * settings.batch + position
            rng = np.random.default_rng((settings.seed, number))
            frame, mask = augment(frame, mask, window, rng, settings.altered)
        images[place] = resize(frame, spec)[:, :, ::-1]
        masks[place] = resize_mask(mask, spec.height, spec.width)
    return Batch(step, torch.from_numpy(images), torch.from_numpy(masks))


def to_input(images: torch.Tensor, spec: InputSpec) -> torch.Tensor:
    """Return the network's input (B, 3, h, w) float32, channels last, of (B, h, w, 3) uint8 RGB.

    The same numbers as `edge_seg.preprocess.normalise` makes of each frame.
    """
    scaled = images.float() / 255.0
    if any(spec.mean) or any(value != 1 for value in spec.std):
        scaled = (scaled - scaled.new_tensor(spec.mean)) / scaled.new_tensor(spec.std)
    return scaled.permute(0, 3, 1, 2)


def prefetched(
    source: Source,
    settings: Settings,
    spec: InputSpec,
    first: int,
    positions: range | None = None,
    threads: int = 1,
    check: Callable[[], None] = lambda: None,
) -> Generator[Batch, None, None]:
    """Yield the batches of the steps ``first`` to the last, made ahead in ``threads``.

    OpenCV and numpy let go of the interpreter while they work, so threads are enough.
    ``check`` is called now and then while a batch is waited for, and may raise.
    """
    positions = range(settings.batch) if positions is None else positions
    with ThreadPoolExecutor(threads, thread_name_prefix="frames") as pool:
        feed = source.open(settings, first, positions)
        waiting: deque[Future[Batch]] = deque()
        upcoming = iter(range(first, settings.steps))
        try:
            while True:
                while len(waiting) < max(AHEAD, threads):
                    step = next(upcoming, None)
                    if step is None:
                        break
                    waiting.append(pool.submit(make_batch, feed, settings, spec, step, positions))
                if not waiting:
                    return
                yield _result(waiting.popleft(), check)
        finally:
            for batch in waiting:
                batch.cancel()
            feed.close()  # before the pool waits for its threads, which may wait for the feed


def _result(batch: Future[Batch], check: Callable[[], None]) -> Batch:
    while True:
        check()
        wait([batch], timeout=POLL_SECONDS)
        if batch.done():
            return batch.result()
