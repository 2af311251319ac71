"""What a device chooses among a bundle's model files, and what a host packs for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import device_engine
import msgspec
import numpy as np
import pytest
from drawn_roads import draw_road
from typer.testing import CliRunner

from edge_seg.attach import attach
from edge_seg.bundle.archive import Bundle, open_bundle, write_bundle
from edge_seg.bundle.golden import golden_check
from edge_seg.choice import choose
from edge_seg.cli.main import app
from edge_seg.comparison import measure
from edge_seg.errors import EdgeSegError
from edge_seg.files import sha256
from edge_seg.frames import FrameSet
from edge_seg.packer import Request, pack
from edge_seg.segmenter import Segmenter
from edge_seg.self_test import self_test


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return device_engine.install(tmp_path / "engine", monkeypatch)


@pytest.fixture
def board(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hardware is there; what is prepared on it has a line in this file."""
    monkeypatch.setenv("BOARD", "a test board")
    return prepared


@pytest.fixture(scope="module")
def packed(tiny_request: Request, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Packed on a host without the hardware: int8 and float16, one of them first."""
    folder = tmp_path_factory.mktemp("board")
    target = replace(tiny_request.target, name="board", engines=("torch", "device"))
    request = replace(tiny_request, target=target, output=folder / "board.edgeseg")
    with pytest.MonkeyPatch.context() as monkeypatch:
        device_engine.install(folder / "engine", monkeypatch)
        return pack(request).path.read_bytes()


@pytest.fixture
def bundle(packed: bytes, prepared: Path, tmp_path: Path) -> Bundle:
    path = tmp_path / "board.edgeseg"
    path.write_bytes(packed)
    return open_bundle(path)


def changed(bundle: Bundle, precision: str | None) -> Bundle:
    """The bundle with another golden mask for one of its model files."""
    wrong = np.zeros((64, 128), np.uint8)
    png = cv2.imencode(".png", wrong)[1].tobytes()
    members = {name: bundle.read(name) for name in bundle.manifest.members}
    golden = []
    for test in bundle.manifest.golden:
        if test.precision == precision and "network" in test.mask:
            members[test.mask] = png
            test = msgspec.structs.replace(test, mask_sha256=sha256(wrong.tobytes()))
        golden.append(test)
    manifest = msgspec.structs.replace(bundle.manifest, golden=golden)
    return write_bundle(bundle.path.with_name("changed.edgeseg"), manifest, members)


def test_a_host_packs_every_precision_that_holds_the_gate(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert (manifest.precision, manifest.alternatives) == (
        "int8",
        {"float16": "model-float16.onnx"},
    )
    assert manifest.engine.runtime_version == "" and "way" not in manifest.options
    rows = {c.precision: c for c in manifest.candidates if c.engine == "device"}
    assert {row.status for row in rows.values()} == {"winner", "passed"}
    assert all(row.run_by.startswith("onnxruntime ") for row in rows.values())
    assert all(row.p50_ms is None and row.peak_rss_bytes is None for row in rows.values())
    assert {test.precision for test in manifest.golden} == {None, "float16"}
    report = bundle.read("report.html").decode()
    assert "device was not run here" in report and "x slower" not in report


def test_the_smaller_file_comes_first_as_times_say_nothing(bundle: Bundle) -> None:
    sizes = {c.precision: c.size_bytes for c in bundle.manifest.candidates if c.run_by}
    assert sizes["int8"] is not None and sizes["int8"] < sizes["float16"]  # type: ignore[operator]


def test_without_the_hardware_it_does_not_run(bundle: Bundle) -> None:
    with pytest.raises(EdgeSegError, match="no board is plugged in"):
        Segmenter(bundle)


def test_verify_says_what_it_knows_without_the_hardware(bundle: Bundle) -> None:
    done = CliRunner().invoke(app, ["verify", str(bundle.path), "--json"])
    shown = json.loads(done.stdout)
    assert shown["ok"] is False and shown["digest"] == bundle.digest
    assert shown["signature"]["state"] == "none" and shown["golden"] is None
    assert "--skip-golden checks all but the golden frames" in str(done.exception)
    assert CliRunner().invoke(app, ["verify", str(bundle.path), "--skip-golden"]).exit_code == 0


def test_the_device_times_what_works_and_keeps_the_fastest(bundle: Bundle, board: Path) -> None:
    choice = choose(bundle)
    fine = {t.precision: t for t in choice.trials if not t.fault}
    assert set(fine) == {"int8", "float16"} and choice.hardware == "a test board"
    best = min(fine.values(), key=lambda t: t.p50_ms or 0)
    assert (choice.precision, choice.options) == (best.precision, {"way": "fine"})
    assert all(trial.agreement_min and trial.agreement_min > 99 for trial in fine.values())
    broken = [t.fault for t in choice.trials if t.options == {"way": "broken"}]
    assert broken == ["this way is broken"] * 2


def test_a_choice_is_remembered_for_this_hardware(
    bundle: Bundle, board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choose(bundle)
    assert len(board.read_text().splitlines()) == 4
    assert choose(bundle) == first
    assert len(board.read_text().splitlines()) == 4
    monkeypatch.setenv("BOARD", "another board")
    assert choose(bundle).hardware == "another board"
    assert len(board.read_text().splitlines()) == 8


def test_latencies_that_are_attached_change_no_choice(bundle: Bundle, board: Path) -> None:
    choose(bundle)
    members = {name: bundle.read(name) for name in bundle.manifest.members}
    manifest = msgspec.structs.replace(bundle.manifest, name="another name")
    choose(write_bundle(bundle.path.with_name("again.edgeseg"), manifest, members))
    assert len(board.read_text().splitlines()) == 4


@pytest.mark.parametrize(("wrong", "left"), [("float16", "int8"), (None, "float16")])
def test_what_misses_its_golden_masks_is_not_chosen(
    bundle: Bundle, board: Path, wrong: str | None, left: str
) -> None:
    choice = choose(changed(bundle, wrong))
    assert choice.precision == left
    faults = [t.fault for t in choice.trials if t.precision != left and t.options["way"] == "fine"]
    assert len(faults) == 1 and "of a golden mask is right" in faults[0]


def test_where_nothing_is_right_nothing_runs(bundle: Bundle, board: Path) -> None:
    with pytest.raises(EdgeSegError, match=r"does not run here: int8: only .*; float16: only"):
        choose(changed(changed(bundle, None), "float16"))


def test_a_segmenter_runs_what_was_chosen(bundle: Bundle, board: Path) -> None:
    with Segmenter(bundle) as segmenter:
        assert segmenter.precision == choose(bundle).precision
        result = golden_check(bundle, segmenter, segmenter.precision)
        assert result.passed and result.frames == 4
        assert segmenter(draw_road(1)[0]).shape == (120, 160)


def test_bench_times_what_was_chosen(bundle: Bundle, board: Path, few_frames: FrameSet) -> None:
    entry = measure(bundle.path, [], few_frames, 10).benchmark.entries[0]
    choice = choose(bundle)
    assert entry.precision == choice.precision
    assert entry.size_bytes == bundle.manifest.members[choice.model_file].size


def test_an_attached_latency_says_what_ran(
    bundle: Bundle, board: Path, few_frames: FrameSet
) -> None:
    measured = measure(bundle.path, [], few_frames, 10)
    attach(bundle.path, measured)
    (latency,) = open_bundle(bundle.path).manifest.latencies
    assert latency.precision == choose(bundle).precision


def test_build_shows_the_trials(bundle: Bundle, board: Path) -> None:
    done = CliRunner().invoke(app, ["build", str(bundle.path), "--json"])
    shown = json.loads(done.stdout)
    assert shown["schema"] == "edge-seg/choice-1" and len(shown["trials"]) == 4
    table = CliRunner().invoke(app, ["build", str(bundle.path)]).stdout
    assert "runs here, on a test board" in table and "this way is broken" in table


def test_a_bundle_that_needs_no_building_says_so(tiny_bundle: Path) -> None:
    done = CliRunner().invoke(app, ["build", str(tiny_bundle)])
    assert done.exit_code == 0
    assert "nothing to build: onnxruntime runs the bundle's file as it is" in done.stdout


def test_the_self_test_looks_at_everything(tiny_bundle: Path) -> None:
    result = self_test(tiny_bundle)
    assert result.ok, result.checks
    names = [check.name for check in result.checks]
    assert names == [
        *("bundle", "opening", "golden frames", "frame sizes", "repeatable", "memory"),
        "opened again",
    ]


def test_the_self_test_tells_of_every_trial_and_fault(bundle: Bundle, board: Path) -> None:
    result = self_test(bundle.path)
    assert not result.ok
    assert {c.name for c in result.checks if not c.ok} == {"int8 way=broken", "float16 way=broken"}
    done = CliRunner().invoke(app, ["doctor", "--self-test", str(bundle.path), "--json"])
    assert json.loads(done.stdout)["schema"] == "edge-seg/self-test-1"


def test_the_self_test_without_the_hardware_is_a_fault_of_one_line(bundle: Bundle) -> None:
    result = self_test(bundle.path)
    assert [(c.name, c.detail) for c in result.checks if not c.ok] == [
        ("engine", "no board is plugged in")
    ]
