"""Losses over logits (N, C, h, w) float and masks (N, h, w) int64, 255 ignored.

    loss = LOSSES["ce+dice"](logits, masks, None)  # a scalar tensor

"ce" treats the classes as exclusive (softmax), "bce" asks of each class whether it is there
(sigmoid). "dice" counts overlap, not pixels, so thin lane markings weigh as much as the road:
Milletari et al. 2016, "V-Net" (arXiv:1606.04797), and for several classes, averaged,
Sudre et al. 2017 (arXiv:1707.03237). The sums have weight one each.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from edge_seg.classes import IGNORE

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""(logits, masks, class weights (C,) or None) -> scalar."""


def cross_entropy(
    logits: torch.Tensor, masks: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean cross entropy of the labelled pixels; 0 where there is none."""
    total = functional.cross_entropy(
        logits, masks, weight=weights, ignore_index=IGNORE, reduction="sum"
    )
    labelled = masks != IGNORE
    if weights is None:
        return total / labelled.sum().clamp(min=1)
    weight_of_pixels = weights[masks[labelled]].sum()
    return total / weight_of_pixels.clamp(min=1e-6)


def binary_cross_entropy(
    logits: torch.Tensor, masks: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean over labelled pixels and classes of the one-against-rest cross entropy."""
    truth, labelled = one_hot(masks, logits.shape[1])
    each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    factors = (
        torch.ones_like(each) if weights is None else weights.view(1, -1, 1, 1).expand_as(each)
    )
    factors = factors * labelled
    return (each * factors).sum() / factors.sum().clamp(min=1e-6)


def dice(
    probabilities: torch.Tensor, masks: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return 1 - soft Dice, over all pixels of the batch, averaged over the classes in it.

    A class that no mask of the batch holds is left out: its Dice would be 0 for whatever
    the network says.
    """
    truth, labelled = one_hot(masks, probabilities.shape[1])
    seen = probabilities * labelled
    overlap = (seen * truth).sum(dim=(0, 2, 3))
    total = seen.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
    present = (truth.sum(dim=(0, 2, 3)) > 0).float()
    factors = present if weights is None else present * weights
    each = 1 - 2 * overlap / total.clamp(min=1e-6)
    return (each * factors).sum() / factors.sum().clamp(min=1e-6)


def one_hot(masks: torch.Tensor, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return truth (N, C, h, w) and labelled (N, 1, h, w), both float; ignored pixels are 0."""
    labelled = masks != IGNORE
    truth = functional.one_hot(torch.where(labelled, masks, 0), classes).permute(0, 3, 1, 2)
    known = labelled.unsqueeze(1).float()
    return truth.float() * known, known


def _softmax_dice(
    logits: torch.Tensor, masks: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    return dice(logits.softmax(dim=1), masks, weights)


def _ce_dice(
    logits: torch.Tensor, masks: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    return cross_entropy(logits, masks, weights) + dice(logits.softmax(dim=1), masks, weights)


def _bce_dice(
    logits: torch.Tensor, masks: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    return binary_cross_entropy(logits, masks, weights) + dice(logits.sigmoid(), masks, weights)


LOSSES: dict[str, Loss] = {
    "ce": cross_entropy,
    "dice": _softmax_dice,
    "ce+dice": _ce_dice,
    "bce": binary_cross_entropy,
    "bce+dice": _bce_dice,
}
