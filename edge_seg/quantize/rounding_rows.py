"""Rows of weights rounded so that what they give is kept, not the weights themselves.

    whole = round_rows(Rows(units, step, inputs, bias, target, activation))

A row is what one output channel multiplies a patch of the input by. Two weights of 0.4 steps on
inputs that are alike give 0.8 together: one goes up and one down, where the nearest is zero twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from edge_seg.quantize.learn.program import Node

RIDGE = 0.03
"""Of the inputs' mean square: directions that the sampled positions say little about stay near the
float weights. GPTQ's dampening is 0.01; on fewer positions 0.01 to 0.1 did as well or better."""
SWEEPS = 3
"""Passes of coordinate descent over all weights; the first gains nearly all."""
BLOCK = 64
"""Weights that are rounded before what they change is brought to the others, as one product."""


@dataclass(frozen=True)
class Rows:
    """A layer as rows, by group of channels: ``activation(inputs @ (units * step).mT + bias)``."""

    units: Tensor
    """The float weights in steps of the grid, (groups, rows, k)."""
    step: Tensor
    """The grid's step, (groups, rows, 1)."""
    inputs: Tensor
    """Patches of the quantized network at some positions, in random order, (groups, n, k)."""
    bias: Tensor
    """(groups, 1, rows)."""
    target: Tensor
    """What the float network has there before its activation, (groups, n, rows)."""
    activation: Callable[[Tensor], Tensor]
    """What follows directly: a ReLU, a Clip, or nothing."""

    def error(self, whole: Tensor) -> Tensor:
        """Return the squared error of each row, behind the activation, (groups, rows)."""
        given = self.inputs @ (whole * self.step).mT + self.bias
        return (self.activation(given) - self.activation(self.target)).square().sum(1)

    def part(self, positions: slice) -> Rows:
        """Return the same rows at some of the positions."""
        inputs, target = self.inputs[:, positions], self.target[:, positions]
        return Rows(self.units, self.step, inputs, self.bias, target, self.activation)


def round_rows(rows: Rows) -> Tensor:
    """Return each weight rounded up or down to a whole number, (groups, rows, k).

    One position in four is held out: a row that is no better on those than the nearest whole
    numbers gets the nearest. Law: on those no row is worse than the nearest.
    """
    count = rows.inputs.shape[1]
    shown = count - count // 4
    held = rows.part(slice(shown if shown < count else 0, None))
    nearest = rows.units.round()
    found = _Search(rows.part(slice(0, shown))).whole()
    return torch.where((held.error(found) < held.error(nearest))[..., None], found, nearest)


