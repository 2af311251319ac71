"""``edge-seg bench``: latency of a bundle, alone or side by side with others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_seg.cli.options import Threads, Trust


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A packed .edgeseg file.")],
    vs: Annotated[
        list[str] | None,
        typer.Option(help="Another bundle, or an engine that reads the same file; repeatable."),
    ] = None,
    frames: Annotated[int, typer.Option(min=10, help="Frames timed for each entrant.")] = 200,
    source: Annotated[str, typer.Option("--set", help="Frame set to run on.")] = "lane-test",
    threads: Threads = None,
    trust: Trust = False,
    attach: Annotated[
        bool, typer.Option("--attach", help="Add this device's latency to the (first) bundle.")
    ] = False,
    sign: Annotated[
        Path | None, typer.Option(help="With --attach: Ed25519 private key (PEM) to sign with.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Time frame to mask, stage by stage; entrants take turns, so their ratios hold."""
    import msgspec

    from edge_seg import attach as attaching
    from edge_seg.bundle.signature import load_private_key
    from edge_seg.cli import console
    from edge_seg.cli.tables import benchmark_table
    from edge_seg.comparison import measure
    from edge_seg.errors import EdgeSegError
    from edge_seg.frames import FrameSet

    if sign and not attach:
        raise EdgeSegError("--sign signs what --attach writes: give both, or `pack --sign`")
    key = load_private_key(sign) if sign else None
    if attach:
        attaching.require_attachable(bundle, key)
    frame_set = FrameSet.open(source)
    measured = measure(bundle, vs or [], frame_set, frames, threads, trust, console.track)
    benchmark = measured.benchmark
    if attach:
        attaching.attach(bundle, measured, threads, key)
        benchmark = msgspec.structs.replace(benchmark, attached=str(bundle))
    if json:
        console.print_json(benchmark)
    else:
        console.output.print(benchmark_table(benchmark))
