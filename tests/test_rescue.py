"""A network with a known weak layer: exactly that one goes back to float, and the gate holds."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from edge_seg import engines
from edge_seg.bundle.archive import open_bundle
from edge_seg.bundle.manifest import Candidate, Gate
from edge_seg.cache import Cache
from edge_seg.engines import Engine
from edge_seg.engines.lowering import Source
from edge_seg.engines.session import Options
from edge_seg.metrics import Evaluation
from edge_seg.models.model import Model, from_network
from edge_seg.packer import Request, Result, pack
from edge_seg.packing.rescue import Rescued, hold_gate
from edge_seg.packing.tournament import Arena, Contestant
from edge_seg.quantize import recipe
from edge_seg.quantize.sensitivity import LayerNoise

GATE = Gate(0.5, 1.0)


def with_dead_channel(network: nn.Module, weight: float) -> nn.Sequential:
    """Add a channel that is always 0 to the last layer's input, with a huge weight on it.

    The float masks stay as they are; the last layer's int8 grid has no place left for its
    other weights.
    """
    layers = list(copy.deepcopy(network))  # type: ignore[arg-type]
    third, last = layers[3], layers[5]
    width, classes = last.in_channels, last.out_channels
    wider = nn.Conv2d(third.in_channels, width + 1, 3, padding=1)
    taller = nn.Conv2d(width + 1, classes, 1)
    with torch.no_grad():
        wider.weight.zero_()
        wider.weight[:width], wider.bias[:width] = third.weight, third.bias
        wider.bias[width] = -1.0
        taller.weight.fill_(weight)
        taller.weight[:, :width], taller.bias[:] = last.weight, last.bias
    layers[3], layers[5] = wider, taller
    return nn.Sequential(*layers)


def with_one_loud_channel(network: nn.Module, factor: float) -> nn.Sequential:
    """Make one channel between the last layers louder by ``factor``, and listen less to it.

    The float masks stay as they are; the tensor between the two has one range for all channels.
    """
    changed = copy.deepcopy(network)
    assert isinstance(changed, nn.Sequential)
    with torch.no_grad():
        changed[3].weight[0] *= factor
        changed[3].bias[0] *= factor
        changed[5].weight[:, 0] /= factor
    return changed


def pack_network(network: nn.Module, request: Request, folder: Path) -> Result:
    model = request.model
    changed = from_network("weak", network, model.input, model.classes, "made weak")
    asked = replace(request, model=changed, gate=GATE, output=folder / "weak.edgeseg")
    return pack(asked, cache=Cache(folder / "cache"))


def int8(result: Result) -> Candidate:
    (row,) = [c for c in result.manifest.candidates if c.precision == "int8"]
    return row


def test_the_one_weak_layer_goes_back_to_float(
    fitted_model: Model, tiny_request: Request, tmp_path: Path
) -> None:
    assert fitted_model.module is not None
    result = pack_network(with_dead_channel(fitted_model.module, 1e4), tiny_request, tmp_path)
    row = int8(result)
    assert result.held
    assert row.status == "winner"
    assert row.float_layers == ["5"]
    assert row.drop is not None and row.drop <= GATE.max_drop
    packed = recipe.decode(open_bundle(result.path).read("recipe.json"))
    assert packed.float_layers == ("5",)
    assert set(packed.layers) == {"0", "3", "5"}


def test_a_bad_tensor_takes_both_its_neighbours_along(
    fitted_model: Model, tiny_request: Request, tmp_path: Path
) -> None:
    assert fitted_model.module is not None
    result = pack_network(with_one_loud_channel(fitted_model.module, 1e3), tiny_request, tmp_path)
    assert result.held
    assert int8(result).float_layers == ["3", "5"]


def test_a_network_that_cannot_be_helped_says_what_was_tried(
    fitted_model: Model, tiny_request: Request, tmp_path: Path
) -> None:
    # A gate that asks for a gain of ten points: no number of layers in float gives that.
    asked = replace(tiny_request, gate=Gate(-10.0, 100.0), output=tmp_path / "lane.edgeseg")
    result = pack(asked, cache=Cache(tmp_path / "cache"))
    row = int8(result)
    assert row.status == "rejected"
    assert "mean IoU drops" in row.reason
    assert "up to 2 layers were tried back in float" in row.reason
    assert not result.held
    assert result.path == tmp_path / "lane.edgeseg.rejected"
    assert not asked.output.exists()
    kept = open_bundle(result.path)
    assert kept.manifest.gate is not None and not kept.manifest.gate.held
    assert b"layers were tried back in float" in kept.read("report.html")
    assert str(result.path) in result.message and "--max-drop" in result.message


LAYERS = ("c", "a", "b", "d", "e", "f")
"""The noisiest first; half of them, three, may go back to float."""
GAINS = {"a": 4.0, "b": 3.0, "c": 2.0}
"""Points of mean IoU that a layer in float wins back: of float's 90, int8 has 80."""
COSTS = {"a": 3.0, "b": 1.0, "c": 0.5}
"""Milliseconds that a layer in float adds to the 3 of int8."""


