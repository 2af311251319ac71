"""The tournament from end to end on tiny networks: rows, winner, failures, cache, refusals."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from rogue import install

from edge_seg import packer, steps
from edge_seg.bundle.archive import open_bundle
from edge_seg.bundle.golden import golden_check
from edge_seg.bundle.manifest import Candidate, Gate
from edge_seg.cache import Cache
from edge_seg.classes import ClassMap
from edge_seg.errors import EdgeSegError
from edge_seg.frames import FrameSet, FrameSetWriter
from edge_seg.models import registry
from edge_seg.models.model import Model
from edge_seg.packer import Request, pack
from edge_seg.packing import tournament
from edge_seg.packing.judging import choose, too_slow
from edge_seg.pipeline import Timings
from edge_seg.quantize.recipe import Weights, decode
from edge_seg.segmenter import Segmenter
from edge_seg.target import Target


def row(status: str, p50: float | None = None, drop: float | None = None) -> Candidate:
    return Candidate(engine="e", precision="int8", status=status, p50_ms=p50, drop=drop)  # type: ignore[arg-type]


def test_the_fastest_that_passed_wins() -> None:
    slow, fast = row("passed", 9.0, 0.0), row("passed", 3.0, 0.4)
    assert choose([row("baseline", 1.0), slow, row("rejected", 2.0, 9.0), fast]) is fast
    poor, poorer = row("rejected", 5.0, 2.0), row("rejected", 1.0, 8.0)
    assert choose([poorer, row("failed"), poor]) is poor
    assert choose([row("baseline", 1.0), row("failed")]) is None


def named(engine: str, status: str, p50: float, drop: float) -> Candidate:
    reason = f"{engine} misses" if status == "rejected" else ""
    made = row(status, p50, drop)
    return msgspec.structs.replace(made, engine=engine, reason=reason)


def verdict(bundle: Path, max_ms: float | None, *candidates: Candidate) -> str:
    """Return what a pack says of these rows, none of which holds its gate."""
    rows = list(candidates)
    winner = choose(rows, max_ms)
    assert winner is not None
    manifest = open_bundle(bundle).manifest
    manifest = msgspec.structs.replace(manifest, candidates=rows, winner=winner.label)
    return packer._verdict(Path("x.rejected"), manifest, False, too_slow(winner, max_ms))


def test_of_the_rejected_those_in_time_come_first() -> None:
    sharp, quick = row("rejected", 9.0, 1.0), row("rejected", 3.0, 2.0)
    assert choose([sharp, quick], 5.0) is quick
    assert choose([sharp, quick], 2.0) is sharp
    assert choose([sharp, quick]) is sharp


def test_who_misses_accuracy_and_time_is_told_both_and_the_nearest_of_each(
    tiny_bundle: Path,
) -> None:
    sharp, quick = named("sharp", "rejected", 9.0, 1.0), named("quick", "rejected", 6.0, 4.0)
    for rows in ((sharp, quick), (quick, sharp)):
        said = verdict(tiny_bundle, 5.0, named("float", "baseline", 1.0, 0.0), *rows)
        assert said.startswith("no candidate holds the accuracy, and none is as fast as asked; ")
        assert "the most accurate, sharp/int8, is kept as x.rejected: sharp misses; " in said
        assert "9.0 ms a frame, 5 allowed. " in said
        assert "The fastest, quick/int8, loses 4.00 points and takes 6.0 ms a frame." in said
        assert "--max-drop" in said and "--max-ms" in said
    alone = verdict(tiny_bundle, 5.0, sharp)
    assert "The fastest" not in alone and "The most accurate" not in alone


def test_who_misses_one_half_is_told_who_comes_nearer_to_the_other(tiny_bundle: Path) -> None:
    sharp, quick = named("sharp", "rejected", 9.0, 1.0), named("quick", "rejected", 4.0, 3.0)
    said = verdict(tiny_bundle, 5.0, sharp, quick)  # in time, too much is lost
    assert said.startswith("no candidate held the gate; the best, quick/int8, ")
    assert "The most accurate, sharp/int8, loses 1.00 points and takes 9.0 ms a frame." in said
    assert "The fastest" not in said
    fine, finest = named("fine", "passed", 8.0, 0.3), named("finest", "passed", 9.0, 0.0)
    said = verdict(tiny_bundle, 5.0, finest, quick, fine)  # accurate, too slow
    assert said.startswith("nothing that holds the accuracy is as fast as asked; the nearest, fine")
    assert "8.0 ms a frame, 5 allowed. The fastest, quick/int8, loses 3.00 points" in said
    assert "The fastest" not in verdict(tiny_bundle, 5.0, finest, fine)
    assert "The " not in verdict(tiny_bundle, None, sharp, quick)


def test_a_bundle_has_every_row_and_runs(tiny_bundle: Path, few_frames: FrameSet) -> None:
    opened = open_bundle(tiny_bundle)
    manifest = opened.manifest
    baseline, winner = manifest.candidates
    assert (baseline.label, baseline.status) == ("onnxruntime/float32", "baseline")
    assert (winner.label, winner.status) == ("onnxruntime/int8", "winner")
    assert manifest.winner == "onnxruntime/int8"
    for candidate in manifest.candidates:
        assert candidate.reason == ""
        assert candidate.miou is not None and 0 <= candidate.miou <= 100
        assert candidate.p50_ms is not None and candidate.p99_ms is not None
        assert 0 < candidate.p50_ms <= candidate.p99_ms
        assert candidate.size_bytes and candidate.peak_rss_bytes
        assert set(candidate.iou) == set(manifest.classes.names)
    assert baseline.miou is not None and winner.miou is not None
    assert winner.drop == pytest.approx(baseline.miou - winner.miou)
    assert winner.size_bytes == len(opened.read(manifest.model_file))
    assert {"recipe.json", "report.html", "MODEL_CARD.md"} <= set(manifest.members)
    with Segmenter(opened, threads=1) as segmenter:
        assert golden_check(opened, segmenter).identical == len(manifest.golden) == 4
        assert segmenter(few_frames.image(0)).shape == few_frames.image(0).shape[:2]


def test_the_record_is_the_manifests_table(
    tiny_request: Request, pack_cache: Cache, tmp_path: Path, tiny_bundle: Path
) -> None:
    result = pack(replace(tiny_request, output=tmp_path / "x.edgeseg"), cache=pack_cache)
    record = msgspec.json.decode(msgspec.json.encode(packer.record(result)))
    assert record["schema"] == "edge-seg/pack-1"
    assert record["winner"] == "onnxruntime/int8"
    assert record["digest"] == open_bundle(result.path).digest
    wanted = "engine precision miou drop p50_ms p99_ms size_bytes peak_rss_bytes status reason"
    for candidate in record["candidates"]:
        assert set(wanted.split()) <= set(candidate)
    assert [step["name"] for step in record["steps"]][-1] == "bundle"


class CountingCache(Cache):
    """Notes the kind (first part of the key) of whatever was not there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.missed: list[str] = []

    def get(self, *key: str) -> bytes | None:
        found = super().get(*key)
        if found is None:
            self.missed.append(key[0])
        return found


