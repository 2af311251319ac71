"""Every way of running every engine gives the masks that its graph means."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edge_seg import engines
from edge_seg.engines.lowering import CannotLowerError, Source
from edge_seg.engines.session import Options, Session
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from edge_seg.models import registry
from edge_seg.models.model import Model
from edge_seg.preprocess import Frame, InputSpec, resize
from edge_seg.quantize import Recipe, collect_ranges, float_graph, quantize_graph
from edge_seg.quantize.graph import layers
from edge_seg.quantize.sensitivity import simulate

Open = Callable[..., Session]

WAYS = [
    (name, precision, options)
    for name in ("torch", "fbgemm", "qnnpack", "litert", "onnxruntime", "openvino")
    for precision, variants in engines.find(name).variants.items()
    if precision in ("int8", "float32")
    for options in variants
]
INT8 = [way for way in WAYS if way[1] == "int8"]
NAMES = ["-".join([name, precision, *options.values()]) for name, precision, options in WAYS]
CLEAR = 1e-3
"""Logits that are nearer than this to each other may be decided either way."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def graph(fitted_model: Model) -> onnx.ModelProto:
    return float_graph(fitted_model)


@pytest.fixture(scope="module")
def source(fitted_model: Model, graph: onnx.ModelProto, road_frames: FrameSet) -> Source:
    frames = [resize(road_frames.image(index), fitted_model.input) for index in range(8)]
    recipe = Recipe(
        model_digest="m",
        calibration_digest="c",
        layers=tuple(layers(graph)),
        ranges=collect_ranges(graph, frames),
    )
    return Source(fitted_model, graph, recipe, frames)


@pytest.fixture(scope="module")
def open_way(source: Source) -> Open:
    """Return what opens a session of one way; a file is made once."""
    files: dict[str, bytes] = {}

    def open_one(name: str, precision: str, options: Options) -> Session:
        engine = engines.find(name)
        key = f"{name} {precision} {options}"
        if key not in files:
            files[key] = engine.lowering()(source, precision, options)
        return engine.open(files[key], source.model.input, options, threads=1)

    return open_one


@pytest.fixture(scope="module")
def pictures(few_frames: FrameSet, fitted_model: Model) -> list[Frame]:
    """Of several sizes: the set's, the network's own, a smaller and a taller one."""
    spec = fitted_model.input
    first, second, third, fourth = (few_frames.image(index) for index in range(4))
    return [first, resize(second, spec), third[40:90, 20:131], np.vstack([fourth] * 3)]


def ids_of(session: Session, frame: Frame) -> np.ndarray:
    session.preprocess(frame)
    session.infer()
    return session.ids().copy()


@pytest.mark.parametrize(("name", "precision", "options"), WAYS, ids=NAMES)
def test_ids_are_those_of_the_graph(
    name: str,
    precision: str,
    options: Options,
    open_way: Open,
    source: Source,
    pictures: list[Frame],
) -> None:
    spec = source.model.input
    small = [resize(picture, spec) for picture in pictures]
    written = source.graph if name in ("fbgemm", "qnnpack") else literal(source, precision)
    logits = simulate(written, small)
    session = open_way(name, precision, options)
    for picture, scores in zip(pictures, logits, strict=True):
        ids = ids_of(session, picture)
        assert ids.shape == (spec.height, spec.width) and ids.dtype == np.uint8
        equal = ids == scores.argmax(0)
        if precision == "int8":
            assert equal.mean() >= 0.97
        elif options.get("resize") == "graph" and picture.shape[:2] != equal.shape:
            assert equal.mean() >= 0.985  # a pixel may be rounded to the next grey level
        else:
            second, first = np.sort(scores, axis=0)[-2:]
            assert equal[first - second > CLEAR].all()
    session.close()


def literal(source: Source, precision: str) -> onnx.ModelProto:
    return quantize_graph(source.graph, source.recipe) if precision == "int8" else source.graph


