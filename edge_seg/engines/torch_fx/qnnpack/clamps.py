"""Clamps on qnnpack: their input in NCHW order.

    network = with_dense_clamps(converted)

qnnpack's clamp, and so its ReLU6 and hardtanh, is wrong on channels-last tensors: it computes in
the order of memory and hands the result on as NCHW (torch 2.13 and before: qclamp.cpp,
``_empty_affine_quantized`` without a memory format). Its convolutions give channels-last tensors,
so every MobileNetV2 collapses. A ReLU6 behind a convolution is none any more (`ceilings`). Keeping
the others in float through FX's mapping would not do: FX quantizes them whatever the mapping says,
as they share their input's grid.
"""

from __future__ import annotations

import torch
from torch import fx, nn
from torch.nn import functional

CLAMPS = {
    *(functional.relu6, functional.hardtanh, functional.hardtanh_),
    *(torch.clamp, "clamp"),
}
"""What FX quantizes beside `torch.nn.Hardtanh`, of which ReLU6 is a kind; ``clip`` it does not."""


def with_dense_clamps(network: nn.Module) -> nn.Module:
    """Return the quantized network with every clamp's input in NCHW order."""
    if not isinstance(network, fx.GraphModule):
        return network
    modules = dict(network.named_modules())
    for node in list(network.graph.nodes):
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Hardtanh) or node.target in CLAMPS:
            given = node.all_input_nodes[0]
            with network.graph.inserting_before(node):
                dense = network.graph.call_method("contiguous", (given,))
            node.replace_input_with(given, dense)
    network.recompile()
    return network