def test_packing_again_makes_nothing_anew_and_gives_the_same_bytes(
    tiny_request: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interleave(workers, frames, count, track=None):  # type: ignore[no-untyped-def]
        """Measure the same every time: the one thing of a pack that chance decides."""
        return {name: ([Timings(1.0, 2.0, 1.0, 4.0)] * count, 10**6) for name in workers}

    monkeypatch.setattr(tournament.bench, "interleave", interleave)
    monkeypatch.setattr(steps, "perf_counter", lambda: 0.0)
    cache = CountingCache(tmp_path / "cache")
    paths = []
    for name in ("one", "two"):
        cache.missed.clear()
        paths.append(pack(replace(tiny_request, output=tmp_path / name), cache=cache).path)
        made = set(cache.missed)
        if name == "one":
            assert made == {"recipe", "sensitivity", "lowered", "fastest", "evaluated", "masks"}
    assert made == set()
    assert paths[0].read_bytes() == paths[1].read_bytes()


def onnx_file(model: Model, path: Path) -> Path:
    assert model.module is not None
    buffer = io.BytesIO()
    example = torch.zeros(1, 3, model.input.height, model.input.width)
    torch.onnx.export(model.module, (example,), buffer, dynamo=False, opset_version=17)  # type: ignore[arg-type]
    path.write_bytes(buffer.getvalue())
    return path


def test_what_cannot_take_the_model_is_a_row_with_the_reason(
    tiny_request: Request, fitted_model: Model, tmp_path: Path
) -> None:
    brought = registry.load(str(onnx_file(fitted_model, tmp_path / "lanes.onnx")))
    target = replace(tiny_request.target, engines=("torch", "fbgemm", "onnxruntime"))
    request = replace(tiny_request, model=brought, target=target, output=tmp_path / "x.edgeseg")
    result = pack(request, cache=Cache(tmp_path / "cache"))
    rows = {candidate.label: candidate for candidate in result.manifest.candidates}
    assert list(rows) == ["torch/float32", "onnxruntime/float32", "fbgemm/int8", "onnxruntime/int8"]
    for label in ("torch/float32", "fbgemm/int8"):
        assert rows[label].status == "failed"
        assert "the model came as ONNX" in rows[label].reason
        assert rows[label].miou is None and rows[label].p50_ms is None
    assert rows["onnxruntime/int8"].status == "winner"
    assert b"the model came as ONNX" in open_bundle(result.path).read("report.html")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("killed", "the runtime ended the process (SIGSEGV)"),
        ("raises", "no such kernel"),
        ("dies-late", "the runtime ended the process (SIGABRT)"),  # between scores and latency
    ],
)
def test_a_runtime_that_crashes_loses_and_the_tournament_goes_on(
    tiny_request: Request,
    pack_cache: Cache,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str,
    reason: str,
) -> None:
    install(tmp_path / "site", monkeypatch, behaviour)
    target = replace(tiny_request.target, engines=("rogue", "onnxruntime"))
    request = replace(tiny_request, target=target, output=tmp_path / "x.edgeseg")
    result = pack(request, cache=pack_cache)
    rows = {candidate.label: candidate for candidate in result.manifest.candidates}
    assert (rows["rogue/int8"].status, rows["rogue/int8"].reason) == ("failed", reason)
    assert rows["onnxruntime/int8"].status == "winner"