@pytest.mark.parametrize(("name", "precision", "options"), WAYS, ids=NAMES)
def test_equal_frames_give_equal_ids_whatever_came_between(
    name: str, precision: str, options: Options, open_way: Open, pictures: list[Frame]
) -> None:
    session = open_way(name, precision, options)
    first = [ids_of(session, picture) for picture in pictures]
    assert any((first[0] != other).any() for other in first[1:])
    for picture, ids in zip(reversed(pictures), reversed(first), strict=True):
        assert np.array_equal(ids_of(session, picture), ids)
    session.close()


@pytest.mark.parametrize(("name", "precision", "options"), WAYS, ids=NAMES)
def test_a_session_keeps_no_hold_on_the_frame(
    name: str, precision: str, options: Options, open_way: Open, pictures: list[Frame]
) -> None:
    """The camera may overwrite its buffer once `preprocess` has returned."""
    session = open_way(name, precision, options)
    wanted = ids_of(session, pictures[1])  # of the network's size: no resize copies it
    buffer = pictures[1].copy()
    session.preprocess(buffer)
    buffer[:] = 0
    session.infer()
    assert np.array_equal(session.ids(), wanted)
    session.close()


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_ids_are_the_engines_own_buffer(name: str, open_way: Open, pictures: list[Frame]) -> None:
    session = open_way(name, "float32", engines.find(name).variants["float32"][0])
    ids_of(session, pictures[0])
    view = session.ids()
    following = ids_of(session, pictures[2])
    assert np.shares_memory(view, session.ids())
    assert np.array_equal(view, following)
    session.close()


def test_the_resize_in_the_graph_follows_the_frames_size(
    open_way: Open, pictures: list[Frame]
) -> None:
    inside = open_way("openvino", "float32", {"ids": "argmax", "resize": "graph"})
    outside = open_way("openvino", "float32", {"ids": "argmax", "resize": "host"})
    for picture in [*pictures, *pictures]:
        assert np.mean(ids_of(inside, picture) == ids_of(outside, picture)) >= 0.985
    inside.close()
    outside.close()


@pytest.mark.parametrize("name", ["torch", "litert", "onnxruntime", "openvino"])
@pytest.mark.parametrize("payload", [b"", b"not a model", bytes(4096)])
def test_a_file_that_is_no_model_is_refused_in_one_line(
    name: str, payload: bytes, source: Source
) -> None:
    engine = engines.find(name)
    with pytest.raises(EdgeSegError) as caught:
        engine.open(payload, source.model.input, engine.variants["float32"][0], 1)
    assert "\n" not in str(caught.value)
    assert str(caught.value).strip()


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("size", [(8, 8), (128, 256), (128, 64)])
def test_a_model_of_another_size_than_its_bundle_says_is_refused(
    name: str, size: tuple[int, int], source: Source
) -> None:
    engine = engines.find(name)
    for options in engine.variants["float32"]:
        payload = engine.lowering()(source, "float32", options)
        with pytest.raises(EdgeSegError, match=r"\(1, 64, 128, 3\).*pack the model again"):
            engine.open(payload, InputSpec(*size), options, 1)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_model_that_gives_logits_and_not_ids_is_refused(name: str, source: Source) -> None:
    engine = engines.find(name)
    with pytest.raises(EdgeSegError, match=r"to float32|to float "):
        engine.open(source.graph.SerializeToString(), source.model.input, {}, 1)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_lowering_twice_gives_the_same_bytes(name: str, precision: str, source: Source) -> None:
    engine = engines.find(name)
    options = engine.variants[precision][0]
    lower = engine.lowering()
    assert lower(source, precision, options) == lower(source, precision, options)


def test_a_model_without_a_module_cannot_be_lowered_by_torch(source: Source) -> None:
    from dataclasses import replace

    brought = replace(source, model=replace(source.model, module=None, onnx=b"some"))
    for name, precision in (("torch", "float32"), ("fbgemm", "int8")):
        with pytest.raises(CannotLowerError, match="came as ONNX"):
            engines.find(name).lowering()(brought, precision, {})


