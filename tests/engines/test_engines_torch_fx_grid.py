"""PyTorch's engines compute on the recipe's grid: weights, ranges, biases, and so the masks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edge_seg.classes import LANE
from edge_seg.engines import find
from edge_seg.engines.equal_tensors import equal_tensors
from edge_seg.engines.lowering import Source
from edge_seg.engines.torch_fx.grid import LAST_STEP, grid_mapping
from edge_seg.engines.torch_fx.lowering import TRANSPOSED
from edge_seg.engines.torch_fx.ptq import kernels, quantized
from edge_seg.frames import FrameSet
from edge_seg.models.model import Model, from_network
from edge_seg.preprocess import InputSpec, normalise, resize
from edge_seg.quantize import Recipe, collect_ranges, float_graph, quantize_graph
from edge_seg.quantize.graph import layers
from edge_seg.quantize.recipe import Weights
from edge_seg.quantize.sensitivity import simulate

HEIGHT, WIDTH = 32, 64
ENGINES = ("fbgemm", "qnnpack")


class Small(nn.Module):
    """What a U-Net is made of, a depthwise ReLU6 block and an average of the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.pool = nn.MaxPool2d(2)
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6())
        self.average = nn.AdaptiveAvgPool2d(1)
        self.overall = nn.Conv2d(8, 8, 1)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.join = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first = self.stem(images)
        deep = self.deep(self.pool(first))
        deep = deep + self.overall(self.average(deep))
        return self.head(self.join(torch.cat([first, self.up(deep)], 1)))


def drawn(network: nn.Module) -> nn.Module:
    """Return the network with weights of a seed of its own, large enough that ReLU6 cuts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, std=0.5)
                nn.init.normal_(module.bias, std=0.5)
    return network.eval()


def source_of(
    network: nn.Module, frames: Sequence[np.ndarray], weights: Weights | None = None
) -> Source:
    model = from_network("small", network, InputSpec(HEIGHT, WIDTH), LANE, "drawn by the tests")
    return of_model(model, frames, weights)


def of_model(model: Model, frames: Sequence[np.ndarray], weights: Weights | None = None) -> Source:
    graph = float_graph(model)
    recipe = Recipe(
        model_digest="m",
        calibration_digest="c",
        weights=weights or Weights(),
        layers=tuple(layers(graph)),
        ranges=collect_ranges(graph, frames),
    )
    return Source(model, graph, recipe, frames)


@pytest.fixture(scope="module")
def frames(road_frames: FrameSet) -> list[np.ndarray]:
    return [resize(road_frames.image(index), InputSpec(HEIGHT, WIDTH)) for index in range(4)]


@pytest.fixture(scope="module")
def source(frames: list[np.ndarray]) -> Source:
    return source_of(drawn(Small()), frames)


def int8_of(source: Source, name: str) -> nn.Module:
    """Return the network that the engine's file holds."""
    with kernels(name):
        return quantized(source, name, TRANSPOSED if name == "fbgemm" else ())


@pytest.fixture(scope="module", params=ENGINES)
def int8(request: pytest.FixtureRequest, source: Source) -> nn.Module:
    return int8_of(source, request.param)


def with_range(source: Source, tensor: str, ends: tuple[float, float]) -> Source:
    assert tensor in source.recipe.ranges
    ranges = source.recipe.ranges | {tensor: ends}
    return replace(source, recipe=msgspec.structs.replace(source.recipe, ranges=ranges))


def tensor_of(source: Source, operator: str, index: int = 0) -> str:
    """Return the output of the graph's nth node of this kind."""
    found = [node.output[0] for node in source.graph.graph.node if node.op_type == operator]
    return found[index]


def numbers(int8: nn.Module, name: str) -> dict[str, float]:
    """Return the scales, or zero points, of what is no layer, by their names."""
    found = {key: value for key, value in int8.named_buffers() if name in key}
    return {key: float(value) for key, value in found.items() if value.numel() == 1}


