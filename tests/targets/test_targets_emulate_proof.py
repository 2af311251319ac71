"""The proof: masks of the device's own runtime and processor against those that were packed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from drawn_roads import draw_road

from edge_seg import engines
from edge_seg.bundle.archive import open_bundle, write_bundle
from edge_seg.bundle.golden import NETWORK, GoldenResult, make_golden
from edge_seg.bundle.manifest import Candidate, EngineRef, Manifest, ModelSource, Proof
from edge_seg.engines.lowering import Source
from edge_seg.errors import EdgeSegError
from edge_seg.models.model import Model
from edge_seg.pipeline import Pipeline
from edge_seg.preprocess import Frame, resize
from edge_seg.quantize import float_graph
from edge_seg.quantize.ranges import collect_ranges
from edge_seg.quantize.recipe import Recipe, encode
from targets.raspberry_pi.emulate import __main__ as command
from targets.raspberry_pi.emulate.guest import Guest, emulator_version
from targets.raspberry_pi.emulate.proof import PROCESSORS, judge, prove
from targets.raspberry_pi.emulate.tree import RUNTIMES, Tree


def make_bundle(path: Path, model: Model, engine_name: str) -> Path:
    """Pack ``model`` in int8 for a Pi: two golden frames of the network's size, one larger."""
    drawn = [draw_road(seed)[0] for seed in range(100, 106)]
    frames: list[Frame] = [resize(frame, model.input) for frame in drawn]
    graph = float_graph(model)
    recipe = Recipe(
        model_digest=model.digest,
        calibration_digest="0" * 64,
        layers=(),
        ranges=collect_ranges(graph, frames),
    )
    engine = engines.find(engine_name)
    options = engine.variants["int8"][0]
    lowered = engine.lowering()(Source(model, graph, recipe, frames), "int8", options)
    pipeline = Pipeline(engine.open(lowered, model.input, options))
    masks = [pipeline(frame).copy() for frame in (*frames[:2], drawn[2])]
    pipeline.close()
    assert all(len(np.unique(mask)) == len(model.classes) for mask in masks)
    camera, members = make_golden(drawn[2:3], masks[2:])
    network, more = make_golden(frames[:2], masks[:2], folder=NETWORK)
    manifest = Manifest(
        name="lane",
        target="raspberry-pi",
        architecture="aarch64",
        model=ModelSource(model.name, model.digest),
        input=model.input,
        classes=model.classes,
        engine=EngineRef(engine.name, engine.distribution, engine.runtime_version()),
        precision="int8",
        model_file=f"model.{engine.suffix}",
        options=dict(options),
        golden=camera + network,
    )
    files = {**members, **more, manifest.model_file: lowered, "recipe.json": encode(recipe)}
    write_bundle(path, manifest, files)
    return path


SELF_TEST = 99.5
"""Percent of equal pixels that a golden frame asks for where its manifest says nothing else."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, fitted_model: Model) -> Path:
    return make_bundle(tmp_path_factory.mktemp("pi") / "lane.edgeseg", fitted_model, "litert")


def test_litert_gives_the_same_bits_on_both_processors(pi4: Guest, bundle: Path) -> None:
    proofs = prove(bundle)
    assert [proof.processor for proof in proofs] == list(PROCESSORS)
    for proof in proofs:
        assert proof.passed
        assert proof.frames == proof.identical == 2
        assert proof.agreement_min == 100
        assert proof.camera_agreement_min is not None and proof.camera_agreement_min >= 99.5
        assert proof.runtime == "ai-edge-litert"
        assert proof.runtime_version == pi4.tree.version
        assert proof.emulator == emulator_version()


def test_a_device_runs_the_bundle(pi4: Guest, bundle: Path, tmp_path: Path) -> None:
    whole = open_bundle(bundle)
    (tmp_path / "road.png").write_bytes(whole.read(f"{NETWORK}/0.png"))
    command = ["-m", "edge_seg.cli", "run", bundle, tmp_path / "road.png", "-o", tmp_path / "out"]
    done = pi4.run([*command, "--no-overlay"], 120)
    assert done.returncode == 0, done.stderr
    mask = cv2.imread(str(tmp_path / "out/road.png"), cv2.IMREAD_UNCHANGED)
    expected = np.frombuffer(whole.read(f"{NETWORK}/0-mask.png"), np.uint8)
    assert np.array_equal(mask, cv2.imdecode(expected, cv2.IMREAD_UNCHANGED))


@pytest.mark.parametrize(
    ("change", "network", "camera", "passed"),
    [
        ({}, 100.0, 99.6, True),
        ({}, 99.99, 100.0, False),  # the same integer kernels: one pixel is one too many
        ({}, 100.0, 99.4, False),  # `edge-seg verify` itself refuses
        ({"precision": "float16"}, 99.91, 99.6, True),
        ({"precision": "float16"}, 99.49, 99.6, False),
        ({"engine": EngineRef("litert", "ai-edge-litert", "2.2.0")}, 99.91, 99.6, True),
        ({"winner": "litert/int8"}, 99.91, 99.6, True),  # a layer of it is computed in float
    ],
)
def test_what_passes(
    no_tree: Tree,
    bundle: Path,
    change: dict[str, Any],
    network: float,
    camera: float,
    passed: bool,
) -> None:
    mixed = Candidate(
        engine="litert", precision="int8", status="winner", float_layers=["classifier"]
    )
    manifest = open_bundle(bundle).manifest
    manifest = msgspec.structs.replace(manifest, **{"candidates": [mixed], **change})
    shares = {"golden/0.png": camera, f"{NETWORK}/0.png": network, f"{NETWORK}/1.png": 100.0}
    worst = min(shares.values())
    golden = GoldenResult(3, 1, worst, worst >= 99.5, shares)
    proof = judge(manifest, no_tree, "cortex-a72", "qemu-aarch64 7.2.22", golden)
    assert proof.passed == passed
    assert (proof.frames, proof.identical) == (2, 2 if network == 100 else 1)
    assert (proof.agreement_min, proof.camera_agreement_min) == (network, camera)


def test_a_bundle_without_frames_of_the_network_s_size_is_judged_by_what_it_has(
    no_tree: Tree, bundle: Path
) -> None:
    manifest = open_bundle(bundle).manifest
    golden = GoldenResult(1, 0, 99.95, True, {"golden/0.png": 99.95})
    proof = judge(manifest, no_tree, "cortex-a72", "qemu-aarch64 7.2.22", golden)
    assert proof.passed
    assert (proof.frames, proof.agreement_min, proof.camera_agreement_min) == (1, 99.95, None)


@pytest.fixture
def no_tree(tmp_path: Path) -> Tree:
    """A tree that holds nothing but its runtime's version, that of this machine."""
    place = tmp_path / "site/ai_edge_litert-0.dist-info"
    place.mkdir(parents=True)
    here = version("ai-edge-litert")
    (place / "METADATA").write_text(f"Name: ai-edge-litert\nVersion: {here}\n")
    return Tree(RUNTIMES["litert"], tmp_path, place.parent, tmp_path)


