"""The lane U-Net's lighter forms: widths of its own, a stem that halves the size; both by value."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from edge_seg.classes import LANE
from edge_seg.errors import EdgeSegError
from edge_seg.models import registry, unet
from edge_seg.models.count import count_shadow
from edge_seg.models.model import from_network
from edge_seg.models.unet import UNet, UNetConfig
from edge_seg.preprocess import InputSpec
from edge_seg.quantize.float_graph import float_graph


def drawn(config: UNetConfig, seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    return unet.build(config).eval().requires_grad_(False)


def test_widths_that_double_are_the_base() -> None:
    plain, named = UNetConfig(base=24, depth=2), UNetConfig(depth=2, widths=(24, 48, 96))
    assert plain.channels() == named.channels() == (24, 48, 96)
    one, other = drawn(plain).state_dict(), drawn(named).state_dict()
    assert list(one) == list(other)
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("up", ["transpose", "bilinear"])
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_any_widths_give_logits_of_the_input_size(up: str, stem_stride: int) -> None:
    values = {"widths": [5, 3, 7], "depth": 2, "up": up, "stem_stride": stem_stride}
    network = drawn(msgspec.convert(values, UNetConfig))
    assert [block.conv2.out_channels for block in network.encoder] == [5, 3, 7]
    assert [block.conv2.out_channels for block in network.decoder] == [3, 5]
    assert network(torch.rand(2, 3, 24, 40)).shape == (2, 3, 24, 40)


def test_a_stem_of_stride_two_changes_no_name_and_no_shape() -> None:
    plain, halved = drawn(UNetConfig(depth=2)), drawn(UNetConfig(depth=2, stem_stride=2))
    shapes = [{n: v.shape for n, v in net.state_dict().items()} for net in (plain, halved)]
    assert shapes[0] == shapes[1]
    halved.load_state_dict(plain.state_dict())  # so weights can begin where others ended


def test_a_stem_of_stride_two_is_every_second_pixel_of_the_first_convolution() -> None:
    """With one level and pass-through layers all around, the whole network can be done by hand."""
    config = UNetConfig(depth=1, widths=(1, 1), stem_stride=2, classes=1, batch_norm=False)
    network = drawn(config)
    for parameter in network.parameters():
        parameter.zero_()
    network.encoder[0].conv1.weight[0, 0, 1, 1] = 1.0  # the red channel as it is
    for layer in (network.encoder[0].conv2, network.decoder[0].conv1, network.decoder[0].conv2):
        layer.weight[0, 0, 1, 1] = 1.0  # of the concatenation only the copy
    network.head.weight[0, 0] = 1.0
    image = torch.zeros(1, 3, 4, 8)
    image[0, 0, :, 4:] = 1.0  # black on the left, red on the right
    # Columns 0, 2, 4, 6 are 0, 0, 1, 1; doubled with pixel centres at quarters between them:
    by_hand = torch.tensor([0.0, 0.0, 0.0, 0.25, 0.75, 1.0, 1.0, 1.0]).expand(1, 1, 4, 8)
    torch.testing.assert_close(network(image), by_hand)


def multiplications(config: UNetConfig) -> float:
    shadow = UNet(config).to("meta")
    return count_shadow(shadow, 256, 512).gmac or 0.0


def test_multiplications_of_the_lighter_forms() -> None:
    whole = multiplications(UNetConfig())
    # All but the stem's own see a quarter of the pixels; so does the stem, at its output.
    assert multiplications(UNetConfig(stem_stride=2)) == pytest.approx(whole / 4)
    # Level 0 of widths (w, v): 27 w + 9 w w, and on the way back w v, 18 w w and 9 w w, per pixel.
    by_hand = (27 * 16 + 36 * 256 + 16 * 16 + 3 * 16) + (9 * 256 + 9 * 256) / 4
    narrow = multiplications(UNetConfig(depth=1, widths=(16, 16)))
    assert narrow == pytest.approx(by_hand * 256 * 512 / 1e9)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (UNetConfig(widths=(16, 32)), "depth 4 has 5 widths.*2 were given"),
        (UNetConfig(depth=1, widths=(16, 0)), "1 to 4096, not 0"),
        (UNetConfig(depth=1, widths=(5000, 8)), "1 to 4096, not 5000"),
        (UNetConfig(height=272, stem_stride=2), "stem of stride 2 needs .* multiples of 32"),
    ],
)
def test_what_cannot_be_built_is_one_line(config: UNetConfig, says: str) -> None:
    with pytest.raises(EdgeSegError, match=says):
        unet.build(config)


def test_the_shipped_configuration_is_as_it_was() -> None:
    network = registry.load("lane-unet").module
    assert network is not None
    assert network.config == UNetConfig()
    assert network.config.channels() == (16, 32, 64, 128, 256)
    assert not any(isinstance(module, torch.nn.Upsample) for module in network.modules())


def test_a_halving_stem_is_quantized_and_its_last_resize_is_not() -> None:
    """The graph that the engines get says what the module says, and ends in one Resize."""
    ort = pytest.importorskip("onnxruntime", reason="needs the extra pack")
    config = UNetConfig(depth=1, widths=(8, 12), stem_stride=2, height=32, width=64)
    model = from_network("lane-unet", drawn(config), InputSpec(32, 64), LANE, "random")
    graph = float_graph(model)
    assert [node.op_type for node in graph.graph.node].count("Resize") == 1
    frame = np.random.default_rng(0).integers(0, 256, (1, 32, 64, 3), np.uint8)
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    logits = session.run(None, {session.get_inputs()[0].name: frame})[0]
    rgb = torch.from_numpy(frame[..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    assert model.module is not None
    np.testing.assert_allclose(logits, model.module(rgb).numpy(), atol=1e-4)
