"""Who competes, who wins, and what a target's proof has to say about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_seg.bundle.archive import open_bundle
from edge_seg.bundle.manifest import Candidate, Proof
from edge_seg.cache import Cache
from edge_seg.packer import Request, pack
from edge_seg.packing.judging import LEVEL, choose
from edge_seg.packing.request import entrants
from edge_seg.progress import Track
from edge_seg.target import find


def passed(engine: str, p50_ms: float, size_bytes: int) -> Candidate:
    return Candidate(
        engine=engine, precision="int8", status="passed", p50_ms=p50_ms, size_bytes=size_bytes
    )


def test_the_fastest_wins() -> None:
    quick, small = passed("quick", 10.0, 900), passed("small", 10.0 * LEVEL + 0.1, 100)
    assert choose([small, quick]) is quick


def test_of_those_that_are_level_the_smallest_wins() -> None:
    quick, small = passed("quick", 10.0, 900), passed("small", 10.0 * LEVEL - 0.1, 100)
    assert choose([quick, small]) is small
    assert choose([passed("one", 10.0, 100), passed("two", 9.9, 100)]).engine == "two"  # type: ignore[union-attr]


def test_on_a_pi_w8a16_competes_only_where_it_is_asked_for(tiny_request: Request) -> None:
    request = replace(tiny_request, target=find("rpi"))
    usual = entrants(request)
    assert usual[:2] == [("torch", "float32"), ("litert", "float32")]
    assert set(usual[2:]) == {
        ("litert", "int8"),
        ("litert", "float16"),
        ("litert", "dynamic"),
        ("qnnpack", "int8"),
    }
    asked = entrants(replace(request, precisions=("w8a16",)))
    assert asked[2:] == [("litert", "w8a16")]


def proof(passed: bool) -> Proof:
    return Proof(
        processor="cortex-a53",
        emulator="an emulator",
        runtime="onnxruntime",
        runtime_version="1",
        frames=2,
        identical=2 if passed else 0,
        agreement_min=100.0 if passed else 42.0,
        passed=passed,
    )


def test_a_proof_is_kept_in_the_bundle_and_shown_in_its_report(
    tiny_request: Request, pack_cache: Cache, tmp_path: Path
) -> None:
    seen: list[int] = []

    def prove(bundle: Path, track: Track) -> list[Proof]:
        seen.append(len(open_bundle(bundle).manifest.golden))
        return [proof(True)]

    target = replace(tiny_request.target, prove=prove)
    request = replace(tiny_request, target=target, prove=True, output=tmp_path / "x.edgeseg")
    result = pack(request, cache=pack_cache)
    bundle = open_bundle(result.path)
    assert result.held and seen == [4]
    assert bundle.manifest.proven == [proof(True)]
    assert b"emulated cortex-a53" in bundle.read("report.html")


def test_a_bundle_that_is_disproved_is_set_aside(
    tiny_request: Request, pack_cache: Cache, tmp_path: Path
) -> None:
    target = replace(tiny_request.target, prove=lambda bundle, track: [proof(False)])
    request = replace(tiny_request, target=target, prove=True, output=tmp_path / "x.edgeseg")
    result = pack(request, cache=pack_cache)
    assert not result.held
    assert result.path.name == "x.edgeseg.rejected" and not request.output.exists()
    assert "cortex-a53 only 42.00 %" in result.message


@pytest.mark.parametrize("name", ["rpi", "pi", "raspberry-pi"])
def test_a_pi_has_a_proof(name: str) -> None:
    target = find(name)
    assert (target.name, target.architecture, target.extra) == (
        "raspberry-pi",
        "aarch64",
        "raspberry-pi",
    )
    assert target.prove is not None
