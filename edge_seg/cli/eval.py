"""``edge-seg eval``: how accurate a bundle is on a frame set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_seg.cli.options import Threads, Trust


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A packed .edgeseg file.")],
    frames: Annotated[str, typer.Argument(metavar="SET", help="A frame set with masks.")],
    tolerance: Annotated[
        float,
        typer.Option(min=0, max=1000, help="Pixels that boundaries may be apart and still match."),
    ] = 3.0,
    threads: Threads = None,
    trust: Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Score a bundle's masks: IoU, Dice, boundary F1, confusion."""
    from edge_seg.classes import require_same
    from edge_seg.cli import console
    from edge_seg.cli.tables import evaluation_table
    from edge_seg.frames import FrameSet
    from edge_seg.metrics import evaluate
    from edge_seg.segmenter import Segmenter

    opened = FrameSet.open(frames)
    with Segmenter(bundle, threads=threads, trust=trust) as segmenter:
        require_same(
            opened.classes,
            segmenter.classes,
            (f"'{opened.name}'", "the bundle"),
            "name a set that is labelled as the bundle's model was taught",
        )
        with console.counted("evaluating") as progress:
            evaluation = evaluate(segmenter, opened, progress, tolerance)
    if json:
        console.print_json(evaluation)
    else:
        console.output.print(evaluation_table(evaluation))
