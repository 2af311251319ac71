"""A depth network on every engine that runs here: what its file gives is what its answers say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edge_seg import engines
from edge_seg.classes import DEPTH
from edge_seg.engines.litert.session import Depths
from edge_seg.engines.lowering import Source
from edge_seg.engines.tensorrt.lowering import for_stand_in, lower
from edge_seg.masks import to_masks
from edge_seg.models.model import Model, from_network
from edge_seg.pipeline import Pipeline
from edge_seg.preprocess import InputSpec
from edge_seg.quantize import float_graph, quantize_graph
from edge_seg.quantize.graph import layers
from edge_seg.quantize.ranges import collect_ranges
from edge_seg.quantize.recipe import Recipe
from edge_seg.quantize.sensitivity import simulate
from edge_seg.quantize.signed import quantize_signed

SPEC = InputSpec(32, 64)
RUNS = [
    (name, precision)
    for name in ("torch", "fbgemm", "qnnpack", "onnxruntime", "openvino", "litert")
    for precision in ("float32", "int8")
    if precision in engines.find(name).variants
]


def _network() -> nn.Module:
    """Two convolutions and a resize, with answers that go beyond both ends of the scale."""
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Conv2d(8, 1, 3, padding=1),
        nn.Upsample(scale_factor=2.0, mode="bilinear"),
    )
    with torch.no_grad():
        network[2].weight *= 4
        network[2].bias += 0.5
    return network


@pytest.fixture(scope="module")
def source() -> Source:
    model: Model = from_network("far", _network(), SPEC, DEPTH, "a test")
    rng = np.random.default_rng(5)
    frames = [rng.integers(0, 256, (32, 64, 3)).astype(np.uint8) for _ in range(4)]
    graph = float_graph(model)
    recipe = Recipe(
        model_digest=model.digest,
        calibration_digest="0" * 64,
        range_rule="minmax",
        layers=tuple(layers(graph)),
        ranges=collect_ranges(graph, frames),
    )
    return Source(model, graph, recipe, frames)


@pytest.mark.parametrize(("name", "precision"), RUNS)
def test_every_engine_gives_the_simulation_s_depths(
    name: str, precision: str, source: Source
) -> None:
    engine = engines.find(name)
    options = engine.variants[precision][0]
    file = engine.lowering()(source, precision, options)
    graph = source.graph if precision == "float32" else quantize_graph(source.graph, source.recipe)
    expected = to_masks(simulate(graph, source.frames), DEPTH)
    assert expected.min() == 0
    assert expected.max() == 254
    pipeline = Pipeline(engine.open(file, SPEC, options, 1))
    given = np.stack([pipeline(frame) for frame in source.frames])
    pipeline.close()
    apart = np.abs(given.astype(int) - expected)
    if precision == "float32":
        assert apart.max() <= 1
    else:  # a step of the last grid is more than one of the answer's 254
        assert np.mean(apart <= 4) > 0.99
    assert given.dtype == np.uint8


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_tensorrts_stand_in_gives_the_simulation_s_depths(precision: str, source: Source) -> None:
    graph = source.graph
    if precision == "int8":
        graph = quantize_signed(graph, source.recipe)
    expected = to_masks(simulate(graph, source.frames), DEPTH)
    assert (expected.min(), expected.max()) == (0, 254)
    file = for_stand_in(lower(source, precision, {}))
    options = engines.find("onnxruntime").variants["int8"][0]
    pipeline = Pipeline(engines.find("onnxruntime").open(file, SPEC, options, 1))
    given = np.stack([pipeline(frame) for frame in source.frames])
    pipeline.close()
    assert given.dtype == np.uint8
    assert np.abs(given.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", [np.int8, np.int16])
def test_an_integer_answer_is_looked_up(kind: type) -> None:
    output = {"dtype": kind, "quantization": (0.01, -20)}
    depths = Depths(output, InputSpec(1, 4))
    answer = np.array([[[-20], [30], [80], [100]]], kind)  # 0, 0.5, 1 and 1.2
    assert depths(answer).tolist() == [[0, 127, 254, 254]]


def test_a_float_answer_is_rounded() -> None:
    depths = Depths({"dtype": np.float32, "quantization": (0.0, 0)}, InputSpec(1, 4))
    answer = np.array([[[-3.0], [0.002], [0.5], [9.0]]], np.float32)
    assert depths(answer).tolist() == [[0, 1, 127, 254]]
