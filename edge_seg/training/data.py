"""The batch of a step, and a thread that makes the next ones while the network works.

    images, masks = make_batch(frames, settings, spec, step)
    for step, images, masks in prefetched(frames, settings, spec, first=0):
        ...

A batch follows from (frame set, seed, step) and nothing else. Every epoch goes over the frames
once, in an order of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from edge_seg.errors import EdgeSegError
from edge_seg.preprocess import Frame, InputSpec, Mask, normalise, resize_mask
from edge_seg.training.augment import Window, augment
from edge_seg.training.settings import Settings

if TYPE_CHECKING:
    from edge_seg.frames import FrameSet

Batch = tuple[torch.Tensor, torch.Tensor]
AHEAD = 3
"""How many batches wait: enough to hide a slow frame, small in memory."""


def make_batch(frames: FrameSet, settings: Settings, spec: InputSpec, step: int) -> Batch:
    """Return images (B, 3, h, w) float32, normalised, and masks (B, h, w) int64.

    ``spec`` has the crop's size and the network's mean and std. Without augmentation the whole
    frame is squeezed into the crop.
    """
    images = np.empty((settings.batch, 3, spec.height, spec.width), np.float32)
    masks = np.empty((settings.batch, spec.height, spec.width), np.int64)
    full = (settings.height, settings.width)
    window = Window(full, (spec.height, spec.width), settings.scales)
    for position in range(settings.batch):
        number = step * settings.batch + position
        frame, mask = load(frames, frame_of(number, len(frames), settings.seed))
        if settings.augment:
            rng = np.random.default_rng((settings.seed, number))
            frame, mask = augment(frame, mask, window, rng, settings.altered)
        images[position] = normalise(frame, spec)[0]
        masks[position] = resize_mask(mask, spec.height, spec.width)
    return torch.from_numpy(images), torch.from_numpy(masks)


def frame_of(number: int, count: int, seed: int) -> int:
    """Return which frame the ``number``-th sample of a training shows."""
    epoch, position = divmod(number, count)
    return int(_order(count, seed, epoch)[position])


def _order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, epoch, 1)).permutation(count)


def load(frames: FrameSet, index: int) -> tuple[Frame, Mask]:
    """Return a frame and its mask; a frame without one raises `EdgeSegError`."""
    labelled = frames[index]
    if labelled.mask is None:
        raise EdgeSegError(f"frame {labelled.id} of {frames.name} has no mask: training needs all")
    return labelled.image, labelled.mask


def prefetched(
    frames: FrameSet, settings: Settings, spec: InputSpec, first: int
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Yield (step, images, masks) for the steps ``first`` to the last, made ahead in a thread.

    OpenCV and numpy let go of the interpreter while they work, so a thread is enough.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="frames") as pool:
        waiting: deque[tuple[int, Future[Batch]]] = deque()
        upcoming = iter(range(first, settings.steps))
        try:
            while True:
                while len(waiting) < AHEAD and (step := next(upcoming, None)) is not None:
                    waiting.append((step, pool.submit(make_batch, frames, settings, spec, step)))
                if not waiting:
                    return
                step, batch = waiting.popleft()
                yield step, *batch.result()
        finally:
            for _, batch in waiting:
                batch.cancel()