def whole_weights(graph: onnx.ModelProto) -> list[np.ndarray]:
    """Return the simulation's int8 weights, layer by layer."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    read = [node.input[0] for node in graph.graph.node if node.op_type == "DequantizeLinear"]
    return [constants[n] for n in read if n in constants and constants[n].dtype == np.int8]


def test_the_weights_are_the_simulations_to_the_last_step(source: Source, int8: nn.Module) -> None:
    simulated = {w.shape: w for w in whole_weights(quantize_graph(source.graph, source.recipe))}
    assert {np.abs(w).max() for w in simulated.values()} == {LAST_STEP}
    stem = int8.stem.get_submodule("0").weight().int_repr().numpy()
    assert np.array_equal(stem[:, ::-1], simulated[8, 3, 3, 3])  # the graph reads BGR
    deep = int8.deep.get_submodule("0").weight().int_repr().numpy()
    assert np.array_equal(deep, simulated[8, 1, 3, 3])
    shuffled = int8.up.get_submodule("0").weight().int_repr().numpy()
    transposed = simulated[8, 8, 2, 2].transpose(1, 2, 3, 0).reshape(32, 8, 1, 1)
    assert np.array_equal(shuffled, transposed)


def test_a_shuffles_four_channels_have_one_scale(int8: nn.Module) -> None:
    scales = int8.up.get_submodule("0").weight().q_per_channel_scales().reshape(8, 4)
    assert (scales == scales[:, :1]).all()
    assert len(scales[:, 0].unique()) == 8


@pytest.mark.parametrize("name", ENGINES)
def test_the_weights_of_a_recipe_per_tensor_have_one_scale(source: Source, name: str) -> None:
    recipe = msgspec.structs.replace(source.recipe, weights=Weights(per_channel=False))
    given = replace(source, recipe=recipe)
    int8 = int8_of(given, name)
    simulated = {w.shape: w for w in whole_weights(quantize_graph(given.graph, recipe))}
    for layer, shape in (("deep.0", (8, 1, 3, 3)), ("join.0", (8, 16, 3, 3))):
        weight = int8.get_submodule(layer).weight()
        assert weight.qscheme() == torch.per_tensor_affine and weight.q_zero_point() == 0
        assert np.array_equal(weight.int_repr().numpy(), simulated[shape])


def test_weights_of_four_bits_lie_in_the_seven_of_the_kernels() -> None:
    observer = grid_mapping("fbgemm", Weights(bits=4)).global_qconfig.weight()
    observer(torch.tensor([[-0.7, 0.5, 0.1], [0.0, 1.4, -0.2]]))
    scale, zero = observer.calculate_qparams()
    assert scale.tolist() == pytest.approx([0.7 / 63, 1.4 / 63]) and zero.tolist() == [0, 0]


SATURATING = """
import sys
import torch
from torch.nn import functional

torch.backends.quantized.engine = "fbgemm"

