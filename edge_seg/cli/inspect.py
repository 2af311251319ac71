"""``edge-seg inspect BUNDLE``: what is inside, as a table, as JSON, or taken out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_seg.figures import figure

if TYPE_CHECKING:
    from rich.table import Table

    from edge_seg.bundle import Bundle
    from edge_seg.bundle.manifest import Manifest


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The .edgeseg file.")],
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write the bundle's HTML report to this file.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Write the engine's model file to this file.")
    ] = None,
) -> None:
    """Show what a bundle holds and what was measured; nothing in it is run."""
    from edge_seg.bundle import open_bundle
    from edge_seg.cli import console
    from edge_seg.cli.tables import driven_table
    from edge_seg.files import require_apart, write_bytes

    require_apart([goal for goal in (report, model) if goal], [bundle])
    opened = open_bundle(bundle)
    for goal, member in ((report, "report.html"), (model, opened.manifest.model_file)):
        if goal is not None:
            write_bytes(goal, opened.read(member))
    if json:
        print(opened.manifest_bytes.decode())
    elif report is None and model is None:
        driven = [driven_table(opened.manifest.driven)] if opened.manifest.driven else []
        for table in (_facts(opened), _candidates(opened), *driven, _files(opened)):
            console.output.print(table)


def _facts(bundle: Bundle) -> Table:
    """Return what a person asks first: what is it, for what, from what."""
    from rich import box
    from rich.table import Table

    manifest = bundle.manifest
    mean, std = (
        ", ".join(f"{v:g}" for v in vs) for vs in (manifest.input.mean, manifest.input.std)
    )
    rows = {
        "name": manifest.name,
        "for": f"{manifest.device or manifest.target} ({manifest.architecture})",
        "engine": _engine(manifest),
        "model": f"{manifest.model.name} {manifest.model.digest[:16]}",
        "input": f"{manifest.input.height}x{manifest.input.width}, mean {mean}, std {std}",
        "classes": str(manifest.classes),
        "digest": bundle.digest,
        "signed by": bundle.signature.fingerprint if bundle.signature else "not signed",
        "golden frames": str(len(manifest.golden)),
    }
    for title, frames in (
        ("calibrated on", manifest.calibration),
        ("measured on", manifest.evaluation),
    ):
        if frames is not None:
            rows[title] = f"{frames.name}, {frames.frames} frames, {frames.digest[:16]}"
    if manifest.machine is not None:
        rows["machine"] = f"{manifest.machine.cpu}, {manifest.machine.cores} cores"
    for proof in manifest.proven:
        rows[f"proven on {proof.processor}"] = (
            f"{proof.identical} of {proof.frames} masks identical, worst "
            f"{proof.agreement_min:.2f} % of pixels, with its own resize "
            f"{figure(proof.camera_agreement_min)} % ({proof.emulator}, {proof.runtime} "
            f"{proof.runtime_version})"
        )
    for latency in manifest.latencies:
        total = latency.stages.get("total", {})
        figures = ", ".join(f"{name} {value:.1f} ms" for name, value in total.items())
        rows[f"measured on {latency.device}"] = f"{latency.frames} frames, {figures}"
    table = Table("", "", title="Bundle", show_header=False, box=box.SIMPLE)
    table.columns[1].overflow = "fold"
    for title, value in rows.items():
        table.add_row(title, _plain(value))
    return table


def _engine(manifest: Manifest) -> str:
    engine = manifest.engine
    precisions = " or ".join([manifest.precision, *manifest.alternatives])
    if engine.runtime_version:
        runtime = f"{engine.runtime} {engine.runtime_version}"
        return f"{engine.name} {precisions}, measured with {runtime}"
    where = " on the DLA" if manifest.options.get("dla") else ""
    which = ", whichever the device finds faster" if manifest.alternatives else ""
    return f"{engine.name} {precisions}{where}{which} (edge-seg build there)"


def _candidates(bundle: Bundle) -> Table:
    """Return the tournament: a row a candidate, losers and failures too."""
    from rich import box
    from rich.table import Table

    table = Table(title="Candidates", box=box.SIMPLE)
    table.add_column("candidate", overflow="fold")
    score = "mIoU %" if bundle.manifest.classes.depth is None else "SSIM %"
    for title in (score, "drop", "p50 ms", "p99 ms", "MB"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for row in bundle.manifest.candidates:
        megabytes = None if row.size_bytes is None else row.size_bytes / 1e6
        numbers = (row.score, row.drop, row.p50_ms, row.p99_ms, megabytes)
        cells = [figure(number) for number in numbers]
        by = f"run by {row.run_by} in its place" if row.run_by else ""
        how = "; ".join(filter(None, [row.method if row.method != "ptq" else "", by]))
        table.add_row(_plain(row.label), *cells, row.status, _plain(row.reason or how))
    return table


def _files(bundle: Bundle) -> Table:
    """Return the files inside, with size and digest."""
    from rich import box
    from rich.table import Table

    table = Table("file", "sha256", title="Files", box=box.SIMPLE)
    table.add_column("bytes", justify="right")
    for name, member in sorted(bundle.manifest.members.items()):
        table.add_row(name, member.sha256[:16], str(member.size))
    return table


def _plain(text: str) -> str:
    """Return text from a bundle so that it can move no cursor and colour nothing."""
    from rich.markup import escape

    return escape("".join(char if char.isprintable() else "?" for char in text))
