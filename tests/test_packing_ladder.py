"""The ladder of methods: who needs which rung, and what is told of those left out."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from test_rescue import GATE, int8, with_dead_channel, with_one_loud_channel

from edge_seg.bundle.archive import open_bundle
from edge_seg.bundle.manifest import Gate
from edge_seg.cache import Cache
from edge_seg.engines.lowering import Source
from edge_seg.errors import EdgeSegError
from edge_seg.models.model import Model, from_network
from edge_seg.packer import Request, Result, pack
from edge_seg.packing import ladder as ladders
from edge_seg.packing.deciding import decide, network_frames
from edge_seg.packing.ladder import RUNGS, Ladder
from edge_seg.packing.methods import improve, parse_method
from edge_seg.progress import silent
from edge_seg.quantize import float_graph
from edge_seg.quantize.learn.lesson import Settings
from edge_seg.quantize.recipe import Weights, decode
from edge_seg.steps import Steps

QUICK = Settings(steps=4, check_every=2)


def pack_auto(
    model: Model, request: Request, folder: Path, gate: Gate = GATE, steps: Steps | None = None
) -> Result:
    asked = replace(
        request, model=model, gate=gate, method="auto", lesson=QUICK, output=folder / "a.edgeseg"
    )
    return pack(asked, steps, cache=Cache(folder / "cache"))


def changed(model: Model, network: object) -> Model:
    return from_network("changed", network, model.input, model.classes, "changed")  # type: ignore[arg-type]


def source_of(request: Request, model: Model, cache: Cache) -> Source:
    graph, frames = float_graph(model), network_frames(request.calibration, model)
    return Source(model, graph, decide(request, graph, frames, cache, silent), frames)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("ptq", ()),
        ("equalized", ("equalize", "correct")),
        ("qat", ("correct", "tune")),
        ("ptq+qat", ("correct", "tune")),
        ("qat+equalized", ("equalize", "correct", "tune")),
        ("rounding+observers", ("observe", "round")),
    ],
)
def test_a_chain_is_its_methods_steps_in_one_order(text: str, steps: tuple[str, ...]) -> None:
    assert parse_method(text) == steps


def test_an_unknown_part_of_a_chain_is_named() -> None:
    with pytest.raises(EdgeSegError, match="unknown method 'qta': did you mean 'qat'"):
        parse_method("equalized+qta")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("equalized+equalized", "names equalized 2 times"),
        ("qat+rounding+qat", "names qat 2 times"),
        ("qat+ptq", "every method begins with the ranges of ptq; name it first, or leave it out"),
        ("ptq+ptq", "names ptq 2 times"),
        ("qat+auto", "'auto' stands alone"),
    ],
)
def test_a_chain_of_no_sense_is_refused(text: str, says: str) -> None:
    with pytest.raises(EdgeSegError, match=says):
        parse_method(text)


def test_auto_stays_with_ranges_where_they_hold_the_gate(
    tiny_request: Request, tmp_path: Path
) -> None:
    row = int8(pack_auto(tiny_request.model, tiny_request, tmp_path))
    assert (row.status, row.method, row.tried) == ("winner", "ptq", [])


def test_auto_cures_a_loud_channel_by_equalization_and_nothing_goes_back_to_float(
    fitted_model: Model, tiny_request: Request, tmp_path: Path
) -> None:
    """Ranges alone need two layers in float here (`test_rescue`)."""
    assert fitted_model.module is not None
    loud = changed(fitted_model, with_one_loud_channel(fitted_model.module, 1e3))
    result = pack_auto(loud, tiny_request, tmp_path)
    row = int8(result)
    assert result.held
    assert (row.method, row.float_layers) == ("equalized", [])
    assert len(row.tried) == 1 and row.tried[0].startswith("ptq: ")
    bundle = open_bundle(result.path)
    assert decode(bundle.read("recipe.json")).method == "equalized"
    assert "ptq: mean IoU drops" in bundle.read("report.html").decode()


def test_auto_ends_with_layers_in_float_where_no_method_helps(
    fitted_model: Model, tiny_request: Request, tmp_path: Path
) -> None:
    assert fitted_model.module is not None
    dead = changed(fitted_model, with_dead_channel(fitted_model.module, 1e4))
    details: list[str] = []
    steps = Steps(lambda step: details.append(step.detail))
    result = pack_auto(dead, tiny_request, tmp_path, steps=steps)
    row = int8(result)
    assert row.status == "winner"
    assert row.float_layers == ["5"]
    left_out = [line for line in row.tried if " is left out: " in line]
    assert left_out and row.tried[0].startswith("ptq: ")
    # On stderr, in the bundle's JSON (above) and in the report.
    (detail,) = [line for line in details if " after " in line]
    report = html.unescape(open_bundle(result.path).read("report.html").decode())
    for line in left_out:
        assert line in detail and line in report
    assert f"what counts is {row.method} with 1 layer in float" in report


def test_a_rung_that_adds_noise_is_left_out_and_said(tiny_request: Request, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    ladder = Ladder(source_of(tiny_request, tiny_request.model, cache), cache, silent, QUICK)
    rungs = list(ladder)
    signals = [rung.sqnr_db for rung in rungs]
    assert rungs[0].method == "ptq" and signals == sorted(signals)
    assert len(rungs) + len(ladder.said) == 5
    assert all("is left out: " in line and " dB" in line for line in ladder.said)
    assert [rung.method for rung in ladder] == [rung.method for rung in rungs]  # kept


def test_the_first_rung_has_few_bits_in_the_module_too(
    tiny_request: Request, tmp_path: Path
) -> None:
    """fbgemm, qnnpack and LiteRT start from it: they would be judged on weights of seven bits."""
    cache, request = Cache(tmp_path / "cache"), replace(tiny_request, weights=Weights(2))
    ladder = Ladder(source_of(request, request.model, cache), cache, silent, QUICK)
    first = next(iter(ladder))
    assert first.source.model.module is not None
    kernels = [p for p in first.source.model.module.parameters() if p.dim() == 4]
    for channel in (kernel[0].detach().abs().unique() for kernel in kernels):
        assert len(channel) <= 2  # nothing, or the one magnitude that two bits have


SIGNALS = {
    "ptq": 20.0,
    "equalized": 26.0,
    "equalized+observers": 25.0,
    "equalized+rounding": 27.0,
    "equalized+rounding+qat": 30.0,
}
"""Decibels of made chains: equalizing helps, observers do not."""


class MadeLadder(Ladder):
    """Takes each chain's decibels from `SIGNALS`."""

    def _signal(self, source: Source) -> float:
        return SIGNALS[source.recipe.method]


