"""ONNX operators as PyTorch runs them: what a gradient needs to go through a graph.

    OPERATORS["Conv"]({"pads": [1, 1, 1, 1]}, x, weight, bias)

Each takes the node's attributes and its inputs, None where an optional one is left out, and
returns its first output. Meanings: https://onnx.ai/onnx/operators/. The first dimension may be any
number of frames, although the graph says one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Attributes = Mapping[str, Any]
Operator = Callable[..., Tensor]

_TYPES = {1: torch.float32, 2: torch.uint8, 3: torch.int8, 6: torch.int32, 7: torch.int64}


def _conv(given: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x, padding = _padded(given, x)
    return functional.conv2d(
        x,
        weight,
        bias,
        given.get("strides", [1, 1]),
        padding,
        given.get("dilations", [1, 1]),
        given.get("group", 1),
    )


def _conv_transpose(
    given: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right) or "output_shape" in given:
        raise NotImplementedError("a transposed convolution that pads one side more")
    return functional.conv_transpose2d(
        x,
        weight,
        bias,
        given.get("strides", [1, 1]),
        [top, left],
        given.get("output_padding", [0, 0]),
        given.get("group", 1),
        given.get("dilations", [1, 1]),
    )


def _padded(given: Attributes, x: Tensor, value: float = 0.0) -> tuple[Tensor, list[int]]:
    """Return the input and the padding that is left to the kernel, which pads both sides alike."""
    if given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise NotImplementedError("auto_pad")
    top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
    if (top, left) == (bottom, right):
        return x, [top, left]
    return functional.pad(x, [left, right, top, bottom], value=value), [0, 0]


def _max_pool(given: Attributes, x: Tensor) -> Tensor:
    x, padding = _padded(given, x, float("-inf"))
    return functional.max_pool2d(
        x,
        given["kernel_shape"],
        given.get("strides", [1, 1]),
        padding,
        given.get("dilations", [1, 1]),
        bool(given.get("ceil_mode", 0)),
    )


def _average_pool(given: Attributes, x: Tensor) -> Tensor:
    counted = bool(given.get("count_include_pad", 0))
    top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right):
        raise NotImplementedError("an average that pads one side more")
    return functional.avg_pool2d(
        x,
        given["kernel_shape"],
        given.get("strides", [1, 1]),
        [top, left],
        bool(given.get("ceil_mode", 0)),
        counted,
    )


def _resize(
    given: Attributes,
    x: Tensor,
    region: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
) -> Tensor:
    size = [int(n) for n in sizes[2:]] if sizes is not None and sizes.numel() else None
    if size is None:
        assert scales is not None
        size = [int(side * float(s)) for side, s in zip(x.shape[2:], scales[2:], strict=True)]
    mode = given.get("mode", b"nearest")
    way = given.get("coordinate_transformation_mode", b"half_pixel")
    if mode == b"nearest" and way == b"asymmetric":
        return functional.interpolate(x, size, mode="nearest")
    if mode == b"linear" and way in (b"half_pixel", b"pytorch_half_pixel"):
        return functional.interpolate(x, size, mode="bilinear", align_corners=False)
    if mode == b"linear" and way == b"align_corners":
        return functional.interpolate(x, size, mode="bilinear", align_corners=True)
    raise NotImplementedError(f"a {mode.decode()} resize by {way.decode()}")


def _reshape(given: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    """Reshape to ``sizes``, one frame's shape: of several, the first axis has them all."""
    sizes = list(given.get("sizes", shape.tolist()))
    sizes = [x.shape[i] if n == 0 else n for i, n in enumerate(sizes)]
    if -1 not in sizes:
        sizes[0] *= x.numel() // math.prod(sizes)
    return x.reshape(sizes)


def _depth_to_space(given: Attributes, x: Tensor) -> Tensor:
    if given.get("mode", b"DCR") != b"CRD":
        raise NotImplementedError("DepthToSpace by depth, column, row")
    return functional.pixel_shuffle(x, given["blocksize"])


def _clip(
    given: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None
) -> Tensor:
    return torch.clamp(
        x, None if low is None else float(low), None if high is None else float(high)
    )


