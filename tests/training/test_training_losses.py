"""Losses by hand, against torch's own, and what must hold of any."""

from __future__ import annotations

import math

import pytest
import torch

from edge_seg.training.losses import LOSSES, binary_cross_entropy, cross_entropy, dice, one_hot

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
