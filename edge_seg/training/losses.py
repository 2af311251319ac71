"""Losses over logits (N, C, h, w) float and masks (N, h, w) int64, 255 ignored.

    loss = LOSSES["ce+dice"](logits, masks, None)  # a scalar tensor

"ce" treats the classes as exclusive (softmax), "bce" asks of each class whether it is there
(sigmoid). "focal" is "ce" that cares less for pixels which are right already: Lin et al. 2017
(arXiv:1708.02002). "dice" counts overlap, not pixels, so thin lane markings weigh as much as the
road: Milletari et al. 2016, "V-Net" (arXiv:1606.04797), and for several classes, averaged,
Sudre et al. 2017 (arXiv:1707.03237). "lovasz" goes down the IoU itself: Berman et al. 2018
(arXiv:1705.08790). The sums have weight one each.

`DEPTH_LOSSES` are for one channel, 0 near to 1 far, and masks that hold depths: the mean squared
error, and with "+ssim" half of what the structural similarity lacks to 1 (Alhashim and Wonka 2018,
arXiv:1812.11941).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from edge_seg.classes import IGNORE
from edge_seg.depth_metrics import STABLE
from edge_seg.masks import FARTHEST

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""(logits, masks, class weights (C,) or None) -> scalar."""

FOCUS = 2.0
"""Lin et al.'s gamma: the best of those they tried."""
BINS = 1024
"""Errors are sorted by counting them in this many bins: see `lovasz`."""


