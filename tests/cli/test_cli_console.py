"""What commands print where there is no terminal, and after a Ctrl-C."""

from __future__ import annotations

import re

import pytest

from edge_seg.cli import console


def test_what_takes_minutes_has_a_line_before_and_behind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = []
    for index in console.track(range(3), "fine-tuning", 3):
        said.append(index)
        lines = capsys.readouterr().err.splitlines()
        assert [line.split() for line in lines] == (
            [["fine-tuning", "3", "steps", "begin"]] if index == 0 else []
        )
    assert said == [0, 1, 2]
    assert re.fullmatch(r" +0\.0 s +fine-tuning +3 steps\n", capsys.readouterr().err)


def test_what_takes_seconds_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(console.track(range(3), "scoring", 3)) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_a_ctrl_c_says_that_the_command_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), console.resumable():
        raise KeyboardInterrupt
    assert capsys.readouterr().err == (
        "stopped: what is finished is kept, the same command goes on from there\n"
    )
    with pytest.raises(ValueError, match="odd"), console.resumable():
        raise ValueError("odd")
    assert capsys.readouterr().err == ""
