from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import onnx.version_converter
import pytest
import torch
from small_graphs import (
    HEADS_OF_TWO,
    conv_net,
    model_of,
    module_logits,
    noise_frame,
    operators,
    run_frame,
)
from torch import nn

from edge_seg.classes import LANE
from edge_seg.engines.lowering import CannotLowerError, Source
from edge_seg.engines.tensorrt.lowering import lower
from edge_seg.errors import EdgeSegError
from edge_seg.models import registry
from edge_seg.models.model import Model
from edge_seg.preprocess import InputSpec
from edge_seg.quantize import float_graph
from edge_seg.quantize.class_ids import with_class_ids
from edge_seg.quantize.float_graph import FRAME, LOGITS, OPSET
from edge_seg.quantize.graph import layer_name, layers, opset
from edge_seg.quantize.sensitivity import simulate

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
"""Per channel, so that a wrong channel order can not go unseen."""


@pytest.mark.parametrize(
    ("node", "layer"),
    [
        ("/down.0/down.0.3/Conv", "down.0.3"),
        ("/stem/first/Conv", "stem.first"),
        ("/head/Conv", "head"),
        ("/a/a.1/b/b.0/b.0.2/Conv", "a.1.b.0.2"),
        ("/down.1/down.10/Conv", "down.1.down.10"),
        ("/Conv", "Conv"),
        ("Conv_12", "Conv_12"),
        ("", ""),
    ],
)
def test_a_layer_is_called_by_its_module_path(node: str, layer: str) -> None:
    assert layer_name(node) == layer


def test_layers_are_the_module_paths_of_the_network(tiny_model: Model) -> None:
    assert tiny_model.module is not None
    wanted = {
        name
        for name, module in tiny_model.module.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    }
    assert set(layers(float_graph(tiny_model))) == wanted


@pytest.mark.parametrize("network", HEADS_OF_TWO)
def test_a_layer_is_all_its_nodes(network: type[nn.Module]) -> None:
    found = layers(float_graph(model_of(network(), InputSpec(8, 8))))
    assert list(found) == ["stem", "head"]
    assert [node.name for node in found["head"]] == HEADS_OF_TWO[network]


def test_a_module_with_a_number_in_its_name_keeps_it() -> None:
    network = nn.Sequential()
    for name in ("conv", "conv_1", "conv_2"):
        network.add_module(name, nn.Conv2d(3, 3, 1))
    assert list(layers(float_graph(model_of(network, InputSpec(8, 8))))) == list(
        dict(network.named_children())
    )


def test_a_module_with_the_name_of_our_normalisation_keeps_its_weights() -> None:
    network = nn.Sequential()
    network.add_module("normalise", nn.Conv2d(3, 3, 3, padding=1))
    model = model_of(network, InputSpec(8, 8, **IMAGENET))
    frame = noise_frame(8, 8)
    found = run_frame(float_graph(model), frame)
    assert np.abs(found - module_logits(model, frame)).max() < 1e-4


@pytest.mark.parametrize("normalisation", [{}, {"std": (0.2, 0.3, 0.4)}, IMAGENET])
@pytest.mark.parametrize("padding", [0, 1])
def test_the_graph_gives_the_modules_logits(padding: int, normalisation: dict) -> None:
    spec = InputSpec(16, 24, **normalisation)
    network = conv_net(padding)
    if not padding:  # logits keep the input's size
        network = nn.Sequential(network, nn.ZeroPad2d(1))
    model = model_of(network, spec)
    graph = float_graph(model)
    frame = noise_frame(16, 24)
    assert np.abs(run_frame(graph, frame) - module_logits(model, frame)).max() < 1e-4
    assert "BatchNormalization" not in operators(graph)
    assert len(graph.graph.output) == 1 and graph.graph.output[0].name == LOGITS
    assert graph.graph.input[0].name == FRAME


def test_the_shipped_network_gives_the_modules_logits(tiny_model: Model) -> None:
    frame = noise_frame(tiny_model.input.height, tiny_model.input.width)
    found = run_frame(float_graph(tiny_model), frame)
    assert np.abs(found - module_logits(tiny_model, frame)).max() < 1e-4


@pytest.mark.parametrize(
    ("padding", "normalisation", "convolutions"),
    [
        (1, {}, 2),  # a scale folds always
        (1, IMAGENET, 3),  # a padded zero would have to become the mean
        (0, IMAGENET, 2),  # without padding the mean folds too
    ],
)
def test_the_normalisation_folds_where_that_is_exact(
    padding: int, normalisation: dict, convolutions: int
) -> None:
    graph = float_graph(model_of(conv_net(padding), InputSpec(16, 24, **normalisation)))
    assert operators(graph).count("Conv") == convolutions
    assert not {"Sub", "Div", "Mul", "Add"} & set(operators(graph))


