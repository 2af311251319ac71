"""Losses by hand, against torch's own, and what must hold of any."""

from __future__ import annotations

import math

import pytest
import torch

from edge_seg.training.losses import (
    BINS,
    LOSSES,
    binary_cross_entropy,
    cross_entropy,
    dice,
    focal,
    lovasz,
    one_hot,
)

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 0.0]]).view(1, 2, 1, 2)  # two classes, two pixels
MASKS = torch.tensor([[[0, 1]]])


def test_cross_entropy_by_hand() -> None:
    first, second = math.log(1 + math.exp(-2)), math.log(2)
    assert cross_entropy(LOGITS, MASKS).item() == pytest.approx((first + second) / 2)
    weighted = cross_entropy(LOGITS, MASKS, torch.tensor([1.0, 3.0]))
    assert weighted.item() == pytest.approx((first + 3 * second) / 4)


def test_cross_entropy_is_torchs() -> None:
    logits, masks = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    masks[0, 0] = 255
    weights = torch.tensor([1.0, 2.0, 5.0])
    for chosen in (None, weights):
        wanted = torch.nn.functional.cross_entropy(logits, masks, weight=chosen, ignore_index=255)
        torch.testing.assert_close(cross_entropy(logits, masks, chosen), wanted)


def test_binary_cross_entropy_by_hand() -> None:
    # Logit 2 for class 0 at the first pixel is right, the three zeros say one half.
    each = [math.log(1 + math.exp(-2)), math.log(2), math.log(2), math.log(2)]
    assert binary_cross_entropy(LOGITS, MASKS).item() == pytest.approx(sum(each) / 4)


def test_dice_by_hand() -> None:
    probabilities = torch.tensor([[0.8, 0.4], [0.2, 0.6]]).view(1, 2, 1, 2)
    # Class 0: overlap 0.8, sums 1.2 and 1. Class 1: overlap 0.6, sums 0.8 and 1.
    wanted = 1 - (2 * 0.8 / 2.2 + 2 * 0.6 / 1.8) / 2
    assert dice(probabilities, MASKS).item() == pytest.approx(wanted)


def test_focal_by_hand() -> None:
    # The true class has 1 / (1 + exp(-2)) at the first pixel, one half at the second.
    first, second = 1 / (1 + math.exp(-2)), 0.5
    wanted = [-((1 - share) ** 2) * math.log(share) for share in (first, second)]
    assert focal(LOGITS, MASKS).item() == pytest.approx(sum(wanted) / 2)
    weighted = focal(LOGITS, MASKS, torch.tensor([1.0, 3.0]))
    assert weighted.item() == pytest.approx((wanted[0] + 3 * wanted[1]) / 4)


def test_focal_without_focus_is_cross_entropy() -> None:
    logits, masks = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    masks[0, 0] = 255
    for weights in (None, torch.tensor([1.0, 2.0, 5.0])):
        wanted = cross_entropy(logits, masks, weights)
        torch.testing.assert_close(focal(logits, masks, weights, gamma=0.0), wanted)


def test_lovasz_by_hand() -> None:
    # Class 1 is at the first pixel alone. Its errors are 0.75, 0.5, 0.25. Wrong one after the
    # other they make the IoU 0/1, 0/2, 0/3, so all the cost is the first one's.
    chance = torch.tensor([0.25, 0.5, 0.25])
    masks = torch.tensor([[[1, 0, 0]]])
    probabilities = torch.stack([1 - chance, chance]).view(1, 2, 1, 3)
    one = 0.75
    # Class 0, in the same order: IoU 2/3, 1/3, 0, a third for each.
    zero = (0.75 + 0.5 + 0.25) / 3
    assert lovasz(probabilities, masks).item() == pytest.approx((one + zero) / 2, abs=1e-6)
    second = torch.tensor([0.0, 1.0])
    assert lovasz(probabilities, masks, second).item() == pytest.approx(one, abs=1e-6)


def test_lovasz_of_a_choice_is_one_less_the_iou() -> None:
    """At the hypercube's vertices the extension is the set function itself."""
    torch.manual_seed(1)
    for _ in range(20):
        masks, chosen = torch.randint(0, 3, (2, 2, 7, 9))
        masks[0, 0] = 255
        prediction = one_hot(chosen, 3)[0]
        known = masks != 255
        each = []
        for label in range(3):
            true, found = (masks == label) & known, (chosen == label) & known
            each.append(1 - (true & found).sum() / (true | found).sum())
        wanted = torch.stack(each).mean()
        torch.testing.assert_close(lovasz(prediction, masks), wanted)


def sorted_lovasz(chance: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """Berman et al.'s algorithm 1 for one class, with their sort."""
    errors, order = (there - chance).abs().sort(descending=True)
    there = there[order]
    kept, union = there.sum() - there.cumsum(0), there.sum() + (1 - there).cumsum(0)
    jaccard = 1 - kept / union
    jaccard[1:] = jaccard[1:] - jaccard[:-1]
    return errors @ jaccard


def test_lovasz_with_bins_is_the_sorted_one_within_a_bin() -> None:
    torch.manual_seed(2)
    probabilities = (3 * torch.randn(1, 3, 40, 50)).softmax(1).requires_grad_()
    masks = torch.randint(0, 3, (1, 40, 50))
    pairs = zip(probabilities.unbind(1), one_hot(masks, 3)[0].unbind(1), strict=True)
    wanted = torch.stack([sorted_lovasz(p.flatten(), t.flatten()) for p, t in pairs]).mean()
    found = lovasz(probabilities, masks)
    assert abs(found - wanted).item() < 1 / BINS
    (mine,) = torch.autograd.grad(found, probabilities)
    (theirs,) = torch.autograd.grad(wanted, probabilities)
    assert torch.cosine_similarity(mine.flatten(), theirs.flatten(), dim=0) > 0.95


def test_sums_are_sums() -> None:
    logits, masks = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    weights = torch.tensor([1.0, 2.0, 5.0])
    for name in LOSSES:
        parts = [LOSSES[part](logits, masks, weights) for part in name.split("+")]
        if name != "bce+dice":  # its dice is of sigmoids
            torch.testing.assert_close(LOSSES[name](logits, masks, weights), sum(parts))


def test_dice_leaves_absent_classes_out() -> None:
    probabilities = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 2, 1, 2)
    assert dice(probabilities, torch.zeros(1, 1, 2, dtype=torch.int64)).item() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_change_nothing(name: str) -> None:
    masks = torch.randint(0, 3, (2, 4, 5))
    masks[:, 2:] = 255
    logits = torch.randn(2, 3, 4, 5)
    other = logits.clone()
    other[:, :, 2:] = 100.0
    first, second = (LOSSES[name](given, masks, None) for given in (logits, other))
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_labelled_is_zero_and_finite(name: str) -> None:
    logits = torch.randn(1, 3, 4, 5, requires_grad=True)
    loss = LOSSES[name](logits, torch.full((1, 4, 5), 255), torch.tensor([1.0, 2.0, 3.0]))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_the_truth_costs_nearly_nothing_and_a_lie_much(name: str) -> None:
    masks = torch.randint(0, 3, (2, 6, 6))
    truth = (one_hot(masks, 3)[0] - 0.5) * 40
    assert LOSSES[name](truth, masks, None).item() < 1e-3
    assert LOSSES[name](-truth, masks, None).item() > 0.5
