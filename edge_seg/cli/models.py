"""``edge-seg models``: the networks by name, how large they are and what they learnt from."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the networks that have a name: those that ship trained, and those to train."""
    from edge_seg.cli import console
    from edge_seg.models.catalogue import catalogue

    entries = catalogue()
    if json:
        console.print_json(entries)
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for heading in ("name", "parameters", "GMAC", "input", "weights", "trained on"):
        table.add_column(heading, justify="left" if heading in ("name", "trained on") else "right")
    for entry in entries:
        table.add_row(
            entry.name,
            f"{entry.parameters / 1e6:.2f} M",
            f"{entry.gmac:.2f}",
            f"{entry.input_height}x{entry.input_width}",
            f"{entry.weights_bytes / 1e6:.2f} MB" if entry.weights_bytes else "none",
            entry.trained_on or f"nothing yet: edge-seg train --model {entry.name} ...",
        )
    console.output.print(table)
