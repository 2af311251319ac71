"""What is packed for a Jetson: NVIDIA's builder takes it whole, and it is as accurate as asked."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from every_operator import every_operator
from frames_of import every
from torch import nn

from edge_seg import engines
from edge_seg.bundle.archive import open_bundle
from edge_seg.bundle.manifest import Gate
from edge_seg.cache import Cache
from edge_seg.classes import LANE, ClassMap
from edge_seg.engines.lowering import Source
from edge_seg.engines.tensorrt.lowering import for_stand_in
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from edge_seg.metrics import Evaluation, evaluate
from edge_seg.models import registry
from edge_seg.models.model import from_network
from edge_seg.packer import Request, pack
from edge_seg.packing.request import NothingPackedError, entrants
from edge_seg.pipeline import Pipeline
from edge_seg.preprocess import InputSpec, resize
from edge_seg.quantize import Recipe, collect_ranges, float_graph
from edge_seg.quantize.graph import layers
from edge_seg.target import find
from targets.jetson import check
from targets.jetson.check import CAPABILITIES, float_convolutions, judge
from targets.jetson.inspection import FLOAT_ON_PURPOSE, inspect

MODELS = ("lane-unet", "deeplabv3plus-mobilenetv2")
LIMITS = {"lane-unet": 0.2, "deeplabv3plus-mobilenetv2": 0.5}
"""Points of mean IoU that int8 may lose."""
NEEDS_BUILDER = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx_bindings") is None,
    reason="TensorRT for RTX is not installed: pip install 'edge-seg[jetson-check]'",
)


def source_of(network: nn.Module, spec: InputSpec, classes: ClassMap = LANE) -> Source:
    model = from_network("made", network, spec, classes, "made by a test")
    frames = FrameSet.open("lane-mini")
    return decided(Source(model, float_graph(model), None, [frames.image(0), frames.image(1)]))  # type: ignore[arg-type]


@cache
def shipped(name: str, count: int) -> Source:
    model = registry.load(name)
    frames = FrameSet.open("lane-mini")
    images = [frames.image(index) for index in range(0, len(frames), len(frames) // count)]
    return decided(Source(model, float_graph(model), None, images))  # type: ignore[arg-type]


def decided(source: Source) -> Source:
    """Return the source with the recipe that its frames give."""
    frames = [resize(frame, source.model.input) for frame in source.frames]
    recipe = Recipe(
        model_digest="m",
        calibration_digest="c",
        layers=tuple(layers(source.graph)),
        ranges=collect_ranges(source.graph, frames),
    )
    return replace(source, recipe=recipe, frames=frames)


def lowered(source: Source, precision: str) -> bytes:
    return engines.find("tensorrt").lowering()(source, precision, {})


@NEEDS_BUILDER
@pytest.mark.parametrize("name", MODELS)
def test_every_convolution_of_a_shipped_model_is_int8(name: str) -> None:
    judgement = judge(lowered(shipped(name, 2), "int8"))
    assert [build.capability for build in judgement.builds] == list(CAPABILITIES)
    assert judgement.layers and judgement.notes == []
    assert float_convolutions(judgement, FLOAT_ON_PURPOSE) == []


@NEEDS_BUILDER
def test_every_operator_of_the_rules_is_built_for_all_four() -> None:
    source = source_of(every_operator(), InputSpec(64, 128))
    judgement = judge(lowered(source, "int8"))
    assert [build.capability for build in judgement.builds] == list(CAPABILITIES)
    assert float_convolutions(judgement, FLOAT_ON_PURPOSE) == []


@NEEDS_BUILDER
@pytest.mark.parametrize("layer", ["depthwise", "up"])
def test_only_what_the_recipe_says_stays_float(layer: str) -> None:
    source = source_of(every_operator(), InputSpec(64, 128))
    kept = replace(source, recipe=source.recipe.keeping_float((layer,)))
    floats = float_convolutions(judge(lowered(kept, "int8"), ["SM86"]), FLOAT_ON_PURPOSE)
    assert len(floats) == 1 and floats[0].startswith(f"/{layer}/")


@NEEDS_BUILDER
@pytest.mark.parametrize("precision", ["float16", "float32"])
@pytest.mark.parametrize("name", MODELS)
def test_the_float_graphs_are_taken_too(name: str, precision: str) -> None:
    assert judge(lowered(shipped(name, 2), precision), ["SM86"]).builds


@NEEDS_BUILDER
@pytest.mark.parametrize("count", [1, 2, 9, 40])
@pytest.mark.parametrize("precision", ["int8", "float16"])
def test_any_number_of_classes_is_taken(count: int, precision: str) -> None:
    classes = ClassMap(tuple(f"c{i}" for i in range(count)), tuple((i, i, i) for i in range(count)))
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, count, 1))
    source = source_of(network, InputSpec(32, 64), classes)
    assert judge(lowered(source, precision), ["SM86"]).builds


@NEEDS_BUILDER
def test_an_add_of_a_number_is_taken() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, 3, 1))
    source = source_of(network, InputSpec(32, 64))
    assert float_convolutions(judge(lowered(source, "int8"), ["SM86"])) == []


def test_half_precision_keeps_the_first_weights_normal() -> None:
    """Smaller ones than 6e-5 lose digits; the shipped ones have 1/255 in them."""
    model = onnx.load_from_string(lowered(shipped("lane-unet", 2), "float16"))
    (first,) = (n for n in model.graph.node if n.name == "/encoder.0/conv1/Conv")
    weight = next(t for t in model.graph.initializer if t.name == first.input[1])
    values = abs(onnx.numpy_helper.to_array(weight))
    assert values.dtype == "float16" and (values < 6.1e-5).mean() < 0.01


def scored(source: Source, precision: str, frames: FrameSet) -> Evaluation:
    file = for_stand_in(lowered(source, precision))
    session = engines.find("onnxruntime").open(file, source.model.input, {})
    return evaluate(Pipeline(session), frames)


def test_the_stand_in_computes_the_same_with_integers(tmp_path: Path) -> None:
    source = shipped("lane-unet", 2)
    file = lowered(source, "int8")
    integer = for_stand_in(file)
    frame = resize(FrameSet.open("lane-test").image(0), source.model.input)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    masks = []
    for payload in (file, integer):
        session = onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
        masks.append(session.run(None, {"frame": frame[None]})[0])
    assert np.mean(masks[0] == masks[1]) > 0.999
    ran = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert ran.count("QLinearConv") == 22 and ran.count("Conv") == 1  # the logits'


def test_a_float_file_is_as_it_was() -> None:
    file = lowered(shipped("lane-unet", 2), "float16")
    assert for_stand_in(file) == file


@pytest.mark.parametrize("name", MODELS)
def test_int8_is_as_accurate_as_asked(name: str, tmp_path: Path) -> None:
    """On every eighth frame of lane-test, run by ONNX Runtime in TensorRT's place."""
    source = shipped(name, 16)
    frames = every(FrameSet.open("lane-test"), 8, tmp_path / "some")
    before, after = (scored(source, precision, frames).miou for precision in ("float32", "int8"))
    assert before is not None and after is not None
    assert before - after <= LIMITS[name]


