"""The words of the command line, and what the picture and the progress line say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_seg.errors import EdgeSegError
from edge_seg.training.command import (
    parse_options,
    parse_scales,
    parse_weights,
    prepare,
    spare_cores,
)
from edge_seg.training.curve import plot
from edge_seg.training.progress import describe
from edge_seg.training.settings import Settings
from edge_seg.training.state import Record


def test_words() -> None:
    assert parse_weights("1,1,2.5") == (1.0, 1.0, 2.5)
    assert parse_weights("") == ()
    assert parse_scales("0.9,1.3") == (0.9, 1.3)
    options = parse_options(["base=32", "batch_norm=false", "up=bilinear"])
    assert options == {"base": "32", "batch_norm": False, "up": "bilinear"}


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_weights, "1,x"),
        (parse_scales, "2"),
        (parse_options, ["base"]),
    ],
)
def test_wrong_words_are_one_line(parse: object, text: object) -> None:
    with pytest.raises(EdgeSegError, match="write"):
        parse(text)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("output", "start", "says"),
    [
        ("x.pt", None, "safetensors file"),
        ("missing/x.safetensors", None, "folder does not exist"),
        ("x.safetensors", "y.safetensors", "cannot start from"),
    ],
)
def test_wrong_places_are_one_line(
    tmp_path: Path, output: str, start: str | None, says: str
) -> None:
    place = tmp_path / start if start else None
    with pytest.raises(EdgeSegError, match=says):
        prepare(Settings(), tmp_path / output, place, 0)


def test_renderers_get_the_cores_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {(1, 1): 1, (2, 1): 1, (8, 1): 7, (64, 1): 16, (16, 4): 3, (2, 4): 1}
    for (cores, processes), workers in wanted.items():
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert spare_cores() == workers


def test_progress_line_and_curve(tmp_path: Path) -> None:
    record = Record(20, 0.51234, 1e-3, 9.0, {"road": 90.04}, {"road": 88.0}, 88.0)
    assert describe(record) == "loss 0.512  IoU batches road 90.0  validation road 88.0"
    plot([record], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