def test_a_way_that_crashes_loses_to_the_one_that_runs(
    tiny_request: Request, pack_cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch, "killed|fine")
    target = replace(tiny_request.target, engines=("rogue", "onnxruntime"))
    request = replace(tiny_request, target=target, output=tmp_path / "x.edgeseg")
    result = pack(request, cache=pack_cache)
    rows = {candidate.label: candidate for candidate in result.manifest.candidates}
    assert rows["rogue/int8"].options == {"way": "fine"}
    assert rows["rogue/int8"].p50_ms is not None


def test_a_gate_that_is_no_number_is_refused(tiny_request: Request, tmp_path: Path) -> None:
    for gate in (Gate(float("nan"), 1.0), Gate(0.5, float("inf"))):
        with pytest.raises(EdgeSegError, match="the gate's drops are points"):
            pack(replace(tiny_request, gate=gate, output=tmp_path / "x.edgeseg"))


def test_where_every_engine_fails_the_reasons_are_the_error(
    tiny_request: Request, pack_cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch, "exits")
    target = replace(tiny_request.target, engines=("rogue",))
    request = replace(tiny_request, target=target, output=tmp_path / "x.edgeseg")
    with pytest.raises(EdgeSegError, match=r"no engine could take the model: rogue/int8: .*code 7"):
        pack(request, cache=pack_cache)
    assert not list(tmp_path.glob("*edgeseg*"))


def test_nothing_passes_where_no_float_baseline_ran(
    tiny_request: Request, pack_cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch, "fine")
    target = replace(tiny_request.target, engines=("rogue",))
    request = replace(tiny_request, target=target, output=tmp_path / "x.edgeseg")
    with pytest.raises(EdgeSegError, match="no float baseline ran"):
        pack(request, cache=pack_cache)


def test_every_engine_of_the_x86_target(tiny_request: Request, tmp_path: Path) -> None:
    engines = ("torch", "fbgemm", "onnxruntime", "openvino")
    target = Target("x86", "", tiny_request.target.architecture, engines, "x86")
    request = replace(tiny_request, target=target, output=tmp_path / "x.edgeseg")
    result = pack(request, cache=Cache(tmp_path / "cache"))
    rows = {candidate.label: candidate for candidate in result.manifest.candidates}
    assert list(rows) == [
        "torch/float32",
        "onnxruntime/float32",
        "openvino/float32",
        "fbgemm/int8",
        "onnxruntime/int8",
        "openvino/int8",
    ]
    assert [r.status for r in rows.values()].count("winner") == 1
    assert not [r.reason for r in rows.values() if r.status == "failed"]
    scores = [r.miou for r in rows.values() if r.precision == "float32"]
    assert np.ptp(np.array(scores, float)) < 0.5  # one network, three runtimes
    quickest = min((r for r in rows.values() if r.precision == "int8"), key=lambda r: r.p50_ms or 0)
    assert quickest.label == result.manifest.winner


