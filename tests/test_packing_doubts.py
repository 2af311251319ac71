"""What a pack warns of: a network that tells nothing apart, told wherever the table is read."""

from __future__ import annotations

import copy
import html
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from edge_seg import metrics
from edge_seg.bundle.archive import open_bundle
from edge_seg.bundle.manifest import Gate
from edge_seg.cache import Cache
from edge_seg.classes import LANE
from edge_seg.frames import FrameSet
from edge_seg.models.model import Model, from_network
from edge_seg.packer import Request, pack, record
from edge_seg.packing.doubts import doubts, only_class
from edge_seg.packing.judging import Judged
from edge_seg.quantize.learn.lesson import Settings


@pytest.fixture(scope="module")
def evaluations(few_frames: FrameSet) -> dict[str, metrics.Evaluation]:
    """The scores of masks that are right, and of masks of one class."""
    right = (few_frames.mask(index) for index in range(len(few_frames)))
    road = np.ones(few_frames.image(0).shape[:2], np.uint8)
    return {
        "right": metrics.evaluate(lambda frame: next(right), few_frames),  # type: ignore[arg-type, return-value]
        "road": metrics.evaluate(lambda frame: road, few_frames),
    }


def test_the_one_class_is_found(evaluations: dict[str, metrics.Evaluation]) -> None:
    assert only_class(evaluations["right"]) == ""
    assert only_class(evaluations["road"]) == "road"
    # One pixel of another class is enough to have several.
    matrix = copy.deepcopy(evaluations["road"].confusion)
    matrix[0][0] += 1
    assert only_class(msgspec.structs.replace(evaluations["road"], confusion=matrix)) == ""


def test_the_float_network_is_blamed_before_the_winner(
    evaluations: dict[str, metrics.Evaluation],
) -> None:
    def rows(floats: str, winner: str, other: str = "right") -> list[Judged]:
        return [
            Judged("torch", "float32", evaluation=evaluations[floats]),
            Judged("onnxruntime", "float32", failed="no kernel"),
            Judged("openvino", "int8", evaluation=evaluations[winner]),
            Judged("litert", "int8", evaluation=evaluations[other]),
        ]

    assert doubts(rows("right", "right", "road"), "openvino/int8") == []
    (line,) = doubts(rows("road", "road"), "openvino/int8")
    assert line.startswith("the float network itself predicts only 'road' on few-roads: ")
    (line,) = doubts(rows("right", "road"), "openvino/int8")
    assert line.startswith("openvino/int8 predicts only 'road' on few-roads: ")


def test_weights_of_zero_win_with_a_warning_everywhere(
    tiny_request: Request, fitted_model: Model, pack_cache: Cache, tmp_path: Path
) -> None:
    network = copy.deepcopy(fitted_model.module)
    assert isinstance(network, torch.nn.Sequential)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    model = from_network("empty", network, fitted_model.input, LANE, "nothing")
    asked = replace(tiny_request, model=model, output=tmp_path / "x.edgeseg")
    result = pack(asked, cache=pack_cache)
    (line,) = result.warnings
    assert line.startswith("the float network itself predicts only 'background' on few-roads")
    assert record(result).warnings == [line]
    opened = open_bundle(result.path)
    assert line in html.unescape(opened.read("report.html").decode())
    assert f"\n**Warning**: T{line[1:]}\n\n- Weights: " in opened.read("MODEL_CARD.md").decode()


def test_the_card_says_what_the_method_did(
    tiny_request: Request, fitted_model: Model, pack_cache: Cache, tmp_path: Path
) -> None:
    asked = replace(
        tiny_request,
        model=fitted_model,
        method="rounding+qat",
        lesson=Settings(steps=2),
        gate=Gate(100, 100),
        output=tmp_path / "x.edgeseg",
    )
    result = pack(asked, cache=pack_cache)
    assert result.warnings == []
    card = open_bundle(result.path).read("MODEL_CARD.md").decode()
    assert "\n- Method rounding+qat, ranges by minmax\n- Fine-tuning: the loss on held-out" in card
    assert "Warning" not in card