def test_a_model_that_does_not_load_is_one_line(pi4: Guest, bundle: Path, tmp_path: Path) -> None:
    whole = open_bundle(bundle)
    model = whole.read(whole.manifest.model_file)
    members = {name: whole.read(name) for name in whole.manifest.members}
    members[whole.manifest.model_file] = model[: len(model) // 2]
    broken = tmp_path / "broken.edgeseg"
    write_bundle(broken, whole.manifest, members)
    with pytest.raises(EdgeSegError, match="does not run on the emulated cortex-a76: ") as failed:
        prove(broken, processors=["cortex-a76"])
    assert "\n" not in str(failed.value)


def test_a_bundle_of_an_x86_engine_is_refused(bundle: Path, tmp_path: Path) -> None:
    whole = open_bundle(bundle)
    engine = EngineRef("openvino", "openvino", "2026.4")
    manifest = msgspec.structs.replace(whole.manifest, engine=engine)
    other = tmp_path / "x86.edgeseg"
    write_bundle(other, manifest, {name: whole.read(name) for name in whole.manifest.members})
    with pytest.raises(EdgeSegError, match=r"engine 'openvino' cannot be emulated, only litert"):
        prove(other)


def test_a_runtime_that_does_not_run_the_engine_is_refused(bundle: Path) -> None:
    with pytest.raises(EdgeSegError, match=r"'torch' does not run engine 'litert': litert and tfl"):
        prove(bundle, runtime="torch")


def test_without_an_emulator_it_says_how_to_install_it(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgeSegError, match="sudo apt install qemu-user-static"):
        prove(bundle)


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 3)])
def test_the_command_prints_json_and_ends_with_the_verdict(
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    passed: bool,
    code: int,
) -> None:
    proof = Proof(
        processor="cortex-a72",
        emulator="qemu-aarch64 7.2.22",
        runtime="ai-edge-litert",
        runtime_version="2.3.0",
        frames=3,
        identical=3,
        agreement_min=100.0,
        passed=passed,
    )
    monkeypatch.setattr(command, "prove", lambda *_: [proof])
    monkeypatch.setattr(sys, "argv", ["emulate", str(bundle)])
    assert command.main() == code
    assert msgspec.json.decode(capsys.readouterr().out, type=list[Proof]) == [proof]


def test_the_command_says_a_fault_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["emulate", "/none.edgeseg"])
    assert command.main() == 2
    assert capsys.readouterr().err.startswith("error: /none.edgeseg: no such file")


@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_old_runtime_agrees(
    make_guest: Callable[[str, str], Guest], bundle: Path, processor: str
) -> None:
    guest = make_guest("tflite-runtime", processor)
    (proof,) = prove(bundle, processors=[processor], runtime="tflite-runtime")
    assert (proof.runtime, proof.runtime_version) == ("tflite-runtime", guest.tree.version)
    assert proof.passed
    assert proof.agreement_min >= SELF_TEST


@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
def test_torch_gives_the_same_masks_with_qnnpack(
    make_guest: Callable[[str, str], Guest], fitted_model: Model, tmp_path: Path, processor: str
) -> None:
    guest = make_guest("torch", processor)
    packed = make_bundle(tmp_path / "lane.edgeseg", fitted_model, "qnnpack")
    (proof,) = prove(packed, processors=[processor])
    assert (proof.runtime, proof.runtime_version) == ("torch", guest.tree.version)
    assert proof.passed
    assert proof.agreement_min >= SELF_TEST
