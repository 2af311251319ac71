"""What ``edge-seg pack`` refuses when its options are read: no model is loaded for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import refusal

from edge_seg.errors import EdgeSegError
from edge_seg.models import registry


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-drop", "inf"], "the gate's drops are points, such as 0.5, not infinite"),
        (["--max-class-drop", "inf"], "the gate's drops are points"),
        (["--max-ms", "inf"], "the gate's time is in milliseconds, such as 50"),
        (["--qat-steps", 5], "--qat-steps: for fine-tuning alone"),
        (["--qat-steps", 100, "--method", "rounding"], "--qat-steps: for fine-tuning alone"),
        (["--labels", "--qat-steps", 5], "labels, --qat-steps: for fine-tuning alone"),
        (["--labels", "--method", "auto"], "labels: for fine-tuning alone"),
        (["--delay", 5, "--method", "qat"], "a delay needs labels"),
    ],
)
def test_it_is_refused_before_the_model_is_loaded(
    options: list[object], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "load", lambda *_: pytest.fail("it was loaded"))
    assert said in refusal("pack", "-o", tmp_path / "x.edgeseg", *options)


@pytest.mark.parametrize("method", ["auto", "qat", "equalized+qat"])
def test_steps_are_taken_where_something_may_tune(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        raise EdgeSegError("it came to the model")

    monkeypatch.setattr(registry, "load", load)
    said = refusal("pack", "-o", tmp_path / "x.edgeseg", "--qat-steps", 5, "--method", method)
    assert said == "it came to the model"
