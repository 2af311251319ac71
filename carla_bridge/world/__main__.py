"""The built-in world alone: ``python -m carla_bridge.world --map Town --port 2000``.

The options are those of ``edge-seg world``.
"""

from __future__ import annotations

import sys

import typer

from carla_bridge.cli.world import command
from edge_seg.errors import EdgeSegError


def main() -> None:
    """Serve until told to end; bad input is one line and exit code 2."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    try:
        app()
    except EdgeSegError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
