"""The networks: traceable, exportable, quantizable; the U-Net and DeepLab by hand and by peer.

The networks that do not ship have their values in `test_models_more_networks`.
"""

from __future__ import annotations

import collections
import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from edge_seg.classes import LANE
from edge_seg.errors import EdgeSegError
from edge_seg.models import deeplab, registry, unet
from edge_seg.models.architectures import architecture, names
from edge_seg.models.count import count
from edge_seg.models.model import from_network
from edge_seg.preprocess import InputSpec, normalise
from edge_seg.quantize.float_graph import float_graph
from edge_seg.quantize.graph import layers

NAMES = names()
NARROW = {"fcn-resnet50": {"base": 8}}
"""Options that make a large network small enough to test, with all its layers."""
QUICK = set(registry.shipped()) - {"lane-unet-light"}  # it is a lane-unet
THOROUGH = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NAMES]
"""For what takes seconds a network: all of them, and `make test` only those that ship."""


def built(name: str, height: int = 64, width: int = 96) -> torch.nn.Module:
    """Return a network of that name with random weights, in eval mode."""
    known = architecture(name)
    torch.manual_seed(0)
    config = known.config(height=height, width=width, **NARROW.get(name, {}))
    return known.build(config).eval().requires_grad_(False)


def unet_parameters(base: int, depth: int, classes: int) -> int:
    """The same sum as in the paper's figure, written out: weights, and scale and shift."""

    def block(inputs: int, outputs: int) -> int:
        return 9 * inputs * outputs + 9 * outputs * outputs + 4 * outputs

    widths = [base * 2**level for level in range(depth + 1)]
    total = sum(block(a, b) for a, b in zip([3, *widths], widths, strict=False))
    for width in widths[:-1]:
        total += 4 * 2 * width * width + width  # 2x2 transposed convolution and its bias
        total += block(2 * width, width)
    return total + base * classes + classes


@pytest.mark.parametrize(("base", "depth"), [(16, 4), (24, 4), (32, 4), (16, 2)])
def test_unet_has_the_parameters_of_the_paper(base: int, depth: int) -> None:
    network = unet.build(unet.UNetConfig(base=base, depth=depth))
    assert sum(p.numel() for p in network.parameters()) == unet_parameters(base, depth, 3)


@pytest.mark.parametrize("up", ["transpose", "bilinear"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_unet_returns_logits_of_the_input_size(up: str, batch_norm: bool) -> None:
    config = msgspec.convert(
        {"classes": 5, "depth": 3, "up": up, "batch_norm": batch_norm}, unet.UNetConfig
    )
    logits = unet.build(config).eval()(torch.rand(2, 3, 32, 48))
    assert logits.shape == (2, 5, 32, 48)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (unet.UNetConfig(base=17), "base width 17"),
        (unet.UNetConfig(depth=9), "depth of 1 to 6"),
        (unet.UNetConfig(height=250), "multiples of 16"),
        (deeplab.DeepLabConfig(output_stride=4), "output stride of 8, 16 or 32"),
        (deeplab.DeepLabConfig(width=500), "multiples of 32"),
    ],
)
def test_what_cannot_be_built_is_one_line(config: object, says: str) -> None:
    build = unet.build if isinstance(config, unet.UNetConfig) else deeplab.build
    with pytest.raises(EdgeSegError, match=says):
        build(config)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "gmac"), [("lane-unet", 6.07), ("deeplabv3plus-mobilenetv2", 1.30)]
)
def test_multiplications(name: str, gmac: float) -> None:
    assert count(registry.load(name, weights="random")).gmac == pytest.approx(gmac, abs=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_traced_by_fx_it_says_the_same(name: str) -> None:
    network = built(name)
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.fx.symbolic_trace(network)(image), network(image))


@pytest.mark.parametrize("name", THOROUGH)
def test_exported_it_says_the_same(name: str) -> None:
    network = built(name)
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    exported = torch.export.export(network, (image,)).module()
    torch.testing.assert_close(exported(image), network(image))


@pytest.mark.parametrize("name", THOROUGH)
def test_onnx_graph_has_no_arithmetic_on_shapes(name: str) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the extra pack")
    buffer = io.BytesIO()
    image = torch.rand(1, 3, 64, 96)
    torch.onnx.export(built(name), (image,), buffer, dynamo=False, opset_version=17)
    graph = onnx.load_from_string(buffer.getvalue()).graph
    kinds = collections.Counter(node.op_type for node in graph.node)
    assert not {"Shape", "Slice", "Gather", "BatchNormalization"} & kinds.keys()


