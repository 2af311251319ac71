"""``edge-seg targets``: the kinds of devices that a bundle can be packed for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edge_seg.target import Target


def command(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed targets and the engines that compete on each."""
    from edge_seg.cli import console
    from edge_seg.target import installed

    targets = installed()
    if json:
        console.print_json([_row(target) for target in targets])
        return
    from rich import box
    from rich.table import Table

    table = Table("name", "also", "architecture", "engines", "description", box=box.SIMPLE)
    for target in targets:
        names = (target.name, ", ".join(target.aliases), target.architecture)
        table.add_row(*names, ", ".join(target.engines), target.description)
    console.output.print(table)


def _row(target: Target) -> dict[str, Any]:
    """Return what is known of a target, as JSON takes it."""
    return {
        "name": target.name,
        "aliases": target.aliases,
        "description": target.description,
        "architecture": target.architecture,
        "devices": [kind.name for kind in target.devices],
        "engines": target.engines,
        "extra": target.extra,
        "prove": target.prove is not None,
    }