def test_an_exported_program_runs_on_every_engine_and_fbgemm_says_why_it_cannot(
    source: Source, pictures: list[Frame], tmp_path: Path
) -> None:
    """FX sees no layers in it: a float file must not compete as int8."""
    height, width = source.model.input.height, source.model.input.width
    program = torch.export.export(source.model.module, (torch.zeros(1, 3, height, width),))
    torch.export.save(program, tmp_path / "fitted.pt2")
    model = registry.load(str(tmp_path / "fitted.pt2"))
    graph = float_graph(model)
    recipe = Recipe(
        model_digest="m",
        calibration_digest="c",
        layers=tuple(layers(graph)),
        ranges=collect_ranges(graph, source.frames),
    )
    brought = Source(model, graph, recipe, source.frames)
    wanted = None
    for name, precision, options in WAYS:
        if name in ("fbgemm", "qnnpack"):
            with pytest.raises(CannotLowerError, match="FX found no layer to quantize"):
                engines.find(name).lowering()(brought, precision, options)
            continue
        payload = engines.find(name).lowering()(brought, precision, options)
        session = engines.find(name).open(payload, model.input, options, threads=1)
        session.preprocess(pictures[0])
        session.infer()
        ids = session.ids().copy()
        session.close()
        wanted = ids if wanted is None else wanted
        assert (ids == wanted).mean() > 0.98, (name, precision, options)


def test_fbgemm_keeps_the_recipes_float_layers_in_float(source: Source) -> None:
    import io
    from dataclasses import replace

    def integer_convolutions(recipe: Recipe) -> int:
        payload = engines.find("fbgemm").lowering()(replace(source, recipe=recipe), "int8", {})
        graph = str(torch.jit.load(io.BytesIO(payload)).inlined_graph)
        return graph.count("quantized::conv2d")

    assert len(source.recipe.layers) == 3
    assert integer_convolutions(source.recipe) == 2  # the last gives logits, in float
    assert integer_convolutions(source.recipe.keeping_float(source.recipe.layers[:1])) == 1
    assert integer_convolutions(source.recipe.keeping_float(source.recipe.layers)) == 0


def test_lowering_leaves_the_model_alone(source: Source, pictures: list[Frame]) -> None:
    module = source.model.module
    assert module is not None
    before = {name: value.clone() for name, value in module.state_dict().items()}
    graph = source.graph.SerializeToString(deterministic=True)
    for name, precision, options in INT8:
        engines.find(name).lowering()(source, precision, options)
    after = module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert source.graph.SerializeToString(deterministic=True) == graph


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_the_u_net_agrees_with_its_simulation(
    name: str, tiny_model: Model, road_frames: FrameSet
) -> None:
    """All of the shipped network's layers: skips, transposed convolutions, pooling."""
    frames = [resize(road_frames.image(index), tiny_model.input) for index in range(4)]
    graph = float_graph(tiny_model)
    recipe = Recipe(
        model_digest="m",
        calibration_digest="c",
        layers=tuple(layers(graph)),
        ranges=collect_ranges(graph, frames),
    )
    source = Source(tiny_model, graph, recipe, frames)
    engine = engines.find(name)
    options = engine.variants["int8"][0]
    session = engine.open(
        engine.lowering()(source, "int8", options), tiny_model.input, options, threads=1
    )
    logits = simulate(quantize_graph(graph, recipe), frames[:2])
    for frame, scores in zip(frames, logits, strict=False):
        second, first = np.sort(scores, axis=0)[-2:]
        # Random weights leave much undecided; where the classes are apart, all must agree.
        clear = first - second > 0.5 * np.std(scores)
        assert clear.any()
        assert np.mean((ids_of(session, frame) == scores.argmax(0))[clear]) >= 0.99
    session.close()


def fbgemm_graph(source: Source, **changes: object) -> str:
    """Return the code of fbgemm's file."""
    import io
    from dataclasses import replace

    payload = engines.find("fbgemm").lowering()(replace(source, **changes), "int8", {})
    return str(torch.jit.load(io.BytesIO(payload)).inlined_graph)


