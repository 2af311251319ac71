"""Networks of a layer or two and the recipes for them, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import nn

from edge_seg.classes import LANE
from edge_seg.models.model import Model, from_network
from edge_seg.preprocess import Frame, InputSpec, normalise
from edge_seg.quantize import Recipe, collect_ranges
from edge_seg.quantize.float_graph import FRAME, LOGITS
from edge_seg.quantize.graph import layers


def model_of(network: nn.Module, spec: InputSpec) -> Model:
    return from_network("small", network, spec, LANE, "made by a test")


def conv_net(padding: int, middle: nn.Module | None = None) -> nn.Sequential:
    """Two convolutions with a batch norm between; three classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        norm = nn.BatchNorm2d(4)
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=padding, bias=False),
            norm,
            middle or nn.ReLU(),
            nn.Conv2d(4, 3, 1),
        )


class CalledTwice(nn.Module):
    """A head that is called twice: two nodes and one layer."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.stem = nn.Conv2d(3, 3, 3, padding=1)
            self.head = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.head(torch.relu(self.stem(x)))))


class TwoInOne(nn.Module):
    """A module with two convolutions of its own, no modules themselves, behind a stem."""

    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Parameter(torch.randn(3, 3, 3, 3) / 3)
            self.last = nn.Parameter(torch.randn(3, 3, 3, 3) / 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inner = torch.relu(nn.functional.conv2d(x, self.first, padding=1))
            return nn.functional.conv2d(inner, self.last, padding=1)

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.stem = nn.Conv2d(3, 3, 3, padding=1)
            self.head = self.Head()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.stem(x)))


HEADS_OF_TWO = {
    CalledTwice: ["/head/Conv", "/head/Conv.1"],
    TwoInOne: ["/head/Conv", "/head/Conv_1"],
}
"""Networks whose layers are ``stem`` and ``head``, and the names of the nodes of ``head``."""


def noise_frame(height: int, width: int, seed: int = 0) -> Frame:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def module_logits(model: Model, frame: Frame) -> npt.NDArray[np.float32]:
    assert model.module is not None
    with torch.inference_mode():
        logits = model.module(torch.from_numpy(normalise(frame, model.input)))
    return np.asarray(logits[0].numpy())


def recipe_for(graph: onnx.ModelProto, frames: Sequence[Frame], **changes: object) -> Recipe:
    decided = {
        "model_digest": "m",
        "calibration_digest": "c",
        "layers": tuple(layers(graph)),
        "ranges": collect_ranges(graph, frames),
    }
    return Recipe(**{**decided, **changes})


def operators(graph: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in graph.graph.node]


def logits_graph(*shape: int) -> onnx.ModelProto:
    """A graph that hands its float input out as logits."""
    return graph_of([helper.make_node("Identity", ["given"], [LOGITS])], shape, shape)


def graph_of(
    nodes: list[onnx.NodeProto],
    given: Sequence[int],
    logits: Sequence[int],
    constants: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """A checked graph from the input ``given`` to the output ``logits``."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("given", TensorProto.FLOAT, list(given))],
        [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, list(logits))],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def run(graph: onnx.ModelProto, value: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Run a graph of one input and one output."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {session.get_inputs()[0].name: value})[0])


def run_frame(graph: onnx.ModelProto, frame: Frame) -> npt.NDArray[np.generic]:
    assert graph.graph.input[0].name == FRAME
    return run(graph, frame[None])[0]
