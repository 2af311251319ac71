"""The networks that do not ship: published sizes, transformers' layers as peers, cases by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from torch import nn

from edge_seg.errors import EdgeSegError
from edge_seg.models import efficientnet, enet, fcn_resnet, ffnet, registry, segformer
from edge_seg.models.layers import conv_norm


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def shape_only(build: Callable[[], nn.Module]) -> nn.Module:
    """Build without data: the large ones take seconds to draw."""
    with torch.device("meta"):
        return build()


def leaves_as_called(network: nn.Module, image: torch.Tensor) -> list[nn.Module]:
    """Return the convolutions and batch norms in the order in which an image meets them."""
    called: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: called.append(module))
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
    ]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return called


def take_weights(mine: nn.Module, peer: nn.Module, image: torch.Tensor) -> None:
    """Give ``mine`` the weights of ``peer``, layer for layer; its statistics are drawn first."""
    for module in peer.modules():
        if isinstance(module, nn.BatchNorm2d):  # nothing that is 0 or 1
            module.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.1, 0.1)
    theirs = leaves_as_called(peer, image)
    ours = leaves_as_called(mine, image)
    for left, right in zip(ours, theirs[: len(ours)], strict=True):
        left.load_state_dict(right.state_dict())


# ---- layers


def test_conv_norm_keeps_the_size_whatever_its_kernel() -> None:
    image = torch.rand(1, 4, 12, 16)
    for kernel, dilation in ((1, 1), (3, 1), (3, 4), ((5, 1), 1), ((1, 5), 1), (7, 1)):
        assert conv_norm(4, 6, kernel, dilation=dilation)(image).shape == (1, 6, 12, 16)
    assert conv_norm(4, 6, 5, stride=2)(image).shape == (1, 6, 6, 8)
    names = [name for name, _ in conv_norm(4, 6, activation=nn.ReLU()).named_children()]
    assert names == ["conv", "norm", "act"]


# ---- fcn-resnet50


def test_fcn_has_the_parameters_of_torchvision_without_its_auxiliary_head() -> None:
    """torchvision documents 35,322,218 for 21 classes; 3x3 to 256 and 1x1 to 21 are auxiliary."""
    network = shape_only(lambda: fcn_resnet.FcnResNet(fcn_resnet.FcnResNetConfig(classes=21)))
    auxiliary = 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21
    assert parameters(network) == 35_322_218 - auxiliary


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_resnet_has_the_features_of_transformers(output_stride: int) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra pack")
    torch.manual_seed(4)
    sizes = [32, 64, 128, 256]
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=sizes, depths=[3, 4, 6, 3])
    peer = transformers.ResNetModel(config).eval()
    # torchvision's rule: a stage that does not halve dilates by twice as much from its second
    # block on; its first block still has the dilation of the stage before.
    dilations = {8: ((1, 2), (2, 4)), 16: ((1, 1), (1, 2)), 32: ((1, 1), (1, 1))}[output_stride]
    for stage, pair, halves in zip(
        peer.encoder.stages[2:], dilations, (output_stride > 8, output_stride > 16), strict=True
    ):
        for index, block in enumerate(stage.layers):
            dilation = pair[min(index, 1)]
            spatial = block.layer[1].convolution
            spatial.dilation = spatial.padding = (dilation, dilation)
            if index == 0 and not halves:
                spatial.stride = block.shortcut.convolution.stride = (1, 1)
    mine = fcn_resnet.ResNet50(8, output_stride).eval()
    image = torch.rand(1, 3, 64, 96)
    take_weights(mine, peer, image)
    with torch.no_grad():
        wanted = peer(image).last_hidden_state
        got = mine(image)
    assert got.shape == (1, 256, 64 // output_stride, 96 // output_stride)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_what_fcn_cannot_be_is_one_line() -> None:
    with pytest.raises(EdgeSegError, match="base width of 4 to 256, not 2"):
        fcn_resnet.build(fcn_resnet.FcnResNetConfig(base=2))
    with pytest.raises(EdgeSegError, match="output stride of 8, 16 or 32, not 4"):
        fcn_resnet.build(fcn_resnet.FcnResNetConfig(output_stride=4))


# ---- enet


def enet_parameters(classes: int, slopes: bool) -> int:
    """Table 1 of the paper, written out; a batch norm has two numbers a channel, a PReLU one."""

    def normed(weights: int, channels: int, active: bool = True) -> int:
        return weights + (3 if slopes and active else 2) * channels

    def bottleneck(channels: int, taps: tuple[int, ...]) -> int:
        inner = channels // 4
        spatial = sum(normed(inner * inner * tap, inner) for tap in taps)
        ends = normed(channels * inner, inner) + normed(inner * channels, channels, active=False)
        return ends + spatial + (channels if slopes else 0)

    def down(inputs: int, outputs: int) -> int:
        inner = inputs // 4
        narrow = normed(inputs * inner * 4, inner) + normed(inner * inner * 9, inner)
        return narrow + normed(inner * outputs, outputs, False) + (outputs if slopes else 0)

    def up(inputs: int, outputs: int) -> int:
        inner = inputs // 4
        copied = normed(inputs * outputs, outputs, active=False)
        learned = normed(inputs * inner, inner) + normed(inner * 4 * inner, 4 * inner)
        return copied + learned + normed(inner * outputs, outputs, False) + outputs * slopes

    total = normed(3 * 13 * 9, 13) + down(16, 64) + 4 * bottleneck(64, (9,)) + down(64, 128)
    for _ in range(2):  # regular, dilated, asymmetric, dilated, and the same again
        total += 6 * bottleneck(128, (9,)) + 2 * bottleneck(128, (5, 5))
    total += up(128, 64) + 2 * bottleneck(64, (9,)) + up(64, 16) + bottleneck(16, (9,))
    return total + 16 * classes * 4 + classes


@pytest.mark.parametrize("activation", ["relu", "prelu"])
def test_enet_has_the_parameters_of_the_paper(activation: str) -> None:
    config = msgspec.convert({"classes": 19, "activation": activation}, enet.ENetConfig)
    count = parameters(enet.ENet(config))
    assert count == enet_parameters(19, activation == "prelu")
    # The paper says 0.37 M; its transposed convolutions are larger than ours of 2x2.
    assert 0.34e6 < count < 0.38e6


def test_a_widening_bottleneck_adds_channels_of_zeros() -> None:
    """The paper's form, with padding, gives the same from the same weights."""
    torch.manual_seed(1)
    block = enet.Down(16, 64, 0.1, "prelu").eval()
    image = torch.rand(2, 16, 12, 20)
    inner = block.spatial(block.act1(block.norm(block.reduce(image))))
    whole = torch.cat([block.expand(inner), block.widen(inner)], dim=1)
    pooled = nn.functional.max_pool2d(image, 2)
    padded = torch.cat([pooled, torch.zeros(2, 48, 6, 10)], dim=1)
    torch.testing.assert_close(block(image), block.act(whole + padded))