def test_fbgemm_observes_by_min_max_and_leaves_fixed_grids_alone() -> None:
    """A sigmoid's output is 0..1 in steps of 1/256, whatever the frames are."""
    from torch.ao.quantization import MinMaxObserver, get_default_qconfig_mapping

    from edge_seg.engines.torch_fx.grid import grid_mapping
    from edge_seg.quantize.recipe import Weights

    mapping = grid_mapping("fbgemm", Weights())
    ours = mapping.object_type_qconfigs
    for kind, default in get_default_qconfig_mapping("fbgemm").object_type_qconfigs.items():
        if type(default.activation()).__name__ == "HistogramObserver":
            assert type(ours[kind].activation()) is MinMaxObserver
            assert ours[kind].weight().dtype == default.weight().dtype
        else:
            assert ours[kind] == default
    sigmoid = ours[torch.nn.Sigmoid].activation()
    assert (float(sigmoid.scale), int(sigmoid.zero_point)) == (1 / 256, 0)
    rule = mapping.global_qconfig
    observer = rule.activation()
    assert (type(observer), observer.quant_min, observer.quant_max) == (MinMaxObserver, 0, 255)
    weight = rule.weight()
    assert weight.qscheme == torch.per_channel_symmetric
    assert (weight.quant_min, weight.quant_max) == (-64, 64)


def test_fbgemm_leaves_every_transposed_convolution_float(source: Source) -> None:
    """A functional one is none of the modules that a pixel shuffle replaces."""

    class Functional(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = torch.nn.Conv2d(3, 3, 2, stride=2)
            self.weight = torch.nn.Parameter(torch.randn(3, 3, 2, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.conv_transpose2d(self.down(x), self.weight, stride=2)

    graph = fbgemm_graph(source, **brought(Functional(), source))
    assert "quantized::conv2d" in graph
    assert "quantized::conv_transpose" not in graph


def test_fbgemm_keeps_every_call_of_a_float_layer_in_float(source: Source) -> None:
    head = torch.nn.Conv2d(3, 3, 1)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), head, torch.nn.ReLU(), head)
    given = brought(network, source)
    assert given["recipe"].layers == ("0", "1")
    assert fbgemm_graph(source, **given).count("quantized::conv2d") == 3
    given["recipe"] = given["recipe"].keeping_float(("1",))
    assert fbgemm_graph(source, **given).count("quantized::conv2d") == 1


def brought(network: torch.nn.Module, source: Source) -> dict[str, object]:
    """Return another network as a source's model, graph and recipe, on fewer frames."""
    from edge_seg.classes import LANE
    from edge_seg.models.model import from_network

    model = from_network("brought", network, source.model.input, LANE, "made by a test")
    graph, frames = float_graph(model), source.frames[:2]
    recipe = Recipe(
        model_digest="m",
        calibration_digest="c",
        layers=tuple(layers(graph)),
        ranges=collect_ranges(graph, frames),
    )
    return {"model": model, "graph": graph, "recipe": recipe, "frames": frames}


def test_ctrl_c_still_works_after_openvino_s_sessions(source: Source, tmp_path: Path) -> None:
    """The signal handlers' stack: each of OpenVINO's cores brings one, and takes it away."""
    engine = engines.find("openvino")
    way: Options = {"ids": "argmax", "resize": "host"}
    (tmp_path / "model").write_bytes(engine.lowering()(source, "float32", way))
    script = f"""
import faulthandler, gc, os, signal, sys
from edge_seg import engines
from edge_seg.preprocess import InputSpec

faulthandler.enable()  # has a stack for handlers too, as other libraries have
signal.signal(signal.SIGINT, signal.default_int_handler)
model = open({str(tmp_path / "model")!r}, "rb").read()
spec = InputSpec({source.model.input.height}, {source.model.input.width})
sessions = [engines.find("openvino").open(model, spec, {way!r}, threads=1) for _ in range(2)]
while sessions:
    sessions.pop(0).close()
    gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
