"""Both shipped models, packed for a Pi and proven on its emulated processors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from frames_of import every

from edge_seg.bundle.archive import Bundle, open_bundle
from edge_seg.bundle.golden import golden_check
from edge_seg.bundle.manifest import Candidate, Gate
from edge_seg.cache import Cache
from edge_seg.frames import FrameSet
from edge_seg.models import registry
from edge_seg.packer import Request, pack
from edge_seg.segmenter import Segmenter
from edge_seg.target import find
from targets.raspberry_pi.emulate.guest import Guest
from targets.raspberry_pi.emulate.proof import PROCESSORS, prove

MakeGuest = Callable[[str, str], Guest]
Pack = Callable[[str, str], Path]

MODELS = ("lane-unet", "deeplabv3plus-mobilenetv2")
QUICK = [pytest.param("lane-unet", marks=pytest.mark.slow), "deeplabv3plus-mobilenetv2"]
"""Both where there is time for two packs."""
GATES = {"lane-unet": 0.2, "deeplabv3plus-mobilenetv2": 0.5}
"""Points of mean IoU."""


@pytest.fixture(scope="module")
def pack_for_pi(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Return what packs a shipped model with one engine, int8 alone, once."""
    folder = tmp_path_factory.mktemp("pi")
    evaluation = every(FrameSet.open("lane-test"), 5, folder / "eval")
    calibration = every(FrameSet.open("lane-mini"), 2, folder / "calibration")
    cache = Cache(folder / "cache")

    def pack_one(model: str, engine: str) -> Path:
        output = folder / f"{model}-{engine}.edgeseg"
        if not output.exists():
            request = Request(
                model=registry.load(model),
                target=find("rpi"),
                calibration=calibration,
                evaluation=evaluation,
                output=output,
                engines=(engine,),
                precisions=("int8",),
                gate=Gate(GATES[model], 1.0),
            )
            assert pack(request, cache=cache).held
        return output

    return pack_one


def row(bundle: Bundle, label: str) -> Candidate:
    return next(c for c in bundle.manifest.candidates if c.label == label)


@pytest.mark.parametrize("model", QUICK)
def test_litert_int8_holds_the_gate_and_is_small(pack_for_pi: Pack, model: str) -> None:
    bundle = open_bundle(pack_for_pi(model, "litert"))
    manifest = bundle.manifest
    assert (manifest.target, manifest.architecture) == ("raspberry-pi", "aarch64")
    assert (manifest.winner, manifest.engine.runtime) == ("litert/int8", "ai-edge-litert")
    winner, baseline = row(bundle, "litert/int8"), row(bundle, "litert/float32")
    assert not winner.float_layers
    assert winner.drop is not None and winner.drop <= GATES[model]
    assert winner.size_bytes is not None and baseline.size_bytes is not None
    assert winner.size_bytes <= 0.30 * baseline.size_bytes
    assert winner.peak_rss_bytes


@pytest.mark.parametrize("model", QUICK)
def test_the_packed_file_has_no_transpose_and_float_only_to_resize_logits(
    pack_for_pi: Pack, model: str
) -> None:
    bundle = open_bundle(pack_for_pi(model, "litert"))
    interpreter = Interpreter(model_content=bundle.read("model.tflite"))
    kinds = {d["index"]: np.dtype(d["dtype"]).name for d in interpreter.get_tensor_details()}
    operators = [o for o in interpreter._get_ops_details() if o["op_name"] != "DELEGATE"]
    names = [operator["op_name"] for operator in operators]
    in_float = [o["op_name"] for o in operators if kinds[o["outputs"][0]] == "float32"]
    resized = model == "deeplabv3plus-mobilenetv2"
    assert in_float == (["DEQUANTIZE", "CONV_2D", "RESIZE_BILINEAR"] if resized else [])
    assert names[-len(in_float) :] == in_float or not in_float
    assert names.count("CONV_2D") > 10
    assert not set(names) & {"TRANSPOSE", "CAST", "RESHAPE"}


@pytest.mark.parametrize("model", QUICK)
def test_the_host_runs_what_it_packed_for_the_device(pack_for_pi: Pack, model: str) -> None:
    bundle = open_bundle(pack_for_pi(model, "litert"))
    with Segmenter(bundle) as segmenter:
        assert golden_check(bundle, segmenter).identical == 4


@pytest.mark.parametrize("model", QUICK)
def test_litert_is_proven_on_both_processors(
    make_guest: MakeGuest, pack_for_pi: Pack, model: str
) -> None:
    make_guest("litert", PROCESSORS[0])
    for proof in prove(pack_for_pi(model, "litert")):
        assert proof.passed
        assert proof.identical == proof.frames == 2  # to the bit, as on the host
        assert proof.camera_agreement_min is not None and proof.camera_agreement_min >= 98.5


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_the_old_runtime_is_proven_too(
    make_guest: MakeGuest, pack_for_pi: Pack, model: str
) -> None:
    make_guest("tflite-runtime", PROCESSORS[0])
    bundle = pack_for_pi(model, "litert")
    for proof in prove(bundle, processors=["cortex-a72"], runtime="tflite-runtime"):
        assert proof.passed
        assert proof.runtime_version == "2.14.0"


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_qnnpack_holds_the_gate_and_is_proven(
    make_guest: MakeGuest, pack_for_pi: Pack, model: str
) -> None:
    make_guest("torch", PROCESSORS[0])
    bundle = pack_for_pi(model, "qnnpack")
    drop = row(open_bundle(bundle), "qnnpack/int8").drop
    assert drop is not None and drop <= GATES[model]
    for proof in prove(bundle, processors=["cortex-a72"]):
        assert proof.passed
        assert proof.runtime_version == "2.9.1"
