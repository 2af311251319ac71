"""Batch norm and ReLU in one pass, for bfloat16 on CPUs: a sixth of a U-Net's step less.

    kernels = compiled()  # None where there is no C compiler
    forward = with_relu(layer, kernels)
    output = forward(features)

torch 2.13's own batch norm does not vectorise 16 channels of bfloat16, and reads and writes every
feature once more for the ReLU. `fused.c` is compiled by the system's compiler in a second, each
time anew, for exactly this processor. Same numbers up to the order of sums, which are in double.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

CHUNKS = 64
"""As in ``fused.c``: parts that are summed by themselves."""
WIDTH = 64
"""Rows are made at least this wide where there are fewer channels: two vectors of AVX-512."""


@functools.cache
def compiled() -> ctypes.CDLL | None:
    """Return the kernels; None where there is no compiler, or it fails."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None
    source = Path(__file__).with_name("fused.c")
    flags = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
    with tempfile.TemporaryDirectory(prefix="edge-seg-fused-") as folder:
        library = Path(folder) / "fused.so"
        command = [compiler, *flags, str(source), "-o", str(library)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            return ctypes.CDLL(str(library))  # stays loaded when the file is gone
        except (OSError, subprocess.SubprocessError):
            return None


def with_relu(layer: nn.BatchNorm2d, kernels: ctypes.CDLL) -> Callable[..., torch.Tensor]:
    """Return what to call in place of the layer and the ReLU after it."""
    plain = layer.affine and layer.track_running_stats and layer.momentum is not None
    original = layer.forward

    def forward(features: torch.Tensor) -> torch.Tensor:
        dense = features.is_contiguous(memory_format=torch.channels_last)
        if not (plain and layer.training and dense and features.dtype == torch.bfloat16):
            return functional.relu(original(features))
        output: torch.Tensor = BatchNormReLU.apply(
            features, layer.weight, layer.bias, layer, kernels
        )
        return output

    return forward


class BatchNormReLU(torch.autograd.Function):
    """``relu(batch_norm(features))`` of a layer that trains; updates its running statistics.

    With mean m, variance v and r = 1 / sqrt(v + eps): y = max(0, w r (x - m) + b), and with
    d = dy where y > 0, sums over all P pixels: dw = r sum(d (x - m)), db = sum(d),
    dx = w r (d - db / P - (x - m) r dw / P) (Ioffe and Szegedy 2015, arXiv:1502.03167).
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        layer: nn.BatchNorm2d,
        kernels: ctypes.CDLL,
    ) -> torch.Tensor:
        """Return the activations, bfloat16 and channels last as the features."""
        shape = _Shape(features)
        one, two = shape.sums(kernels.moments, features)
        mean = one / shape.pixels
        variance = (two / shape.pixels - mean * mean).clamp(min=0)
        _update(layer, mean, variance, shape.pixels)
        inverse = (variance + layer.eps).rsqrt()
        scale = shape.row(weight * inverse)
        shift = shape.row(bias - weight * inverse * mean)
        output = torch.empty_like(features)
        shape.call(kernels.forward, features, scale, shift, output)
        ctx.save_for_backward(features, weight, mean, inverse, scale, shift)
        ctx.kernels = kernels
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Return the gradients of features, weight and bias."""
        features, weight, mean, inverse, scale, shift = ctx.saved_tensors
        back = gradients[0].contiguous(memory_format=torch.channels_last)
        shape = _Shape(features)
        of_bias, two = shape.sums(ctx.kernels.products, features, back, scale, shift)
        of_weight = inverse * (two - mean * of_bias)
        slope = weight * inverse
        of_x = -slope * inverse * of_weight / shape.pixels
        rest = -slope * of_bias / shape.pixels - of_x * mean
        rows = [shape.row(values) for values in (slope, of_x, rest)]
        output = torch.empty_like(features)
        shape.call(ctx.kernels.backward, features, back, scale, shift, *rows, output)
        return output, of_weight.to(weight.dtype), of_bias.to(weight.dtype), None, None


class _Shape:
    """Features (N, C, h, w), channels last, as rows: of one pixel, or of several side by side."""

    def __init__(self, features: torch.Tensor) -> None:
        self.channels = features.shape[1]
        self.pixels = features.numel() // self.channels
        self.repeats = max(1, WIDTH // self.channels)
        if self.pixels % self.repeats:
            self.repeats = 1
        self.width = self.channels * self.repeats

    def row(self, values: torch.Tensor) -> torch.Tensor:
        """Return values (C,) as a float32 row."""
        return values.float().repeat(self.repeats)

    def call(self, kernel: Any, *tensors: torch.Tensor) -> None:
        """Call a kernel with the sizes, the threads of torch, and the tensors' memory."""
        sizes = (self.pixels // self.repeats, self.width, torch.get_num_threads())
        numbers = (ctypes.c_long(sizes[0]), ctypes.c_long(sizes[1]), ctypes.c_int(sizes[2]))
        kernel(*numbers, *(ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors))

    def sums(self, kernel: Any, *tensors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a kernel's two sums for each channel (C,), double."""
        parts = torch.zeros(CHUNKS, 2, self.repeats, self.channels, dtype=torch.float64)
        self.call(kernel, *tensors, parts)
        one, two = parts.sum(dim=(0, 2))
        return one, two


def _update(layer: nn.BatchNorm2d, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
    """Move the running statistics as `nn.BatchNorm2d` does: the variance is unbiased there."""
    assert layer.running_mean is not None and layer.running_var is not None
    assert layer.num_batches_tracked is not None and layer.momentum is not None
    unbiased = variance * (count / max(1, count - 1))
    layer.running_mean.lerp_(mean.float(), layer.momentum)
    layer.running_var.lerp_(unbiased.float(), layer.momentum)
    layer.num_batches_tracked.add_(1)