class _Search:
    """Least squares over whole numbers, in steps: q'Hq - 2 c'q, with H and c of the inputs.

    Everything is turned, weights first: (groups, k, rows), the largest inputs at the front.
    """

    def __init__(self, rows: Rows) -> None:
        power = rows.inputs.square().sum(1)
        self._order = power.sum(0).argsort(descending=True, stable=True)
        self._inputs = rows.inputs[:, :, self._order]
        self._rows, self._step = rows, rows.step.mT
        self._float = rows.units.mT[:, self._order]
        self._low, self._high = self._float.floor(), self._float.ceil()
        self._ridge = (RIDGE * power.mean(1)[:, None, None]).clamp(min=1e-12)  # dead inputs
        count = len(self._order)
        self._h = self._inputs.mT @ self._inputs + self._ridge * torch.eye(count)

    def whole(self) -> Tensor:
        """Return the whole numbers, in the order of the rows that were given."""
        c = self._products(self._rows.target)
        q = self._one_after_the_other(c)
        for sweep in range(SWEEPS):
            if sweep > 0:
                c = self._products(self._above(q))
            self._descend(q, self._h @ q - c)
        found = torch.empty_like(q)
        found[:, self._order] = q
        return found.mT

    def _products(self, target: Tensor) -> Tensor:
        return self._inputs.mT @ ((target - self._rows.bias) / self._step) + (
            self._ridge * self._float
        )

    def _above(self, q: Tensor) -> Tensor:
        """Return the target whose plain squared error lies above that behind the activation.

        It touches it at ``q``, but where an output is cut off that should not be (majorization,
        Hunter and Lange 2004, "A tutorial on MM algorithms"). Where a ReLU makes the float
        network's zero, any output below zero is as good, and is its own target.
        """
        target, activation = self._rows.target, self._rows.activation
        end = activation(target)
        given = self._inputs @ q * self._step + self._rows.bias
        beyond = torch.where(target < end, given.minimum(end), given.maximum(end))
        return torch.where(target == end, target, beyond)

    def _one_after_the_other(self, c: Tensor) -> Tensor:
        """Return each weight rounded where those before it, already rounded, want it to be.

        GPTQ's order of things (Frantar et al. 2022, arXiv:2210.17323, section 3), with a weight
        never further than the next whole number.
        """
        lower = torch.linalg.cholesky(self._h)
        inverse = torch.cholesky_inverse(lower)
        wanted, upper = inverse @ c, torch.linalg.cholesky(inverse, upper=True)
        q = torch.empty_like(wanted)
        for start in range(0, q.shape[1], BLOCK):
            block = slice(start, start + BLOCK)
            near, factor = wanted[:, block], upper[:, block, block]
            missed = torch.empty_like(near)
            for k in range(near.shape[1]):
                at = start + k
                q[:, at] = near[:, k].round().clamp(self._low[:, at], self._high[:, at])
                missed[:, k] = (near[:, k] - q[:, at]) / factor[:, k, k, None]
                near[:, k:] -= factor[:, k, k:, None] * missed[:, k, None]
            wanted[:, start + BLOCK :] -= upper[:, block, start + BLOCK :].mT @ missed
        return q

    def _descend(self, q: Tensor, slope: Tensor) -> None:
        """Turn each weight to its other side where that lowers the error; changes ``q``.

        Coordinate descent (Behdin et al. 2023, "QuantEase", arXiv:2309.01885; Zhang et al. 2024,
        "COMQ", arXiv:2403.07134). ``slope`` is half the gradient.
        """
        curvature = self._h.diagonal(dim1=1, dim2=2)[:, :, None]
        for start in range(0, q.shape[1], BLOCK):
            block = slice(start, start + BLOCK)
            before, near, h = q[:, block].clone(), slope[:, block].clone(), self._h[:, block, block]
            for k in range(near.shape[1]):
                at = start + k
                turn = self._low[:, at] + self._high[:, at] - 2 * q[:, at]
                turn *= turn * (2 * near[:, k] + turn * curvature[:, at]) < 0
                q[:, at] += turn
                near += h[:, :, k, None] * turn[:, None]
            slope += self._h[:, :, block] @ (q[:, block] - before)


class Places(NamedTuple):
    """Positions of a layer's output, each (n,)."""

    frame: Tensor
    row: Tensor
    column: Tensor


def patches(node: Node, given: Tensor, kernel: Sequence[int], at: Places) -> Tensor:
    """Return what a row is multiplied by at each position, (groups, n, k)."""
    attributes = node.attributes
    stride, dilation = (attributes.get(name, [1, 1]) for name in ("strides", "dilations"))
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    if node.operator == "ConvTranspose":  # a convolution of the input with zeros between
        given = _with_zeros_between(given, stride)
        below, beside = attributes.get("output_padding", [0, 0])
        down, across = (d * (size - 1) for d, size in zip(dilation, kernel, strict=True))
        top, bottom = down - top, down - bottom + below
        left, right = across - left, across - right + beside
        stride = [1, 1]
    padded = functional.pad(given, [left, right, top, bottom])
    down = (at.row * stride[0])[:, None] + torch.arange(kernel[0]) * dilation[0]
    across = (at.column * stride[1])[:, None] + torch.arange(kernel[1]) * dilation[1]
    frame = at.frame[:, None, None]
    found = padded[frame, :, down[:, :, None], across[:, None, :]]  # (n, h, w, channels)
    groups = attributes.get("group", 1)
    by_group = found.flatten(1, 2).unflatten(2, (groups, -1))  # (n, h * w, groups, channels)
    return by_group.permute(2, 0, 3, 1).flatten(2)


def _with_zeros_between(given: Tensor, stride: Sequence[int]) -> Tensor:
    count, channels, height, width = given.shape
    tall, wide = (height - 1) * stride[0] + 1, (width - 1) * stride[1] + 1
    spaced = given.new_zeros(count, channels, tall, wide)
    spaced[:, :, :: stride[0], :: stride[1]] = given
    return spaced


def as_rows(node: Node, weight: Tensor) -> Tensor:
    """Return weights as (groups, rows, k). A transposed convolution in groups is not quantized."""
    if node.operator == "ConvTranspose":
        weight = weight.flip(2, 3).transpose(0, 1)
    groups = node.attributes.get("group", 1)
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def from_rows(node: Node, rows: Tensor, like: Tensor) -> Tensor:
    """Return rows as weights of the shape of ``like``: what `as_rows` was given."""
    if node.operator == "ConvTranspose":
        inputs, outputs, height, width = like.shape
        return rows.reshape(outputs, inputs, height, width).transpose(0, 1).flip(2, 3)
    return rows.reshape(like.shape)