@pytest.mark.parametrize("name", THOROUGH)
def test_fx_quantizes_it(name: str) -> None:
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    image = torch.rand(1, 3, 64, 96)
    prepared = prepare_fx(built(name), get_default_qconfig_mapping("fbgemm"), (image,))
    prepared(image)
    assert convert_fx(prepared)(image).shape == (1, 3, 64, 96)


@pytest.mark.parametrize("name", NAMES)
def test_its_float_graph_gives_the_logits_of_the_module(name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra pack")
    network = built(name)
    spec = InputSpec(64, 96, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25))
    model = from_network(name, network, spec, LANE, "random")
    graph = float_graph(model)
    kinds = {node.op_type for node in graph.graph.node}
    assert not {"Shape", "Slice", "Gather", "BatchNormalization"} & kinds
    # Recipes name layers, and PyTorch's engines look for modules of these names.
    assert set(layers(graph)) - {"normalise"} <= {name for name, _ in network.named_modules()}
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    frame = np.random.default_rng(2).integers(0, 256, (64, 96, 3), np.uint8)
    (got,) = session.run(None, {"frame": frame[None]})
    wanted = network(torch.from_numpy(normalise(frame, spec))).numpy()
    np.testing.assert_allclose(got, wanted, atol=2e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_reaches_every_parameter_and_every_size_has_the_same_weights(name: str) -> None:
    network = built(name).train().requires_grad_(True)
    network(torch.rand(2, 3, 64, 96)).square().mean().backward()
    still = [key for key, weight in network.named_parameters() if not weight.grad.any()]  # type: ignore[union-attr]
    assert still == []
    other = built(name, 128, 32)
    other.load_state_dict(network.state_dict())
    assert other(torch.rand(1, 3, 128, 32)).shape == (1, 3, 128, 32)


@pytest.mark.parametrize("name", NAMES)
def test_one_output_is_as_good_as_many(name: str) -> None:
    """What a depth map or a single class needs."""
    known = architecture(name)
    network = known.build(known.config(classes=1, height=64, width=64, **NARROW.get(name, {})))
    assert network.eval()(torch.rand(1, 3, 64, 64)).shape == (1, 1, 64, 64)


@pytest.mark.parametrize("name", NAMES)
def test_an_input_size_that_does_not_fit_is_one_line(name: str) -> None:
    known, kind = architecture(name), name.removesuffix("-light")
    with pytest.raises(EdgeSegError, match=rf"{kind}.* multiples of \d+, not 64x100") as caught:
        known.build(known.config(height=64, width=100))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tf_padding", [False, True])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_deeplab_says_what_transformers_says(
    tmp_path: Path, tf_padding: bool, output_stride: int
) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra pack")
    torch.manual_seed(3)
    source = transformers.MobileNetV2ForSemanticSegmentation(
        transformers.MobileNetV2Config(
            num_labels=5,
            tf_padding=tf_padding,
            output_stride=output_stride,
            id2label={index: f"thing{index}" for index in range(5)},
            initializer_range=0.2,
        )
    ).eval()
    for module in source.modules():  # statistics that are not 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    source.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_bytes(
        msgspec.json.encode({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.4, 0.5]})
    )
    model = registry.load("deeplabv3plus-mobilenetv2", tmp_path, input_size=(64, 96))
    assert model.module is not None
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        wanted = torch.nn.functional.interpolate(
            source(image).logits, size=(64, 96), mode="bilinear"
        )
        got = model.module(image)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
    assert model.classes.names[4] == "thing4"
    assert model.input.std == (0.5, 0.4, 0.5)


def test_without_transposed_convolutions_it_says_the_same() -> None:
    from edge_seg.models.rewrite import with_pixel_shuffle

    torch.manual_seed(0)
    network = unet.build(unet.UNetConfig(depth=2)).eval()
    rewritten = with_pixel_shuffle(network)
    image = torch.rand(2, 3, 32, 48)
    torch.testing.assert_close(rewritten(image), network(image), rtol=1e-5, atol=1e-5)
    assert not any(isinstance(module, torch.nn.ConvTranspose2d) for module in rewritten.modules())
    assert any(isinstance(module, torch.nn.ConvTranspose2d) for module in network.modules())
    assert not rewritten.training


def test_transposed_convolutions_that_overlap_stay() -> None:
    from edge_seg.models.rewrite import with_pixel_shuffle

    network = torch.nn.Sequential(torch.nn.ConvTranspose2d(3, 4, 3, stride=2))
    assert isinstance(with_pixel_shuffle(network)[0], torch.nn.ConvTranspose2d)  # type: ignore[index]