def _pad(given: Attributes, x: Tensor, pads: Tensor, value: Tensor | None = None) -> Tensor:
    sizes, rank = [int(n) for n in pads], x.dim()
    if any(sizes[:2]) or any(sizes[rank : rank + 2]) or rank != 4:
        raise NotImplementedError("padding of channels")
    mode = {b"constant": "constant", b"reflect": "reflect", b"edge": "replicate"}
    around = [sizes[3], sizes[rank + 3], sizes[2], sizes[rank + 2]]
    number = float(value) if value is not None and value.numel() else 0.0
    kind = mode[given.get("mode", b"constant")]
    return functional.pad(x, around, kind, number if kind == "constant" else None)


def _gemm(given: Attributes, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.t() if given.get("transA", 0) else a
    b = b.t() if given.get("transB", 0) else b
    product = given.get("alpha", 1.0) * (a @ b)
    return product if c is None else product + given.get("beta", 1.0) * c


def _hard_sigmoid(given: Attributes, x: Tensor) -> Tensor:
    return torch.clamp(given.get("alpha", 0.2) * x + given.get("beta", 0.5), 0, 1)


def _axes(given: Attributes, axes: Tensor | None) -> list[int]:
    return list(given["axes"]) if axes is None else [int(n) for n in axes]


def _mean(given: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    return x.mean(_axes(given, axes), keepdim=bool(given.get("keepdims", 1)))


def _unsqueeze(given: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    for axis in sorted(_axes(given, axes)):
        x = x.unsqueeze(axis)
    return x


def _slice(
    given: Attributes,
    x: Tensor,
    starts: Tensor,
    ends: Tensor,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    """Cut along some axes; slices of Python count from the end and stop at it, as ONNX's do."""
    along = range(len(starts)) if axes is None else axes.tolist()
    by = [1] * len(starts) if steps is None else steps.tolist()
    if min(by) < 1:
        raise NotImplementedError("a slice that goes backwards")
    cuts = [slice(None)] * x.dim()
    for axis, start, end, step in zip(along, starts.tolist(), ends.tolist(), by, strict=True):
        cuts[axis] = slice(start, end, step)
    return x[tuple(cuts)]


def _squeeze(given: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    return x.squeeze(_axes(given, axes))


def _layer_norm(given: Attributes, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    axis = given.get("axis", -1) % x.dim()
    return functional.layer_norm(x, x.shape[axis:], scale, bias, given.get("epsilon", 1e-5))


def _batch_norm(
    given: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor
) -> Tensor:
    """Normalise by what was learnt before: in a graph that is run, the statistics are constants."""
    return functional.batch_norm(x, mean, var, scale, bias, eps=given.get("epsilon", 1e-5))


OPERATORS: dict[str, Operator] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": lambda given, a, b: a @ b,
    "Relu": lambda given, x: torch.relu(x),
    "Clip": _clip,
    "LeakyRelu": lambda given, x: functional.leaky_relu(x, given.get("alpha", 0.01)),
    "PRelu": lambda given, x, slope: torch.where(x < 0, x * slope, x),
    "Elu": lambda given, x: functional.elu(x, given.get("alpha", 1.0)),
    "Sigmoid": lambda given, x: torch.sigmoid(x),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda given, x: functional.hardswish(x),
    "Tanh": lambda given, x: torch.tanh(x),
    "Erf": lambda given, x: torch.erf(x),
    "Sqrt": lambda given, x: torch.sqrt(x),
    "Pow": lambda given, a, b: torch.pow(a, b),
    "Softmax": lambda given, x: torch.softmax(x, given.get("axis", -1)),
    "Add": lambda given, a, b: a + b,
    "Sub": lambda given, a, b: a - b,
    "Mul": lambda given, a, b: a * b,
    "Div": lambda given, a, b: a / b,
    "LayerNormalization": _layer_norm,
    "BatchNormalization": _batch_norm,
    "Concat": lambda given, *tensors: torch.cat(tensors, given["axis"]),
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": lambda given, x: x.mean((2, 3), keepdim=True),
    "ReduceMean": _mean,
    "Resize": _resize,
    "DepthToSpace": _depth_to_space,
    "Pad": _pad,
    "Reshape": _reshape,
    "Flatten": lambda given, x: x.flatten(given.get("axis", 1)),
    "Transpose": lambda given, x: x.permute(given["perm"]),
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Cast": lambda given, x: x.to(_TYPES[given["to"]]),
    "Identity": lambda given, x: x,
}
