"""bfloat16 on OpenVINO: near float32, not float32, and refused where the processor lacks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_seg import engines
from edge_seg.cache import Cache
from edge_seg.engines.lowering import Source
from edge_seg.engines.session import Options, Session
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet
from edge_seg.models.model import Model
from edge_seg.packer import Request, pack
from edge_seg.packing.deciding import network_frames
from edge_seg.packing.request import entrants
from edge_seg.preprocess import Frame
from edge_seg.quantize import Recipe, float_graph
from edge_seg.segmenter import Segmenter

openvino = pytest.importorskip("openvino")

from edge_seg.engines.openvino import session as ours  # noqa: E402

OPENVINO = engines.find("openvino")
needs_bfloat16 = pytest.mark.skipif(
    "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"),
    reason="this processor has no bfloat16 arithmetic",
)


@pytest.fixture(scope="module")
def source(fitted_model: Model) -> Source:
    recipe = Recipe(model_digest="m", calibration_digest="c", layers=(), ranges={})
    return Source(fitted_model, float_graph(fitted_model), recipe, [])


@pytest.fixture
def open_way(source: Source) -> Iterator[Callable[[str, Options], Session]]:
    """Return what opens a session of a precision, in a way."""
    opened: list[Session] = []

    def open_one(precision: str, options: Options) -> Session:
        payload = OPENVINO.lowering()(source, precision, options)
        opened.append(OPENVINO.open(payload, source.model.input, options, threads=1))
        return opened[-1]

    yield open_one
    for session in opened:
        session.close()


def ids_of(session: Session, frame: Frame) -> np.ndarray:
    session.preprocess(frame)
    session.infer()
    return session.ids().copy()


@needs_bfloat16
@pytest.mark.parametrize("index", range(len(OPENVINO.variants["bfloat16"])))
def test_its_ids_are_nearly_those_of_float32(
    index: int, open_way: Callable[[str, Options], Session], few_frames: FrameSet
) -> None:
    half = open_way("bfloat16", OPENVINO.variants["bfloat16"][index])
    whole = open_way("float32", OPENVINO.variants["float32"][index])
    frames = [few_frames.image(number) for number in range(len(few_frames))]
    equal = [ids_of(half, frame) == ids_of(whole, frame) for frame in frames]
    assert np.mean(equal) > 0.99


@needs_bfloat16
@pytest.mark.parametrize(("floats", "kind"), [("bf16", "bfloat16"), ("f32", "float32")])
def test_layers_run_in_what_was_asked_for(floats: str, kind: str, source: Source) -> None:
    """OpenVINO's word for it, and the values: eight bits of a number's are kept."""
    spec = source.model.input
    payload = OPENVINO.lowering()(source, kind, {"ids": "argmax"})
    session = ours.OpenVinoSession(payload, spec, 1, floats)
    compiled = session._request.get_compiled_model()
    asked = compiled.get_property("INFERENCE_PRECISION_HINT")
    assert asked == {"bf16": openvino.Type.bf16, "f32": openvino.Type.f32}[floats]
    kinds = {
        node.get_rt_info()["runtimePrecision"]
        for node in compiled.get_runtime_model().get_ops()
        if node.get_rt_info()["layerType"] == "Convolution"
    }
    assert kinds == {floats}
    session.close()


@needs_bfloat16
def test_the_logits_are_rounded_to_eight_bits(source: Source, few_frames: FrameSet) -> None:
    """They lie off float32's by more than its last bits, and by no more than bfloat16's."""
    frame = network_frames(few_frames, source.model)[0][None]
    model = ours._read(source.graph.SerializeToString())
    half, whole = (
        ours._core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": floats})(frame)[0]
        for floats in ("bf16", "f32")
    )
    apart = np.abs(half - whole).max() / np.abs(whole).max()
    assert 2.0**-16 < apart < 8 * 2.0**-8  # three layers, each rounds its inputs and weights
    rounded = torch.from_numpy(half).bfloat16().float().numpy()
    assert np.array_equal(rounded, half)


def test_a_processor_without_it_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    class Older:
        """OpenVINO's core as it answers on a processor without bfloat16."""

        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return ["WINOGRAD", "FP32", "INT8", "BIN", "EXPORT_IMPORT"]

    way = OPENVINO.variants["bfloat16"][0]
    payload = OPENVINO.lowering()(source, "bfloat16", way)
    with monkeypatch.context() as patch:
        patch.setattr(ours, "_core", Older)
        with pytest.raises(EdgeSegError, match=r"^this processor has no bfloat16 arithmetic.*int8"):
            OPENVINO.open(payload, source.model.input, way, threads=1)
    ours.require_bfloat16(["FP32", "BF16"])


def test_it_competes_only_where_it_is_asked_for(tiny_request: Request) -> None:
    target = replace(tiny_request.target, engines=("openvino",))
    assert ("openvino", "bfloat16") not in entrants(replace(tiny_request, target=target))
    asked = replace(tiny_request, target=target, precisions=("bfloat16",))
    assert entrants(asked) == [("openvino", "float32"), ("openvino", "bfloat16")]


@pytest.mark.slow
@needs_bfloat16
def test_a_bundle_of_it_says_so_and_runs(
    tiny_request: Request, few_frames: FrameSet, tmp_path: Path
) -> None:
    target = replace(tiny_request.target, engines=("openvino",))
    asked = replace(
        tiny_request, target=target, precisions=("bfloat16",), output=tmp_path / "half.edgeseg"
    )
    result = pack(asked, cache=Cache(tmp_path / "cache"))
    assert result.manifest.winner == "openvino/bfloat16"
    assert result.manifest.options["floats"] == "bf16"
    with Segmenter(result.path, threads=1) as segmenter:
        assert segmenter(few_frames.image(0)).shape == few_frames.image(0).shape[:2]