def test_a_method_changes_the_int8_rows_alone_and_the_recipe_names_it(
    tiny_request: Request, tmp_path: Path
) -> None:
    engines = ("torch", "fbgemm", "onnxruntime")
    target = Target("x86", "", tiny_request.target.architecture, engines, "x86")
    cache, rows = Cache(tmp_path / "cache"), {}
    for method in ("ptq", "equalized+qat"):
        output = tmp_path / f"{method}.edgeseg"
        request = replace(tiny_request, target=target, output=output, method=method)
        result = pack(request, cache=cache)
        rows[method] = {row.label: row for row in result.manifest.candidates}
        bundle = open_bundle(output)
        assert decode(bundle.read("recipe.json")).method == method
        with Segmenter(bundle, threads=1, trust=True) as segmenter:
            assert golden_check(bundle, segmenter, segmenter.precision).passed
    plain = rows.pop("ptq")
    for label, row in (item for method in rows.values() for item in method.items()):
        assert row.status != "failed", row.reason
        assert row.method == ("equalized+qat" if row.precision == "int8" else "")
        assert (row.iou != plain[label].iou) == (row.precision == "int8")


def labelled_otherwise(folder: Path) -> FrameSet:
    classes = ClassMap(("sky", "ground"), ((0, 0, 0), (9, 9, 9)))
    with FrameSetWriter(folder, name="other", classes=classes) as writer:
        writer.add(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))
    return FrameSet.open(folder)


def without_masks(folder: Path) -> FrameSet:
    with FrameSetWriter(folder, name="bare") as writer:
        writer.add(np.zeros((8, 8, 3), np.uint8))
    return FrameSet.open(folder)


def test_what_would_fail_later_is_refused_at_once(tiny_request: Request, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    many = replace(tiny_request.target, engines=("torch", "onnxruntime"))
    three = replace(tiny_request.target, engines=("onnxruntime", "openvino", "litert"))
    refused = {
        r"unknown method 'equalised': did you mean 'equalized'\?": {"method": "equalised"},
        r"does not compete on tiny: did you mean 'onnxruntime'\?": {"engines": ("onxruntime",)},
        "only float baselines would compete": {"engines": ("torch",), "target": many},
        "--method qat: for int8, which would not compete": {
            "engines": ("openvino",),
            "precisions": ("bfloat16",),
            "method": "qat",
            "target": three,
        },
        "--method auto, --weight-bits 4, --per-tensor, --observer mse: for int8": {
            "precisions": ("bfloat16",),
            "method": "auto",
            "observer": "mse",
            "weights": Weights(4, per_channel=False),
            "target": three,
        },
        "--weight-bits 4: for int8": {  # its activations are on the observer's ranges
            "precisions": ("w8a16",),
            "observer": "mse",
            "weights": Weights(4, per_channel=False),
            "target": three,
        },
        "names qat 2 times": {"method": "qat+qat"},
        r"competes in precision 'int4': did you mean 'int8'\?": {"precisions": ("int4",)},
        "there is no proof for target tiny": {"prove": True},
        "has frames without masks": {"evaluation": without_masks(tmp_path / "bare")},
        "labels sky, ground, but the model": {"evaluation": labelled_otherwise(tmp_path / "other")},
        "is a part of a frame set": {"evaluation": tiny_request.evaluation.take(range(2))},
        "the folder does not exist": {"output": tmp_path / "no" / "x.edgeseg"},
        "it is a folder": {"output": folder},
        "needs at least 32 .* has 6: add 26 more": {"calibration": tiny_request.evaluation},
    }
    for words, change in refused.items():
        with pytest.raises(EdgeSegError, match=words) as error:
            pack(replace(tiny_request, **change), cache=Cache(tmp_path / "cache"))  # type: ignore[arg-type]
        assert "\n" not in str(error.value)
    assert not list(folder.iterdir())