def cross_entropy(
    logits: torch.Tensor, masks: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean cross entropy of the labelled pixels; 0 where there is none."""
    return _likelihood(logits.log_softmax(dim=1), masks, weights)


def _likelihood(
    logarithms: torch.Tensor, masks: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    """Return the cross entropy of log probabilities (N, C, h, w)."""
    total = functional.nll_loss(
        logarithms, masks, weight=weights, ignore_index=IGNORE, reduction="sum"
    )
    return total / _weight_of_pixels(masks, weights)


def _weight_of_pixels(masks: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Return what the mean over the labelled pixels divides by, above 0."""
    labelled = masks != IGNORE
    if weights is None:
        return labelled.sum().clamp(min=1)
    return weights[masks[labelled]].sum().clamp(min=1e-6)


def focal(
    logits: torch.Tensor,
    masks: torch.Tensor,
    weights: torch.Tensor | None = None,
    gamma: float = FOCUS,
) -> torch.Tensor:
    """Return the mean of ``(1 - p)**gamma`` times the cross entropy, p the true class's share.

    Law: with ``gamma`` 0 it is `cross_entropy`.
    """
    each = functional.nll_loss(
        logits.log_softmax(dim=1), masks, ignore_index=IGNORE, reduction="none"
    )
    each = (1 - torch.exp(-each)) ** gamma * each
    if weights is not None:
        each = each * weights[torch.where(masks == IGNORE, 0, masks)]
    return each.sum() / _weight_of_pixels(masks, weights)


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
    pixels = truth.sum(dim=(0, 2, 3))
    overlap = (probabilities * truth).sum(dim=(0, 2, 3))
    total = (probabilities * labelled).sum(dim=(0, 2, 3)) + pixels
    return _mean_of_present(1 - 2 * overlap / total.clamp(min=1e-6), pixels, weights)


def lovasz(
    probabilities: torch.Tensor, masks: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the Lovasz extension of 1 - IoU, over the batch, averaged over the classes in it.

    The extension weighs each pixel's error by what the pixel costs in IoU when pixels are taken
    from the largest error to the smallest. Here the order is that of `BINS` bins, and pixels of
    one bin share its cost: counting takes a tenth of the time of sorting. Law: for errors of 0
    and 1 it is 1 - IoU exactly; else it is within ``1 / BINS`` of the sorted one.
    """
    truth, labelled = one_hot(masks, probabilities.shape[1])
    errors = (truth - probabilities).abs()
    costs, pixels = _costs(errors.detach(), truth, labelled)
    return _mean_of_present((errors * costs).sum(dim=(0, 2, 3)), pixels, weights)


@torch.no_grad()
def _costs(
    errors: torch.Tensor, truth: torch.Tensor, labelled: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what each error costs in IoU, in the shape of ``errors``, and the classes' pixels.

    Algorithm 1 of the paper: with the pixels of the first k bins all wrong, ``kept`` pixels of a
    class are right, and the union is the class's pixels and those wrongly taken for it.
    """
    classes = errors.shape[1]
    width = BINS + 1  # the last bin is for ignored pixels
    bins = ((1 - errors) * (BINS - 1)).int().masked_fill_(labelled == 0, BINS)
    bins += (width * torch.arange(classes, device=bins.device, dtype=bins.dtype)).view(1, -1, 1, 1)
    keys = (bins + classes * width * truth.int()).flatten()
    counts = torch.bincount(keys, minlength=2 * classes * width).view(2, classes, width)
    outside, inside = counts[0, :, :BINS], counts[1, :, :BINS]
    pixels = inside.sum(1, keepdim=True)
    kept = pixels - inside.cumsum(1)
    union = pixels + outside.cumsum(1)
    loss = 1 - kept.double() / union.clamp(min=1)
    steps = torch.diff(loss, dim=1, prepend=loss.new_zeros(classes, 1))
    costs = functional.pad((steps / (outside + inside).clamp(min=1)).float(), (0, 1))
    return costs.flatten().index_select(0, bins.flatten()).view_as(errors), pixels[:, 0]


def _mean_of_present(
    losses: torch.Tensor, pixels: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    """Return the mean of losses (C,) over the classes that have ``pixels``, 0 without any."""
    present = (pixels > 0).float()
    factors = present if weights is None else present * weights
    return (losses * factors).sum() / factors.sum().clamp(min=1e-6)


def one_hot(masks: torch.Tensor, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return truth (N, C, h, w) and labelled (N, 1, h, w), both float; ignored pixels are 0."""
    ids = torch.arange(classes, device=masks.device).view(1, -1, 1, 1)
    masks = masks.unsqueeze(1)
    return (masks == ids).float(), (masks != IGNORE).float()


def _sum_with_cross_entropy(overlap: Loss) -> Loss:
    """Return "ce" plus a loss over probabilities; the softmax is computed once."""

    def both(
        logits: torch.Tensor, masks: torch.Tensor, weights: torch.Tensor | None
    ) -> torch.Tensor:
        logarithms = logits.log_softmax(dim=1)
        return _likelihood(logarithms, masks, weights) + overlap(logarithms.exp(), masks, weights)

    return both


LOSSES: dict[str, Loss] = {
    "ce": cross_entropy,
    "focal": focal,
    "dice": lambda logits, masks, weights: dice(logits.softmax(1), masks, weights),
    "lovasz": lambda logits, masks, weights: lovasz(logits.softmax(1), masks, weights),
    "ce+dice": _sum_with_cross_entropy(dice),
    "ce+lovasz": _sum_with_cross_entropy(lovasz),
    "focal+dice": lambda logits, masks, weights: (
        focal(logits, masks, weights) + dice(logits.softmax(1), masks, weights)
    ),
    "bce": binary_cross_entropy,
    "bce+dice": lambda logits, masks, weights: (
        binary_cross_entropy(logits, masks, weights) + dice(logits.sigmoid(), masks, weights)
    ),
}
"""By name. Overlap losses of "bce" take the sigmoid, all others the softmax."""


def squared(
    answers: torch.Tensor, masks: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean squared error of answers (N, 1, h, w) where a depth is known."""
    known = (masks != IGNORE).float()
    wrong = (answers[:, 0] - masks / FARTHEST) ** 2
    return (wrong * known).sum() / known.sum().clamp(min=1)


def squared_and_likeness(
    answers: torch.Tensor, masks: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return `squared` plus half of one minus SSIM, whose windows are 7x7 boxes here: cheaper."""
    known = (masks != IGNORE).float().unsqueeze(1)
    one, other = answers * known, masks.unsqueeze(1) / FARTHEST * known
    mean_1, mean_2 = _boxed(one), _boxed(other)
    variance_1 = _boxed(one * one) - mean_1**2
    variance_2 = _boxed(other * other) - mean_2**2
    covariance = _boxed(one * other) - mean_1 * mean_2
    c1, c2 = STABLE
    level = (2 * mean_1 * mean_2 + c1) / (mean_1**2 + mean_2**2 + c1)
    likeness = level * (2 * covariance + c2) / (variance_1 + variance_2 + c2)
    lacking = ((1 - likeness) * known).sum() / known.sum().clamp(min=1)
    return squared(answers, masks) + lacking / 2


def _boxed(values: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(values, 7, stride=1, padding=3, count_include_pad=False)


DEPTH_LOSSES: dict[str, Loss] = {"mse": squared, "mse+ssim": squared_and_likeness}
"""By name, for frame sets of depths."""