def error(step, inputs, outputs, kernel, groups):
    weight = torch.full((outputs, inputs // groups, kernel, kernel), float(step))
    image = torch.full((1, inputs, 9, 9), 255.0)
    scale = 255 * step * weight[0].numel() / 127
    wanted = functional.conv2d(image.double(), weight.double(), groups=groups)
    ones, zeros = torch.ones(outputs), torch.zeros(outputs, dtype=torch.long)
    packed = torch.ops.quantized.conv2d_prepack(
        torch.quantize_per_channel(weight, ones, zeros, 0, torch.qint8),
        None, [1, 1], [0, 0], [1, 1], groups,
    )
    pixels = torch.quantize_per_tensor(image, 1.0, 0, torch.quint8)
    found = torch.ops.quantized.conv2d(pixels, packed, scale, 0).int_repr()
    return float((found - (wanted / scale)).abs().max())

kinds = ((32, 32, 1, 1), (16, 32, 3, 1), (32, 32, 3, 32), (32, 32, 5, 32), (32, 32, 3, 8))
for step in map(int, sys.argv[1:]):
    print(max(error(step, *kind) for kind in kinds))
"""


def test_no_sum_saturates_without_vnni() -> None:
    """Pixels of 255, weights of the last step: sums are 127 steps of their grid; of 127, half.

    fbgemm takes AVX2's kernels where it is told to, so that this can fail on any processor.
    """
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("fbgemm is for x86")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SATURATING, str(LAST_STEP), "127"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2"},
    )
    ours, eight_bits = map(float, done.stdout.split())
    assert ours < 0.51
    assert eight_bits > 40
    assert 2 * 255 * LAST_STEP < 2**15 < 2 * 255 * 127


def test_activations_have_eight_bits_and_pixels_a_step_each(int8: nn.Module) -> None:
    (scale,) = numbers(int8, "input_scale").values()
    assert scale == pytest.approx(1 / 255, rel=1e-6)


def test_the_recipes_range_is_the_layers_grid(source: Source) -> None:
    """Not what the frames show: the sum goes from -3 to 48, in 255 steps of a fifth."""
    tensor = tensor_of(source, "Add")
    given = with_range(source, tensor, (-3.0, 48.0))
    for name in ENGINES:
        int8 = int8_of(given, name)
        scales, zeros = numbers(int8, "scale"), numbers(int8, "zero_point")
        (key,) = [key for key, value in scales.items() if value == pytest.approx(0.2)]
        assert zeros[key.replace("scale", "zero_point")] == 15


@pytest.mark.parametrize("name", ENGINES)
def test_what_is_joined_stays_on_one_grid(source: Source, name: str) -> None:
    """The first layer's and its pooling's: that of the concatenation, as the recipe has it."""
    int8 = int8_of(with_range(source, tensor_of(source, "Concat"), (-51.0, 204.0)), name)
    stem = int8.stem.get_submodule("0")
    assert (stem.scale, stem.zero_point) == pytest.approx((1.0, 51))
    images = torch.rand(1, 3, HEIGHT, WIDTH)
    seen: list[torch.Tensor] = []
    for layer in (int8.deep.get_submodule("0"), int8.join.get_submodule("0")):
        layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode(), kernels(name):
        int8(images)
    assert [(one.q_scale(), one.q_zero_point()) for one in seen] == [(1.0, 51)] * 2


@pytest.mark.parametrize("name", ENGINES)
def test_a_shuffled_layer_has_the_range_of_the_transposed_one(source: Source, name: str) -> None:
    given = with_range(source, tensor_of(source, "ConvTranspose"), (-10.0, 41.0))
    up = int8_of(given, name).up.get_submodule("0")
    assert (up.scale, up.zero_point) == pytest.approx((0.2, 50))


@pytest.mark.parametrize("end", [4.0, 9.0])
def test_a_ceiling_is_the_end_whatever_the_recipe_says(source: Source, end: float) -> None:
    given = with_range(source, tensor_of(source, "Clip"), (0.0, end))
    for name in ENGINES:
        deep = int8_of(given, name).deep.get_submodule("0")
        assert (deep.scale, deep.zero_point) == pytest.approx((min(end, 6.0) / 255, 0))


def test_the_average_of_an_image_has_its_own_grid(source: Source, int8: nn.Module) -> None:
    low, high = source.recipe.ranges[tensor_of(source, "GlobalAveragePool")]
    deep = int8.deep.get_submodule("0").scale
    wanted = (max(high, 0.0) - min(low, 0.0)) / 255
    assert wanted < 0.9 * deep
    scales = numbers(int8, "scale").values()
    assert any(scale == pytest.approx(wanted, rel=1e-4) for scale in scales)


def test_biases_are_whole_sums(int8: nn.Module) -> None:
    stem = int8.stem.get_submodule("0")
    steps = stem.bias() / (stem.weight().q_per_channel_scales() / 255)
    assert (steps - steps.round()).abs().max() < 1e-2
    assert steps.abs().max() > 100


@pytest.mark.parametrize("name", ENGINES)
def test_a_tensor_of_fxs_own_keeps_what_the_frames_show(
    frames: list[np.ndarray], name: str
) -> None:
    """The graph multiplies the numbers into the weights; FX sees the layer without them.

    Weight one on red: the layer gives red in 0..1, of which the brightest pixel is the end.
    """
    first = nn.Conv2d(3, 8, 1)
    with torch.no_grad():
        first.weight.zero_()
        first.weight[:, 0] = 1.0
        first.bias.zero_()

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = first
            self.factor = nn.Buffer(torch.full((1, 8, 1, 1), 3.0))
            self.head = nn.Conv2d(8, 3, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(torch.relu(self.first(images) * self.factor))

    dark = [np.minimum(frame, 100) for frame in frames]
    dark[3][5, 7, 2] = 204  # one pixel in four frames, and not of the two that are compared
    given = source_of(Scaled().eval(), dark)
    layer = int8_of(given, name).first
    assert (layer.scale, layer.zero_point) == pytest.approx((0.8 / 255, 0), rel=1e-3)


def agreement(source: Source, name: str, gap: float = 0.0) -> float:
    """Return the share of pixels with the simulation's class.

    Counted are those whose best class is ahead by ``gap`` standard deviations of the logits.
    """
    logits = simulate(quantize_graph(source.graph, source.recipe), source.frames)
    engine = find(name)
    session = engine.open(engine.lowering()(source, "int8", {}), source.model.input, {}, threads=1)
    equal = []
    for frame, scores in zip(source.frames, logits, strict=True):
        session.preprocess(frame)
        session.infer()
        second, first = np.sort(scores, axis=0)[-2:]
        equal.append((session.ids() == scores.argmax(0))[first - second >= gap * scores.std()])
    session.close()
    return float(np.mean(np.concatenate(equal)))


@pytest.mark.parametrize("name", ENGINES)
def test_the_masks_are_the_simulations(
    name: str, source: Source, fitted_model: Model, road_frames: FrameSet
) -> None:
    """All of a network that knows its classes; of random weights those that are apart."""
    assert agreement(source, name, gap=0.2) >= 0.999
    frames = [resize(road_frames.image(index), fitted_model.input) for index in range(4)]
    assert agreement(of_model(fitted_model, frames), name) >= 0.998


@pytest.mark.parametrize("name", ENGINES)
def test_the_logits_are_the_simulations_where_nothing_is_joined(
    name: str, frames: list[np.ndarray]
) -> None:
    """Every whole number of every layer, but for ties; so the logits in float too."""
    network = drawn(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1)))
    given = source_of(network, frames)
    wanted = simulate(quantize_graph(given.graph, given.recipe), frames)
    int8 = int8_of(given, name)
    with torch.inference_mode(), kernels(name):
        images = [torch.from_numpy(normalise(frame, given.model.input)) for frame in frames]
        found = np.concatenate([int8(image).numpy() for image in images])
    close = np.abs(found - wanted) < 1e-4 * np.abs(wanted).max()
    assert close.mean() > 0.99
    assert len(np.unique(found)) > 256


@pytest.mark.parametrize("name", ENGINES)
def test_a_layer_that_is_called_twice_is_quantized_both_times(
    name: str, frames: list[np.ndarray]
) -> None:
    """The second call gives the logits, and the first their input: one module has one form."""
    head = nn.Conv2d(3, 3, 1)
    given = source_of(drawn(nn.Sequential(nn.Conv2d(3, 3, 1), head, nn.ReLU(), head)), frames)
    assert agreement(given, name, gap=0.2) > 0.99
    assert len({type(layer) for layer in int8_of(given, name).modules()} & {nn.Conv2d}) == 0


def test_equal_tensors_by_hand() -> None:
    """By all frames, not one; of equal ones the narrowest; nothing where there is none."""
    first, second = np.array([1.0, -2.0], np.float32), np.array([3.0, 4.0], np.float32)
    cut = np.maximum(first, 0)
    theirs = [{"a": second, "b": second, "c": -second}, {"a": first, "b": cut, "c": first}]
    ours = [
        {"x": second, "clipped": second, "wide": second},
        {"x": first, "clipped": cut, "wide": first},
    ]
    ranges = {"x": (-2.0, 4.0), "clipped": (0.0, 4.0), "wide": (-9.0, 9.0)}
    assert equal_tensors(theirs, ours, ranges) == {"a": "x", "b": "clipped"}