@NEEDS_BUILDER
def test_an_inspection_says_what_is_in_int8() -> None:
    inspection = inspect(lowered(source_of(every_operator(), InputSpec(64, 128)), "int8"))
    assert inspection is not None and inspection.compiler.startswith("TensorRT for RTX 1.")
    builds, kernels = inspection.tables
    assert [row[0] for row in builds.rows] == list(CAPABILITIES)
    assert len(kernels.rows) == int(builds.rows[0][1])
    assert "every convolution reads int8" in inspection.notes


def test_without_the_builder_the_report_says_that_nobody_checked(
    request_for_jetson: Request, pack_cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "RUNTIMES", ("no_such_module",))
    result = pack(request_for_jetson, cache=pack_cache)
    report = open_bundle(result.path).read("report.html").decode()
    assert result.held and "nobody has checked this graph" in report
    assert "edge-seg[jetson-check]" in report


@pytest.fixture
def request_for_jetson(tiny_request: Request, tmp_path: Path) -> Request:
    return replace(tiny_request, target=find("jetson"), output=tmp_path / "jetson.edgeseg")


@NEEDS_BUILDER
def test_a_bundle_for_a_jetson_holds_both_graphs_and_the_builder_s_word(
    request_for_jetson: Request, pack_cache: Cache
) -> None:
    result = pack(replace(request_for_jetson, device="orin-nano"), cache=pack_cache)
    bundle = open_bundle(result.path)
    manifest = bundle.manifest
    assert result.held and "edge-seg build there" in result.message
    assert (manifest.engine.name, manifest.precision) == ("tensorrt", "int8")
    assert manifest.alternatives == {"float16": "model-float16.onnx"}
    assert (manifest.device, manifest.architecture) == ("orin-nano", "aarch64")
    report = bundle.read("report.html").decode()
    assert "TensorRT for RTX" in report and all(name in report for name in CAPABILITIES)
    assert "no hardware for it" in report


def test_what_the_builder_refuses_is_not_packed(
    request_for_jetson: Request, pack_cache: Cache
) -> None:
    def refuse(engine: str, model: bytes, track: object) -> None:
        raise EdgeSegError(f"{engine} refuses Det 'x'")

    target = replace(request_for_jetson.target, inspect=refuse)
    with pytest.raises(NothingPackedError, match="tensorrt refuses Det 'x'"):
        pack(replace(request_for_jetson, target=target), cache=pack_cache)
    assert not request_for_jetson.output.exists()


def test_on_the_accelerator_only_float16_competes(request_for_jetson: Request) -> None:
    request = replace(request_for_jetson, device="agx-orin", options={"dla": True})
    assert entrants(request)[2:] == [("tensorrt", "float16")]


def test_a_desktop_gpu_is_another_architecture(request_for_jetson: Request) -> None:
    assert replace(request_for_jetson, device="rtx").architecture == "x86_64"


@pytest.mark.parametrize(
    ("device", "options", "message"),
    [
        ("orin-nan", {}, "jetson has no device 'orin-nan': did you mean 'orin-nano'"),
        ("orin-nano", {"dla": True}, "orin-nano has no dla, orin-nx and agx-orin and xavier have"),
        ("thor", {"dla": True}, "thor has no dla"),
    ],
)
def test_a_device_that_is_not_there_or_lacks_it_is_one_line(
    request_for_jetson: Request, device: str, options: dict[str, bool], message: str
) -> None:
    with pytest.raises(EdgeSegError, match=message):
        pack(replace(request_for_jetson, device=device, options=options))


@pytest.mark.slow
@NEEDS_BUILDER
@pytest.mark.parametrize("name", MODELS)
def test_both_shipped_models_are_packed(name: str, tmp_path: Path) -> None:
    request = Request(
        model=registry.load(name),
        target=find("jetson"),
        calibration=FrameSet.open("lane-mini"),
        evaluation=FrameSet.open("lane-test"),
        output=tmp_path / "jetson.edgeseg",
        gate=Gate(LIMITS[name], 1.0),
    )
    result = pack(request, cache=Cache(tmp_path / "cache"))
    assert result.held and set(result.manifest.alternatives) == {"float16"}
