"""How good a network is on a frame set, measured as a packed bundle is: at the frames' size.

confusion = measure(network, spec, frames, limit=64)
confusion.iou()  # per class, 0..1
measure_depth(network, spec, frames, limit=64).ssim  # percent
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from edge_seg.depth_metrics import DepthErrors, DepthScores
from edge_seg.masks import to_masks
from edge_seg.metrics import Confusion
from edge_seg.preprocess import Frame, InputSpec, Mask, normalise, resize_mask
from edge_seg.training.sources import load

if TYPE_CHECKING:
    from edge_seg.frames import FrameSet


def predict(network: nn.Module, spec: InputSpec, frame: Frame, bf16: bool = False) -> Mask:
    """Return the mask (H, W) of a frame (H, W, 3): resize, network, argmax, resize back."""
    ids = _answer(network, spec, frame, bf16)[0].argmax(dim=0)
    return resize_mask(ids.cpu().numpy().astype(np.uint8), frame.shape[0], frame.shape[1])


def _answer(network: nn.Module, spec: InputSpec, frame: Frame, bf16: bool) -> torch.Tensor:
    """Return the logits (1, classes, h, w) of a frame (H, W, 3)."""
    device = next(network.parameters()).device
    image = torch.from_numpy(normalise(frame, spec)).to(device, memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        return network(image)


def measure(
    network: nn.Module,
    spec: InputSpec,
    frames: FrameSet,
    limit: int | None = None,
    bf16: bool = False,
    check: Callable[[], None] = lambda: None,
) -> Confusion:
    """Return the confusion over all frames, or over ``limit`` of them spread evenly.

    ``check`` is called before each frame and may raise.
    """
    confusion = Confusion(len(frames.classes))
    for index in _spread(len(frames), limit):
        check()
        frame, mask = load(frames, int(index))
        confusion.add(predict(network, spec, frame, bf16), mask)
    return confusion


def measure_depth(
    network: nn.Module,
    spec: InputSpec,
    frames: FrameSet,
    limit: int | None = None,
    bf16: bool = False,
    check: Callable[[], None] = lambda: None,
) -> DepthErrors | None:
    """Return the same of a depth network: its errors, None where no frame has a depth."""
    classes = frames.classes
    assert classes.depth is not None
    scores = DepthScores(classes.depth)
    for index in _spread(len(frames), limit):
        check()
        frame, truth = load(frames, int(index))
        answers = _answer(network, spec, frame, bf16).float().cpu().numpy()
        scores.add(resize_mask(to_masks(answers, classes)[0], *truth.shape), truth)
    return scores.errors()


def _spread(frames: int, limit: int | None) -> Iterable[int]:
    count = frames if limit is None else min(limit, frames)
    return np.linspace(0, frames - 1, count).round().astype(int)