def made_ladder(request: Request, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ladder:
    def improve(method: str, given: Source, *rest: object) -> Source:
        if method not in SIGNALS:
            raise EdgeSegError(f"a chain of another order: {method}")
        return replace(given, recipe=msgspec.structs.replace(given.recipe, method=method))

    monkeypatch.setattr(ladders, "improve", improve)
    cache = Cache(folder / "cache")
    return MadeLadder(source_of(request, request.model, cache), cache, silent)


def test_rungs_come_in_the_order_of_their_cost_and_build_on_the_last_that_was_kept(
    tiny_request: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder = made_ladder(tiny_request, tmp_path, monkeypatch)
    assert [(rung.method, rung.sqnr_db) for rung in ladder] == [
        ("ptq", 20.0),
        ("equalized", 26.0),
        ("equalized+rounding", 27.0),
        ("equalized+rounding+qat", 30.0),
    ]
    assert ladder.said == [
        "observers is left out: 25.0 dB of signal to noise, without it 26.0",
    ]
    assert RUNGS == ("equalized", "observers", "rounding", "qat")


def test_a_rung_tells_of_those_left_out_below_it_alone(
    tiny_request: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder = made_ladder(tiny_request, tmp_path, monkeypatch)
    # Twice: an engine that stops early does not hear of what another left out further up.
    for _ in range(2):
        assert [len(rung.left_out) for rung in ladder] == [0, 0, 1, 1]


def test_an_operator_that_a_method_does_not_know_is_said(
    tiny_request: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder = made_ladder(tiny_request, tmp_path, monkeypatch)

    def refuse(*rest: object) -> Source:
        raise EdgeSegError("Cos is no operator that it knows")

    monkeypatch.setattr(ladders, "improve", refuse)
    assert [rung.method for rung in ladder] == ["ptq"]
    assert ladder.said == [f"{n} is left out: Cos is no operator that it knows" for n in RUNGS]


def test_fewer_bits_reach_the_graph_the_module_and_the_recipe(
    tiny_request: Request, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    request = replace(tiny_request, weights=Weights(bits=2))
    source = improve("ptq", source_of(request, request.model, cache), cache, silent)
    assert source.recipe.weights.bits == 2
    assert source.model.module is not None
    weight = source.model.module.get_submodule("3").weight.detach()  # type: ignore[union-attr]
    for channel in weight:  # type: ignore[union-attr]
        assert len(channel.abs().unique()) <= 2  # a magnitude, and zero


def test_a_budget_that_nothing_meets_keeps_the_nearest(
    tiny_request: Request, tmp_path: Path
) -> None:
    output = tmp_path / "lane.edgeseg"
    asked = replace(tiny_request, gate=Gate(0.5, 1.0, max_p50_ms=1e-6), output=output)
    result = pack(asked, cache=Cache(tmp_path / "cache"))
    assert not result.held and not output.exists()
    assert result.path == tmp_path / "lane.edgeseg.rejected"
    assert "ms a frame, 1e-06 allowed" in result.message and "--max-ms" in result.message
    fine = replace(asked, gate=Gate(0.5, 1.0, max_p50_ms=1e6))
    assert pack(fine, cache=Cache(tmp_path / "cache")).held
