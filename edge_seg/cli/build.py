"""``edge-seg build``: a bundle's engines, built and timed on the device ahead of the first run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_seg.cli.options import Threads, Trust

if TYPE_CHECKING:
    from rich.table import Table

    from edge_seg.choice import Choice


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A packed .edgeseg file.")],
    threads: Threads = None,
    trust: Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build what a bundle runs with here, test and time it, and keep the fastest.

    `run` and the ROS node do the same at their first frame; a Jetson takes minutes for it.
    """
    from edge_seg.bundle.archive import open_bundle
    from edge_seg.choice import choose
    from edge_seg.cli import console
    from edge_seg.segmenter import require_runnable

    opened = open_bundle(bundle)
    require_runnable(opened, trust)
    choice = choose(opened, threads, console.track)
    if json:
        console.print_json(choice)
        return
    if choice.trials:
        console.output.print(_table(choice))
    if choice.hardware:
        line = f"{choice.precision} runs here, on {choice.hardware}"
    else:
        line = f"nothing to build: {opened.manifest.engine.name} runs the bundle's file as it is"
    console.output.print(line, markup=False, soft_wrap=True)


def _table(choice: Choice) -> Table:
    """Return what was tried: a row a precision and way of running it."""
    from rich.table import Table
    from rich.text import Text

    from edge_seg.figures import figure

    table = Table(title=f"engines on {choice.hardware}", title_justify="left")
    table.add_column("precision")
    table.add_column("way")
    for name in ("p50 ms", "golden %"):
        table.add_column(name, justify="right")
    table.add_column("fault", overflow="fold")
    for trial in choice.trials:
        way = ", ".join(f"{name} {value}" for name, value in sorted(trial.options.items()))
        best = (trial.precision, trial.options) == (choice.precision, choice.options)
        table.add_row(
            trial.precision,
            way,
            figure(trial.p50_ms),
            figure(trial.agreement_min),
            Text(trial.fault),
            style="bold green" if best else "red" if trial.fault else None,
        )
    return table
