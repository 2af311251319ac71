"""``edge-seg targets``: the kinds of devices that a bundle can be packed for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer


def command(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed targets and the engines that compete on each."""
    from edge_seg.cli import console
    from edge_seg.target import installed

    targets = installed()
    if json:
        rows = [{**asdict(target), "prove": target.prove is not None} for target in targets]
        for row in rows:
            del row["require_prover"]
        console.print_json(rows)
        return
    from rich import box
    from rich.table import Table

    table = Table("name", "also", "architecture", "engines", "description", box=box.SIMPLE)
    for target in targets:
        names = (target.name, ", ".join(target.aliases), target.architecture)
        table.add_row(*names, ", ".join(target.engines), target.description)
    console.output.print(table)