def scores(miou: float) -> Evaluation:
    return Evaluation(
        miou=miou,
        iou={},
        dice={},
        boundary_f1={},
        boundary_tolerance_px=2.0,
        pixel_accuracy=None,
        confusion=[],
        confusion_classes=[],
        frames=1,
        per_frame_miou=[miou],
        frame_set="made",
        frame_set_digest="",
    )


@dataclass(frozen=True)
class MadeArena(Arena):
    """Every layer in float is worth what `GAINS` says; nothing is lowered or run."""

    gains: Mapping[str, float] = field(default_factory=lambda: GAINS)

    def lower(self, engine: Engine, precision: str, options: Options) -> Contestant:
        return Contestant(engine, precision, options, b"", self.source)

    def evaluate(self, contestant: Contestant) -> tuple[Evaluation, int]:
        return scores(80.0 + sum(self.gains.get(n, 0.0) for n in contestant.float_layers)), 1


def rescued(
    allowed: Gate, costs: Mapping[str, float] = COSTS, engine: Engine | None = None
) -> Rescued:
    decided = recipe.Recipe(model_digest="", calibration_digest="", layers=LAYERS, ranges={})
    source = Source(None, None, decided, ())  # type: ignore[arg-type]
    arena = MadeArena(source, None, None)  # type: ignore[arg-type]
    int8 = arena.lower(engine or engines.find("onnxruntime"), "int8", {})
    noise = [LayerNoise(name, float(index)) for index, name in enumerate(LAYERS)]

    def median_ms(mix: Contestant) -> float:
        assert allowed.max_p50_ms is not None, "without a budget nothing is timed"
        return 3.0 + sum(costs.get(name, 0.0) for name in mix.float_layers)

    given = Rescued(int8, *arena.evaluate(int8))
    return hold_gate(arena, given, scores(90.0), allowed, lambda source: noise, median_ms)


@pytest.mark.parametrize(
    ("max_drop", "max_ms", "layers", "miou", "over"),
    [
        (0.0, None, ("a", "b", "c"), 89.0, ""),
        (6.0, None, ("a",), 84.0, ""),
        (0.0, 7.5, ("a", "b", "c"), 89.0, ""),
        (0.0, 7.0, ("a", "b"), 87.0, "1 layer more in float would cost 7.50 ms"),
        (0.0, 6.5, ("a", "c"), 86.0, "1 layer more in float would cost 7.00 ms"),
        (0.0, 5.0, ("b", "c"), 85.0, "1 layer more in float would cost 6.00 ms"),
        (7.0, 5.0, ("b",), 83.0, "1 layer more in float would cost 6.00 ms"),
        (0.0, 3.5, ("c",), 82.0, "the cheapest of 2 layers more in float would cost 4.00 ms"),
        (0.0, 3.2, (), 80.0, "the cheapest of 3 layers more in float would cost 3.50 ms"),
    ],
)
def test_layers_go_back_as_far_as_the_budget_reaches(
    max_drop: float, max_ms: float | None, layers: tuple[str, ...], miou: float, over: str
) -> None:
    """Worked by hand: a, b, c is the order of gain, and 3 ms the time of int8 alone."""
    kept = rescued(Gate(max_drop, math.inf, max_p50_ms=max_ms))
    assert (kept.contestant.float_layers, kept.evaluation.miou) == (layers, miou)
    assert sorted(kept.tried) == list(layers)
    said = f"{over} a frame: over the budget of {max_ms:g}" if over else ""
    assert kept.note == said


def test_what_wins_most_goes_first_even_where_two_others_would_win_more() -> None:
    # a takes the whole budget and wins 4 points; b and c would have won 5 in the same time.
    kept = rescued(Gate(0.0, math.inf, max_p50_ms=5.0), {"a": 2.0, "b": 1.0, "c": 1.0})
    assert (kept.contestant.float_layers, kept.evaluation.miou) == (("a",), 84.0)


def test_a_stand_ins_time_is_no_budget() -> None:
    elsewhere = replace(
        engines.find("onnxruntime"), runtime="no_such_runtime", stand_in="onnxruntime"
    )
    kept = rescued(Gate(0.0, math.inf, max_p50_ms=1.0), engine=elsewhere)
    assert (kept.contestant.float_layers, kept.note) == (("a", "b", "c"), "")


def test_a_pack_keeps_a_weak_layer_int8_where_the_budget_does_not_reach(
    fitted_model: Model, tiny_request: Request, tmp_path: Path
) -> None:
    model = tiny_request.model
    weak = with_dead_channel(fitted_model.module, 1e4)  # type: ignore[arg-type]
    asked = replace(
        tiny_request,
        model=from_network("weak", weak, model.input, model.classes, "made weak"),
        gate=Gate(GATE.max_drop, GATE.max_class_drop, max_p50_ms=1e-6),
        output=tmp_path / "weak.edgeseg",
    )
    result = pack(asked, cache=Cache(tmp_path / "cache"))
    row = int8(result)
    assert (row.status, row.float_layers) == ("rejected", [])
    (note,) = row.tried
    assert note.startswith("the cheapest of 2 layers more in float would cost ")
    assert note.endswith(" ms a frame: over the budget of 1e-06")
    assert note in open_bundle(result.path).read("report.html").decode()
    assert "no candidate holds the accuracy, and none is as fast as asked" in result.message
    assert "mean IoU drops" in result.message and "1e-06 allowed" in result.message
