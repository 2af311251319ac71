"""Pruning: what stays is what weighs most, and what is nothing can go without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import torch
from drawn import road_set
from typer.testing import CliRunner

from edge_seg.classes import LANE
from edge_seg.cli.main import app
from edge_seg.errors import EdgeSegError
from edge_seg.models import registry, unet, weights_file
from edge_seg.models.unet import UNet, UNetConfig
from edge_seg.preprocess import InputSpec
from edge_seg.training.command import beginning, parse_shares, prepare, start_of
from edge_seg.training.loop import Pace, train
from edge_seg.training.pruning import kept_widths, prune, pruned, strongest
from edge_seg.training.settings import Settings
from edge_seg.training.state import config_of

SMALL = UNetConfig(depth=2, widths=(16, 24, 32), height=32, width=48)


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def trained(config: UNetConfig, seed: int = 0) -> UNet:
    """A network whose batch norms are not those of the start, in eval mode."""
    torch.manual_seed(seed)
    network = unet.build(config).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                values.uniform_(0.5, 1.5)
            for values in (module.bias, module.running_mean):
                values.normal_(0, 0.3)
    return network


def silence(network: UNet, keep: tuple[int, ...], seed: int = 1) -> None:
    """Make all but ``keep[level]`` channels of every layer zero, at random places."""
    generator = torch.Generator().manual_seed(seed)
    last = len(network.encoder) - 1

    def some(width: int, level: int) -> torch.Tensor:
        return torch.randperm(width, generator=generator)[keep[level] :]

    blocks = [(level, block) for level, block in enumerate(network.encoder)]
    blocks += [(last - 1 - index, block) for index, block in enumerate(network.decoder)]
    for level, block in blocks:
        for layer, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
            off = some(layer.out_channels, level)
            for values in (norm.weight, norm.bias) if norm.state_dict() else (layer.weight,):
                values[off] = 0.0
            if layer.bias is not None:
                layer.bias[off] = 0.0
    for index, up in enumerate(network.up):
        layer = getattr(up, "conv", up)
        off = some(layer.out_channels, last - 1 - index)
        if isinstance(layer, torch.nn.ConvTranspose2d):
            layer.weight[:, off] = 0.0
        else:
            layer.weight[off] = 0.0
        layer.bias[off] = 0.0


@pytest.mark.parametrize("up", ["transpose", "bilinear"])
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_channels_that_are_zero_go_and_no_output_changes(
    up: str, batch_norm: bool, stem_stride: int
) -> None:
    options = {"up": up, "batch_norm": batch_norm, "stem_stride": stem_stride}
    network = trained(msgspec.convert(msgspec.to_builtins(SMALL) | options, UNetConfig))
    silence(network, (8, 16, 8))
    lighter = prune(network, (8, 16, 8))
    images = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(2))
    wanted = network(images)
    assert wanted.std() > 0.01  # not all of it was silenced
    torch.testing.assert_close(lighter(images), wanted, rtol=1e-4, atol=1e-5)
    weights = [sum(p.numel() for p in net.parameters()) for net in (lighter, network)]
    assert weights[0] < weights[1] / 2


def test_pruning_to_its_own_widths_changes_nothing() -> None:
    network = trained(SMALL)
    same = prune(network, SMALL.widths).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in network.state_dict().items())


def test_the_strongest_by_hand() -> None:
    norm = torch.nn.BatchNorm2d(4)
    layer = torch.nn.Conv2d(1, 4, 1)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, -2.0, 0.1, 1.0]))
        layer.weight.copy_(torch.tensor([3.0, -1.0, 4.0, 2.0]).reshape(4, 1, 1, 1))
    assert strongest(layer, norm, 2).tolist() == [1, 3]  # a scale of -2 says as much as 2
    assert strongest(layer, None, 2).tolist() == [0, 2]  # without a norm, by L1
    with torch.no_grad():
        norm.weight.fill_(1.0)
    assert strongest(layer, norm, 3).tolist() == [0, 1, 2]


def test_a_transposed_convolution_is_judged_by_its_outputs() -> None:
    layer = torch.nn.ConvTranspose2d(2, 3, 1)
    with torch.no_grad():  # inputs x outputs: sums of the columns are 5, 1, 4
        layer.weight.copy_(torch.tensor([[5.0, 1.0, 0.0], [0.0, 0.0, -4.0]])[..., None, None])
    assert strongest(layer, None, 2).tolist() == [0, 2]


def test_a_network_of_one_size_by_hand() -> None:
    """Two channels each, one stays: every index of what is copied is written out."""
    network = trained(UNetConfig(depth=1, widths=(2, 2)))
    scales = {"encoder.0.bn1": 1, "encoder.0.bn2": 0, "encoder.1.bn1": 1, "encoder.1.bn2": 1}
    scales |= {"decoder.0.bn1": 0, "decoder.0.bn2": 1}
    for name, strong in scales.items():
        weight = network.get_submodule(name).weight
        weight[strong], weight[1 - strong] = 2.0, 1.0
    network.up[0].weight[:, 0] = 0.0  # channel 1 is stronger
    lighter = prune(network, (1, 1)).state_dict()
    state = network.state_dict()
    cut = {
        "encoder.0.conv1.weight": ([1], [0, 1, 2]),
        "encoder.0.conv2.weight": ([0], [1]),
        "encoder.1.conv1.weight": ([1], [0]),
        "encoder.1.conv2.weight": ([1], [1]),
        "up.0.weight": ([1], [1]),
        "decoder.0.conv1.weight": ([0], [0, 2 + 1]),  # the copy's channel 0, the other's 1
        "decoder.0.conv2.weight": ([1], [0]),
        "head.weight": ([0, 1, 2], [1]),
    }
    for name, (first, second) in cut.items():
        assert torch.equal(lighter[name], state[name][first][:, second]), name
    for name, strong in scales.items():
        for part in ("weight", "bias", "running_mean", "running_var"):
            assert lighter[f"{name}.{part}"] == state[f"{name}.{part}"][strong], name
    assert lighter["up.0.bias"] == state["up.0.bias"][1]
    assert torch.equal(lighter["head.bias"], state["head.bias"])


@pytest.mark.parametrize(
    ("shares", "widths"),
    [
        ((0.0,), (16, 32, 64, 128, 256)),
        ((0.25,), (16, 24, 48, 96, 192)),  # 12 is as near to 8 as to 16: the wider
        ((0.5,), (8, 16, 32, 64, 128)),
        ((0.99,), (8, 8, 8, 8, 8)),
        ((0.0, 0.5, 0.25, 0.25, 0.25), (16, 16, 48, 96, 192)),
    ],
)
def test_what_is_left_of_the_widths(shares: tuple[float, ...], widths: tuple[int, ...]) -> None:
    assert kept_widths(UNetConfig(), shares) == widths
    assert kept_widths(UNetConfig(depth=1, widths=(3, 8)), (0.9,)) == (3, 8)


def stored(path: Path, config: UNetConfig, architecture: str = "lane-unet") -> Path:
    header = weights_file.Header(
        schema=weights_file.SCHEMA,
        architecture=architecture,
        config=msgspec.to_builtins(config),
        classes=LANE,
        input=InputSpec(config.height, config.width),
        trained_on="9 roads",
    )
    weights_file.save(path, header, trained(config).state_dict())
    return path


def test_a_training_begins_with_what_is_left(tmp_path: Path) -> None:
    start = stored(tmp_path / "start.safetensors", UNetConfig(depth=2, height=64, width=96))
    frames, validation = road_set(tmp_path / "train", 4), road_set(tmp_path / "val", 2, 9)
    asked = Settings(steps=1, batch=1, warmup=0, lr=1e-9, prune=(0.5,), height=64, width=96)
    asked = msgspec.structs.replace(asked, crop_height=64, crop_width=96)
    settings = prepare(asked, tmp_path / "light.safetensors", start, 0)
    assert config_of(settings, 3, 64, 96).channels() == (8, 16, 32)
    with pruned(start, settings.prune) as begin:
        assert begin is not None
        first, kept = begin.read_bytes(), begin
        state = train(settings, frames, validation, tmp_path / "light.safetensors", start=begin)
    assert not kept.exists()
    with pruned(start, settings.prune) as again:
        assert again is not None
        assert again.read_bytes() == first  # what a resumed training begins with
        wanted = weights_file.read(again).tensors
    conv = state.network.state_dict()["encoder.1.conv1.weight"]
    torch.testing.assert_close(conv, wanted["encoder.1.conv1.weight"], rtol=0, atol=1e-6)
    made = registry.load("lane-unet", tmp_path / "light.safetensors")
    assert "9 roads; then pruned to 8, 16, 32 channels; then 4 frames of train" in made.source


def test_the_command_prunes_and_trains_on(tmp_path: Path) -> None:
    start = stored(tmp_path / "start.safetensors", UNetConfig(depth=2, height=64, width=96))
    train_set, val = road_set(tmp_path / "train", 4), road_set(tmp_path / "val", 2, 9)
    output = tmp_path / "light.safetensors"
    words = ["train", "--train", train_set.path, "--val", val.path, "--start", start, "-o", output]
    words += ["--prune", "0,0.5,0.75", "--steps", 2, "--batch", 1, "--size", "64x96"]
    words += ["--crop", "32x64", "--threads", 1]
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert str(output) in result.stdout
    network = registry.load("lane-unet", output).module
    assert network is not None
    assert network.config == UNetConfig(depth=2, widths=(16, 16, 16), height=64, width=96)


def test_nothing_to_prune_is_the_file_itself(tmp_path: Path) -> None:
    with pruned(tmp_path / "any", ()) as begin:
        assert begin == tmp_path / "any"
    with pruned(None, ()) as begin:
        assert begin is None


def test_a_resumed_training_that_forgets_to_prune_is_told_in_words(tmp_path: Path) -> None:
    start = stored(tmp_path / "start.safetensors", UNetConfig(depth=2, height=64, width=96))
    frames, output = road_set(tmp_path / "train", 2), tmp_path / "light.safetensors"
    asked = Settings(steps=30, batch=1, height=32, width=64, crop_height=32, crop_width=64)
    first = prepare(msgspec.structs.replace(asked, prune=(0.0, 0.5, 0.5)), output, start, 0)

    def stop(_: object) -> None:
        raise StopIteration

    pace = Pace(validate_every=20, checkpoint_seconds=0)
    with pruned(start, first.prune) as begin, pytest.raises(StopIteration):
        train(first, frames, frames, output, start=begin, pace=pace, report=stop)
    with pytest.raises(EdgeSegError) as error:
        train(prepare(asked, output, None, 0), frames, frames, output, resume=True)
    assert str(error.value) == (
        f"{tmp_path / 'light.checkpoint.safetensors'} is of another training: it was pruned to "
        "16,16,32 (--prune 0,0.5,0.5), and is now not pruned; resume with the same"
    )


def test_a_pruned_network_is_trained_on_as_its_file_says(tmp_path: Path) -> None:
    config = UNetConfig(depth=1, widths=(8, 16), height=32, width=64)
    light = stored(tmp_path / "light.safetensors", config)
    frames, output = road_set(tmp_path / "train", 2), tmp_path / "on.safetensors"
    asked = Settings(steps=1, batch=1, height=32, width=64, crop_height=32, crop_width=64)
    settings = prepare(asked, output, light, 0)
    assert settings.options == {"depth": 1, "widths": [8, 16]}
    train(settings, frames, frames, output, start=light)
    network = registry.load("lane-unet", output).module
    assert network is not None and network.config == config
    # What was asked for goes before it; where it does not fit, the file's own words are named.
    other = prepare(msgspec.structs.replace(asked, options={"depth": "1"}), output, light, 0)
    assert other.options == {"depth": "1"}
    says = r"--model lane-unet --option depth=1 --option widths=8,16, with masks of background"
    with pytest.raises(EdgeSegError, match=says):
        train(other, frames, frames, tmp_path / "other.safetensors", start=light)


def test_the_shipped_weights_need_no_options() -> None:
    for name in registry.shipped():
        assert beginning(Settings(model=name), registry.weights_of(name)).options == {}


def test_defaults_in_a_file_are_no_options(tmp_path: Path) -> None:
    plain = stored(tmp_path / "plain.safetensors", UNetConfig(base=32, height=64, width=96))
    assert beginning(Settings(), plain).options == {"base": 32}


def test_without_a_start_it_is_the_shipped_weights() -> None:
    assert start_of(Settings(prune=(0.25,)), None) == registry.weights_of("lane-unet")
    assert start_of(Settings(), None) is None
    with pytest.raises(EdgeSegError, match="enet comes without weights to prune"):
        start_of(Settings(model="enet", prune=(0.25,)), None)


def test_words() -> None:
    assert parse_shares("0,0.5,.25") == (0.0, 0.5, 0.25)
    assert parse_shares(None) == ()
    for text in ("some", "", "0.5,", "0,,0", ","):
        with pytest.raises(EdgeSegError, match=r"write 0\.25, or one for each size"):
            parse_shares(text)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prune": (1.0,)}, "shares of 0 or above, below 1"),
        ({"prune": (float("nan"),)}, "shares of 0 or above, below 1, not nan"),
        ({"prune": (0.1, 0.2)}, "one for each of the 3 sizes of the network, not 2"),
        ({"options": {"depth": "2"}}, "leave --option depth out"),
        ({"model": "enet"}, "knows lane-unet, not enet"),
    ],
)
def test_what_cannot_be_pruned_is_one_line(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    start = stored(tmp_path / "start.safetensors", SMALL)
    settings = msgspec.structs.replace(Settings(prune=(0.25,)), **change)
    with pytest.raises(EdgeSegError, match=says):
        prepare(settings, tmp_path / "out.safetensors", start, 0)


def test_a_file_of_another_network_is_one_line(tmp_path: Path) -> None:
    start = stored(tmp_path / "other.safetensors", SMALL, architecture="enet")
    with pytest.raises(EdgeSegError, match=r"other\.safetensors holds enet"):
        prepare(Settings(prune=(0.25,)), tmp_path / "out.safetensors", start, 0)
