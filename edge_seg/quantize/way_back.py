"""What was learnt on the graph, brought back to the PyTorch module.

    model = with_weights_of(model, graph)   # its module gives the logits of `graph`

Steps that change weights do so on the folded float graph. fbgemm, qnnpack and LiteRT start from the
module: they get the same numbers here, in layers that have taken up their batch norm as the graph's
have; one without effect stays in its place.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from torch import nn

from edge_seg.errors import EdgeSegError
from edge_seg.quantize.coarse import output_axis
from edge_seg.quantize.float_graph import NORMALISE
from edge_seg.quantize.graph import layers
from edge_seg.quantize.qdq import producer_of_cast
from edge_seg.quantize.sensitivity import simulate, sqnr_db
from edge_seg.quantize.weights import Array, bias_of, weight_of

if TYPE_CHECKING:
    from edge_seg.models.model import Model
    from edge_seg.preprocess import InputSpec

SAME_DB = 60.0
"""Of the module's logits against the graph's: sums in another order have over 100."""


class NoWayBackError(EdgeSegError):
    """A change of the graph that the module cannot take: it stays with the graph's engines."""


def with_weights_of(model: Model, graph: onnx.ModelProto) -> Model:
    """Return the model whose module gives the logits of ``graph``, its own with other weights.

    A model that came as ONNX is returned as it is: its engines start from the graph. Raises
    `NoWayBackError` where the module's layers are not the graph's.
    """
    from edge_seg.models.model import state_digest

    if model.module is None:
        return model
    module = copy.deepcopy(model.module)
    norms = _norms_behind(module, model.input)
    for name, nodes in layers(graph).items():
        if name == NORMALISE:
            continue
        layer = _layer(module, name)
        weight, bias = _parameters(graph, nodes[0], model.input)
        layer.weight = nn.Parameter(torch.from_numpy(np.ascontiguousarray(weight)))
        layer.bias = nn.Parameter(torch.from_numpy(bias))
        if name in norms:
            module.set_submodule(norms[name], _without_effect(layer))
    _require_same(module, model, graph)
    digest = state_digest(module.state_dict(), model.digest)
    return replace(model, module=module.eval().requires_grad_(False), digest=digest)


def _without_effect(layer: nn.Module) -> nn.BatchNorm2d:
    """Return a batch norm that changes nothing.

    Toolchains fuse it away as any other; an Identity between a convolution and its activation
    keeps PyTorch's from seeing that the two are one kernel.
    """
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    return nn.BatchNorm2d(layer.out_channels, eps=0.0).eval()


def _norms_behind(module: nn.Module, spec: InputSpec) -> dict[str, str]:
    """Return the batch norm that reads each layer's output, by the layer's name: one run says."""
    outputs: list[tuple[str, torch.Tensor]] = []  # kept, so that no two have one identity
    found: dict[str, str] = {}

    def wrote(name: str, output: torch.Tensor) -> None:
        outputs.append((name, output))

    def reads(norm: str, given: torch.Tensor) -> None:
        found.update({name: norm for name, output in outputs if output is given})

    hooks = []
    for name, part in module.named_modules():
        if isinstance(part, nn.BatchNorm2d):
            hooks.append(part.register_forward_pre_hook(lambda m, i, name=name: reads(name, i[0])))
        elif isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            hooks.append(part.register_forward_hook(lambda m, i, o, name=name: wrote(name, o)))
    with torch.inference_mode():
        module(torch.zeros(1, 3, spec.height, spec.width))
    for hook in hooks:
        hook.remove()
    return found


def _layer(module: nn.Module, name: str) -> nn.Conv2d | nn.ConvTranspose2d | nn.Linear:
    try:
        layer = module.get_submodule(name)
    except AttributeError:
        layer = module
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        raise NoWayBackError(
            f"layer '{name}' is no layer of torch.nn, which the weights could go back to: "
            "--method ptq leaves them alone"
        )
    return layer


def _parameters(
    graph: onnx.ModelProto, node: onnx.NodeProto, spec: InputSpec
) -> tuple[Array, Array]:
    """Return weight and bias as the module has them: of normalised RGB, if it reads the frame."""
    weight = weight_of(graph, node).astype(np.float64)
    if node.op_type in ("MatMul", "Gemm") and output_axis(node) == 1:
        weight = weight.T
    channels = weight.shape[0]
    if node.op_type == "ConvTranspose":
        channels = weight.shape[1] * next((a.i for a in node.attribute if a.name == "group"), 1)
    bias = bias_of(graph, node, channels)
    cast = producer_of_cast(graph)
    if cast is not None and node.input[0] == cast.output[0]:
        scale = 1.0 / (255.0 * np.asarray(spec.std))
        weight = weight[:, ::-1] / scale[None, :, None, None]
        offset = -np.asarray(spec.mean) / np.asarray(spec.std)
        bias = bias - np.einsum("ochw,c->o", weight, offset)
    return weight.astype(np.float32), bias.astype(np.float32)


def _require_same(module: nn.Module, model: Model, graph: onnx.ModelProto) -> None:
    from edge_seg.preprocess import normalise

    spec = model.input
    frame = np.random.default_rng(0).integers(0, 256, (spec.height, spec.width, 3), np.uint8)
    with torch.inference_mode():
        mine = module(torch.from_numpy(normalise(frame, spec))).numpy()
    apart = sqnr_db(simulate(graph, [frame]), mine)
    if apart < SAME_DB:
        raise NoWayBackError(
            f"with the weights that the method made, PyTorch's network gives other logits than "
            f"the graph ({apart:.0f} dB of signal to noise, {SAME_DB:.0f} are the least)"
        )
