"""Engines run what a method made: their masks are those that its quantized graph simulates.

The network is the fitted one with a loud channel: the same masks in float, and none of them in int8
before its layers are equalized. On two bits what it learns then counts too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from test_rescue import with_one_loud_channel

from edge_seg import engines
from edge_seg.cache import Cache
from edge_seg.engines.lowering import Source
from edge_seg.engines.tensorrt.lowering import for_stand_in
from edge_seg.frames import FrameSet
from edge_seg.models.model import Model, from_network
from edge_seg.packing.methods import improve
from edge_seg.pipeline import Pipeline
from edge_seg.preprocess import Frame, resize
from edge_seg.progress import silent
from edge_seg.quantize import Recipe, collect_ranges, float_graph, quantize_graph
from edge_seg.quantize.graph import constant, layers, producer
from edge_seg.quantize.learn.lesson import Settings
from edge_seg.quantize.recipe import Weights
from edge_seg.quantize.sensitivity import simulate
from edge_seg.quantize.signed import quantize_signed

QUICK_TO_LOWER = ("onnxruntime", "openvino", "fbgemm", "qnnpack", "tensorrt")
QUICK_RUNS = [(name, bits) for bits in (7, 2) for name in QUICK_TO_LOWER]
RUNS = [*QUICK_RUNS, ("litert", 2)]
"""Of an engine, and bits of the weights; test_engines_litert.py has LiteRT's grid of seven."""
CHAINS = ("ptq", "equalized", "equalized+qat")
QUICK = Settings(steps=20, check_every=10)
AGREEMENT = 0.995
Sources = Callable[[int], dict[str, Source]]
Masks = npt.NDArray[np.integer]


@pytest.fixture(scope="module")
def frames(few_frames: FrameSet, fitted_model: Model) -> list[Frame]:
    """What nothing was calibrated on, at the network's size."""
    return [resize(few_frames.image(index), fitted_model.input) for index in range(6)]


@pytest.fixture(scope="module")
def loud_model(fitted_model: Model) -> Model:
    assert fitted_model.module is not None
    network = with_one_loud_channel(fitted_model.module, 1e3)
    return from_network("loud", network, fitted_model.input, fitted_model.classes, "a test")


def recipe_of(model: Model, graph: onnx.ModelProto, seen: list[Frame], bits: int = 7) -> Recipe:
    return Recipe(
        model_digest=model.digest,
        calibration_digest="c",
        weights=Weights(bits),
        layers=tuple(layers(graph)),
        ranges=collect_ranges(graph, seen),
    )


@pytest.fixture(scope="module")
def sources(
    loud_model: Model, road_frames: FrameSet, tmp_path_factory: pytest.TempPathFactory
) -> Sources:
    """By the weights' bits, and then by method: the loud network as it is, equalized, taught."""
    graph = float_graph(loud_model)
    seen = [resize(road_frames.image(index), loud_model.input) for index in range(8)]
    cache = Cache(tmp_path_factory.mktemp("cache"))

    @lru_cache
    def made(bits: int) -> dict[str, Source]:
        plain = Source(loud_model, graph, recipe_of(loud_model, graph, seen, bits), seen)
        return {chain: improve(chain, plain, cache, silent, QUICK) for chain in CHAINS}

    return made


def simulated(name: str, source: Source, frames: list[Frame]) -> Masks:
    """Run the quantized graph that this engine's masks are compared with."""
    quantize = quantize_signed if name == "tensorrt" else quantize_graph
    return simulate(quantize(source.graph, source.recipe), frames).argmax(1)


def masks(name: str, source: Source, frames: list[Frame]) -> Masks:
    """Run an engine's int8 file; TensorRT's in ONNX Runtime, which stands in for it."""
    engine = engines.find(name)
    options = engine.variants["int8"][0]
    file = engine.lowering()(source, "int8", options)
    if name == "tensorrt":
        engine, file = engines.find(engine.stand_in), for_stand_in(file)
    pipeline = Pipeline(engine.open(file, source.model.input, options, 1))
    made = np.stack([pipeline(frame) for frame in frames])
    pipeline.close()
    return made


@pytest.mark.parametrize(("name", "bits"), RUNS)
def test_an_improved_network_s_masks_are_its_simulation_s(
    name: str, bits: int, sources: Sources, frames: list[Frame]
) -> None:
    improved = sources(bits)["equalized+qat"]
    assert not improved.no_module
    wanted = simulated(name, improved, frames)
    assert np.mean(masks(name, improved, frames) == wanted) >= AGREEMENT
    # A file with the weights as they were would not pass.
    assert np.mean(simulated(name, sources(bits)["ptq"], frames) == wanted) < 0.5
    if bits == 2:  # nor one with the weights before the lesson
        assert np.mean(simulated(name, sources(bits)["equalized"], frames) == wanted) < AGREEMENT


@pytest.mark.parametrize(("name", "bits"), QUICK_RUNS)
def test_the_network_as_it_was_gives_other_masks(
    name: str, bits: int, sources: Sources, frames: list[Frame]
) -> None:
    wanted = simulated(name, sources(bits)["equalized+qat"], frames)
    assert np.mean(masks(name, sources(bits)["ptq"], frames) == wanted) < 0.5


@pytest.mark.parametrize("bits", [7, 2])
@pytest.mark.parametrize("name", ["fbgemm", "qnnpack"])
def test_a_module_left_behind_by_its_graph_would_show(
    name: str, bits: int, sources: Sources, frames: list[Frame]
) -> None:
    improved = sources(bits)["equalized+qat"]
    left_behind = replace(improved, model=sources(bits)["ptq"].model)
    wanted = simulated(name, improved, frames)
    assert np.mean(masks(name, left_behind, frames) == wanted) < AGREEMENT


def by_night(model: Model, roads: FrameSet, brightest: int) -> Source:
    """Calibrated on frames without a pixel above ``brightest``."""
    graph = float_graph(model)
    seen = [np.minimum(resize(roads.image(index), model.input), brightest) for index in range(4)]
    return Source(model, graph, recipe_of(model, graph, seen), seen)


@pytest.mark.parametrize("name", QUICK_TO_LOWER)
def test_the_pixels_grid_is_not_the_calibration_s(
    name: str, fitted_model: Model, road_frames: FrameSet, frames: list[Frame]
) -> None:
    """Any frame may have any pixel: that those of the set were darker cuts none off."""
    source = by_night(fitted_model, road_frames, 100)
    wanted = simulate(source.graph, frames).argmax(1)
    assert np.mean(masks(name, source, frames) == wanted) >= AGREEMENT


@pytest.mark.parametrize("brightest", [100, 255])
def test_the_first_bias_is_on_the_grid_of_its_kernel(
    brightest: int, fitted_model: Model, road_frames: FrameSet
) -> None:
    """Integer kernels add it as it is: its scale has to be that of their sums.

    https://onnx.ai/onnx/operators/onnx__QLinearConv.html
    """
    source = by_night(fitted_model, road_frames, brightest)
    quantized = quantize_graph(source.graph, source.recipe)
    for node in [node for node in quantized.graph.node if node.op_type == "Conv"]:
        pairs = [producer(quantized, name) for name in node.input]
        pixels, weights, bias = (constant(quantized, pair.input[1]) for pair in pairs if pair)
        assert pixels is not None and weights is not None and bias is not None
        np.testing.assert_allclose(bias, pixels * weights, rtol=1e-5)