def test_frames_are_bgr() -> None:
    """A 1x1 convolution that copies RGB to the classes gives blue as class 2."""
    network = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.eye(3).reshape(3, 3, 1, 1))
    graph = float_graph(model_of(network, InputSpec(2, 2)))
    blue, green, red = 51, 102, 204
    frame = np.full((2, 2, 3), (blue, green, red), np.uint8)
    assert run_frame(graph, frame)[:, 0, 0] == pytest.approx([0.8, 0.4, 0.2])


def test_a_grouped_first_convolution_is_not_folded_into() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1, groups=3), nn.Conv2d(3, 3, 1))
    model = model_of(network, InputSpec(4, 4, **IMAGENET))
    frame = noise_frame(4, 4)
    found = run_frame(float_graph(model), frame)
    assert np.abs(found - module_logits(model, frame)).max() < 1e-4


def test_a_model_that_comes_as_onnx_gives_its_own_logits(tmp_path, tiny_model: Model) -> None:
    from edge_seg.quantize.float_graph import _export

    path = tmp_path / "mine.onnx"
    path.write_bytes(_export(tiny_model))
    brought = registry.load(str(path), classes=LANE)
    frame = noise_frame(brought.input.height, brought.input.width)
    found = run_frame(float_graph(brought), frame)
    assert np.abs(found - module_logits(tiny_model, frame)).max() < 1e-4


def newer(model: Model, version: int) -> Model:
    """The model as an ONNX file of another opset."""
    from edge_seg.quantize.float_graph import _export

    given = onnx.version_converter.convert_version(onnx.load_from_string(_export(model)), version)
    return dataclasses.replace(model, onnx=given.SerializeToString(), module=None)


@pytest.mark.parametrize("version", [18, 20])
def test_a_file_of_a_newer_opset_comes_to_the_one_that_all_engines_read(
    version: int, tiny_model: Model
) -> None:
    brought = newer(tiny_model, version)
    graph = float_graph(brought)
    assert opset(graph) == OPSET
    frame = noise_frame(brought.input.height, brought.input.width)
    assert np.abs(run_frame(graph, frame) - module_logits(tiny_model, frame)).max() < 1e-4


def test_what_cannot_be_brought_down_still_gives_class_ids(tiny_model: Model) -> None:
    graph = onnx.version_converter.convert_version(float_graph(tiny_model), 18)
    frame = noise_frame(tiny_model.input.height, tiny_model.input.width)
    ids = [run_frame(with_class_ids(graph, way), frame) for way in ("argmax", "compare")]
    assert np.array_equal(*ids)
    with pytest.raises(CannotLowerError, match=r"opset 18, and TensorRT 8\.5 reads up to 17"):
        lower(Source(tiny_model, graph, None, []), "float16", {})  # type: ignore[arg-type]


def test_an_operator_of_one_runtime_alone_is_refused(tmp_path, tiny_model: Model) -> None:
    graph = float_graph(tiny_model)
    relu = next(node for node in graph.graph.node if node.op_type == "Relu")
    relu.op_type, relu.domain = "Gelu", "com.microsoft"
    graph.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    model = dataclasses.replace(tiny_model, onnx=graph.SerializeToString(), module=None)
    with pytest.raises(EdgeSegError, match=r"not ONNX's own \(com\.microsoft\.Gelu '/"):
        float_graph(model)


def test_an_operator_that_onnx_lacks_is_named_in_one_line() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x)

    with pytest.raises(EdgeSegError, match=r"^model 'small' cannot be exported.*bessel") as caught:
        float_graph(model_of(Odd(), InputSpec(4, 4)))
    assert "\n" not in str(caught.value)


def test_a_failure_without_a_message_is_called_by_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    with pytest.raises(EdgeSegError, match=r"not a graph that runs: MemoryError$"):
        float_graph(model_of(conv_net(1), InputSpec(4, 4)))


SPEC = InputSpec(16, 16)


class Branch(nn.Module):
    """Takes another layer where the frame is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.dark, self.bright = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.mean() > 0.5:
            return self.bright(x)
        return self.dark(x)


class ShapeBranch(nn.Module):
    """Asks for a size that never changes."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x * 2 if int(torch.tensor(x.shape[3])) > 4 else x)


def test_a_way_that_depends_on_the_frame_is_refused_with_its_line() -> None:
    words = r"goes another way for another frame.*test_quantize_float_graph.py line \d+: if x.mean"
    with pytest.raises(EdgeSegError, match=words):
        float_graph(model_of(Branch().eval(), SPEC))


def test_a_way_that_depends_on_the_size_is_taken() -> None:
    model = model_of(ShapeBranch().eval(), SPEC)
    frame = noise_frame(SPEC.height, SPEC.width)
    np.testing.assert_allclose(
        simulate(float_graph(model), [frame])[0], module_logits(model, frame), atol=1e-4
    )
