"""The words of the command line, and what the picture and the progress line say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_seg.cli.main import app
from edge_seg.errors import EdgeSegError
from edge_seg.training.command import (
    crop_of,
    parse_options,
    parse_scales,
    parse_weights,
    prepare,
    spare_cores,
)
from edge_seg.training.curve import plot
from edge_seg.training.progress import describe
from edge_seg.training.settings import Settings
from edge_seg.training.state import Record, config_of


def test_words() -> None:
    assert parse_weights("1,1,2.5") == (1.0, 1.0, 2.5)
    assert parse_weights(None) == ()
    assert parse_scales("0.9,1.3") == (0.9, 1.3)
    options = parse_options(["base=32", "batch_norm=false", "up=bilinear"])
    assert options == {"base": "32", "batch_norm": False, "up": "bilinear"}


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_weights, "1,x"),
        (parse_weights, ""),
        (parse_weights, "1,,3"),
        (parse_scales, "2"),
        (parse_options, ["base"]),
    ],
)
def test_wrong_words_are_one_line(parse: object, text: object) -> None:
    with pytest.raises(EdgeSegError, match="write"):
        parse(text)  # type: ignore[operator]


def test_a_crop_is_of_what_the_network_sees() -> None:
    assert crop_of((256, 512), None) == (192, 384)
    assert crop_of((128, 512), None) == (128, 384)
    assert crop_of((256, 512), (256, 512)) == (256, 512)
    for more in ((257, 512), (192, 513)):
        with pytest.raises(EdgeSegError, match=r"--crop \d+x\d+ is more .* sees, 256x512: take"):
            crop_of((256, 512), more)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--prune", ""), "'' are no shares to prune"),
        (("--prune", "0.5,"), "'0.5,' are no shares to prune"),
        (("--prune", "0,,0"), "write 0.25, or one for each size"),
        (("--prune", "nan"), "--prune takes shares of 0 or above, below 1, not nan"),
        (("--prune", "0.5,1"), "below 1, not 0.5,1"),
        (("--class-weights", ""), "'' are no class weights"),
        (("--class-weights", "1,1,nan"), "class weights are 0 or above, not 1,1,nan"),
        (("--scales", "2,1"), "the small one first, not 2,1"),
        (("--crop", "300x512"), "--crop 300x512 is more than the network sees, 256x512"),
        (("--option", "classes=7"), "'classes' is no option: it comes from the frames' masks"),
        (("--option", "width=64"), "'width' is no option: it comes from --size; leave it out"),
    ],
)
def test_the_command_refuses_what_would_do_nothing(
    options: tuple[str, str], says: str, tmp_path: Path
) -> None:
    words = ["train", "--train", "lane-mini", "--val", "lane-test"]
    words += ["-o", str(tmp_path / "x.safetensors"), "--steps", "1", *options]
    error = CliRunner().invoke(app, words).exception
    assert isinstance(error, EdgeSegError), error
    assert says in str(error) and "\n" not in str(error)
    assert not list(tmp_path.iterdir())


def test_a_typo_of_an_option_is_not_answered_with_what_is_none() -> None:
    with pytest.raises(EdgeSegError, match="no option 'widht': did you mean 'widths'") as error:
        config_of(Settings(options={"widht": 3}), 3, 64, 64)
    known = str(error.value).partition("known: ")[2].split(", ")
    assert known == ["base", "batch_norm", "depth", "stem_stride", "up", "widths"]


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
