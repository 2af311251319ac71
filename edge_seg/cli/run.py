"""``edge-seg run``: masks and overlays of any frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_seg.cli.options import Threads, Trust

if TYPE_CHECKING:
    from edge_seg.runner import RunSummary


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A packed .edgeseg file.")],
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Image, folder, video, frame set, camera (0, camera:0, camera:pi), or a simulated "
            "one (world:Town, carla:HOST:PORT).",
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for masks and overlays.")
    ] = Path("masks"),
    overlay: Annotated[
        bool, typer.Option("--overlay/--no-overlay", help="Also draw masks over frames.")
    ] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after N frames.")] = None,
    threads: Threads = None,
    trust: Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Segment frames: OUT/NAME.png holds class ids, OUT/NAME.overlay.jpg (or .mp4) shows them.

    Of a depth bundle OUT/NAME.png is 16-bit grey, 256 times the metres.
    """
    from edge_seg.cli import console
    from edge_seg.errors import EdgeSegError
    from edge_seg.frames.sources import open_source
    from edge_seg.runner import run
    from edge_seg.segmenter import Segmenter

    frames = open_source(source)
    with Segmenter(bundle, threads=threads, trust=trust) as segmenter:
        summary = run(segmenter, frames, out, overlay, limit, console.track)
    if json:
        console.print_json(summary)
    else:
        _tell(summary, out)
    if summary.unreadable and frames.is_stream:
        raise EdgeSegError("; ".join(summary.unreadable))
    if summary.unreadable:
        raise EdgeSegError(
            f"{len(summary.unreadable)} of {frames.count} files could not be read, "
            "the others are done: " + "; ".join(summary.unreadable)
        )


def _tell(summary: RunSummary, out: Path) -> None:
    from edge_seg.cli import console

    total = summary.stages["total"]
    console.output.print(
        f"{summary.frames} frames, {total.p50_ms:.1f} ms a frame (p99 {total.p99_ms:.1f}), "
        f"{summary.fps:.1f} fps; masks in {out}",
        markup=False,
        soft_wrap=True,
    )
