"""Calling the command line from a test, in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from edge_seg.cli.main import app
from edge_seg.errors import EdgeSegError


def edge_seg(*arguments: object) -> str:
    """Return what a command prints on stdout; its errors come through."""
    result = CliRunner().invoke(app, [str(item) for item in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(*arguments: object) -> str:
    """Return the error of a command that must refuse: bad input, one line, exit code 2."""
    result = CliRunner().invoke(app, [str(item) for item in arguments])
    error = result.exception
    assert isinstance(error, EdgeSegError), result.output + repr(error)
    assert error.exit_code == 2
    assert str(error).strip() and "\n" not in str(error)
    assert result.stdout == ""
    return str(error)