def test_enet_looks_as_far_as_the_table_of_the_paper_says() -> None:
    network = enet.ENet(enet.ENetConfig())
    blocks = [block for block in network.blocks if isinstance(block, enet.Bottleneck)]
    looks = []
    for block in blocks:
        spatial = [m for m in block.spatial.modules() if isinstance(m, nn.Conv2d)]
        looks.append((spatial[0].dilation[0], *(conv.kernel_size for conv in spatial)))
    plain, long = (1, (3, 3)), (1, (5, 1), (1, 5))
    second = [plain, (2, (3, 3)), long, (4, (3, 3)), plain, (8, (3, 3)), long, (16, (3, 3))]
    assert looks == 4 * [plain] + 2 * second + 3 * [plain]


# ---- segformer-b0


def test_segformer_has_the_parameters_of_the_paper() -> None:
    """Table 6: 3.4 M in the encoder and 0.4 M in the head."""
    pytest.importorskip("transformers", reason="needs the extra pack")
    network = shape_only(lambda: segformer.build(segformer.SegformerConfig(classes=150)))
    assert isinstance(network, segformer.Segformer)
    encoder = parameters(network.stages)
    assert encoder == pytest.approx(3.4e6, abs=0.1e6)
    assert parameters(network) - encoder == pytest.approx(0.4e6, abs=0.05e6)


def saved_segformer(place: Path, **changes: object) -> nn.Module:
    transformers = pytest.importorskip("transformers", reason="needs the extra pack")
    torch.manual_seed(6)
    labels = {index: f"thing{index}" for index in range(5)}
    config = transformers.SegformerConfig(num_labels=5, id2label=labels, **changes)
    source = transformers.SegformerForSemanticSegmentation(config).eval()
    for parameter in source.parameters():  # all in play, biases too
        nn.init.normal_(parameter, std=0.1)
    source.save_pretrained(place)
    return source


def test_segformer_says_what_transformers_says(tmp_path: Path) -> None:
    source = saved_segformer(tmp_path)
    means = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (tmp_path / "preprocessor_config.json").write_bytes(msgspec.json.encode(means))
    model = registry.load("segformer-b0", tmp_path, input_size=(64, 96))
    assert model.module is not None
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        wanted = nn.functional.interpolate(source(image).logits, (64, 96), mode="bilinear")
        got = model.module(image)
    assert wanted.std() > 0.01
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)
    assert model.classes.names[4] == "thing4"
    assert model.input.mean == (0.485, 0.456, 0.406)


def test_a_checkpoint_that_is_no_b0_is_refused(tmp_path: Path) -> None:
    saved_segformer(tmp_path / "other", depths=[1, 1, 1, 1])
    with pytest.raises(EdgeSegError, match=r"not the B0: its depths are \[1, 1, 1, 1\]"):
        registry.load("segformer-b0", tmp_path / "other")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EdgeSegError, match="as a SegformerForSemanticSegmentation"):
        registry.load("segformer-b0", tmp_path / "empty")


# ---- efficientnet-ffnet


def test_efficientnet_has_the_parameters_of_the_paper() -> None:
    """torchvision counts 5,288,548: with the last 1x1 to 1280 and a classifier of 1000 classes."""
    encoder = shape_only(lambda: efficientnet.EfficientNetB0("silu"))
    last, classifier = 320 * 1280 + 2 * 1280, 1280 * 1000 + 1000
    assert parameters(encoder) == 5_288_548 - classifier - last


def test_efficientnet_has_the_features_of_transformers() -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra pack")
    torch.manual_seed(5)
    config = transformers.EfficientNetConfig(
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        depthwise_padding=list(range(16)),  # as much on all sides
        initializer_range=0.2,
    )
    peer = transformers.EfficientNetModel(config).eval()
    peer.embeddings.padding = nn.ZeroPad2d(1)  # the stem's too
    peer.pooler = nn.AdaptiveAvgPool2d(1)  # theirs wants more than a map of 2x3
    mine = efficientnet.EfficientNetB0("silu").eval()
    image = torch.rand(1, 3, 64, 96)
    take_weights(mine, peer, image)
    with torch.no_grad():
        hidden = peer(image, output_hidden_states=True).hidden_states
        got = mine(image)
    for features, block, stride in zip(got, (3, 5, 11, 16), (4, 8, 16, 32), strict=True):
        assert features.shape[2:] == (64 // stride, 96 // stride)
        torch.testing.assert_close(features, hidden[block], rtol=1e-3, atol=1e-4)
    assert tuple(features.shape[1] for features in got) == efficientnet.CHANNELS


def test_the_decoder_brings_every_size_to_the_largest() -> None:
    """With identities for kernels each part of the output is a sum of what is below it."""
    decoder = ffnet.UpC((2, 2, 2, 2)).eval()
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            middle = module.kernel_size[0] // 2
            nn.init.zeros_(module.weight)
            module.weight.data[:, 0, middle, middle] = 1.0  # every channel is the first one's copy
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
    levels = [1.0, 10.0, 100.0, 1000.0]
    features = [torch.full((1, 2, 16 >> i, 24 >> i), value) for i, value in enumerate(levels)]
    out = decoder(features)
    assert out.shape == (1, 176, 16, 24)
    sums = [1111.0, 1110.0, 1100.0, 1000.0]
    for start, end, wanted in zip((0, 128, 144, 160), (128, 144, 160, 176), sums, strict=True):
        assert (out[:, start:end] == wanted).all()


@pytest.mark.parametrize("activation", ["silu", "relu6", "hardswish"])
def test_each_activation_is_in_every_block(activation: str) -> None:
    config = msgspec.convert({"activation": activation}, ffnet.EfficientNetFfnetConfig)
    network = shape_only(lambda: ffnet.EfficientNetFfnet(config))
    assert isinstance(network, ffnet.EfficientNetFfnet)
    kind = {"silu": nn.SiLU, "relu6": nn.ReLU6, "hardswish": nn.Hardswish}[activation]
    # The stem, 15 blocks that widen, 16 depthwise and 16 squeezes.
    assert sum(type(module) is kind for module in network.encoder.modules()) == 1 + 15 + 16 + 16
    assert not any(type(module) is kind for module in network.decoder.modules())
