"""``edge-seg doctor``: what this machine has, what is missing, and what installs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_seg.cli.options import Trust

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from edge_seg.doctor import Diagnosis


def command(
    self_test: Annotated[
        Path | None,
        typer.Option(metavar="BUNDLE", help="Run this bundle through every check on this device."),
    ] = None,
    trust: Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what this machine has, and the command that installs what is missing."""
    from edge_seg.cli import console
    from edge_seg.doctor import diagnose

    if self_test is not None:
        _self_test(self_test, trust, json)
        return
    diagnosis = diagnose()
    if json:
        console.print_json(diagnosis)
        return
    console.output.print(_facts(diagnosis))
    console.output.print(_parts(diagnosis))


def _self_test(bundle: Path, trust: bool, json: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from edge_seg.cli import console
    from edge_seg.errors import EdgeSegError
    from edge_seg.self_test import self_test

    result = self_test(bundle, trust, console.track)
    if json:
        console.print_json(result)
    else:
        device = result.device.model or result.machine.cpu
        table = Table(title=f"{bundle.name} on {device}, {result.runtime}", title_justify="left")
        for name in ("check", "result", "seen"):
            table.add_column(name, overflow="fold")
        for check in result.checks:
            style = None if check.ok else "red"
            table.add_row(
                check.name, "ok" if check.ok else "FAULT", Text(check.detail), style=style
            )
        console.output.print(table)
    if not result.ok:
        faults = [f"{c.name}: {c.detail}" for c in result.checks if not c.ok]
        raise EdgeSegError(f"{bundle}: {'; '.join(faults)}")


def _facts(diagnosis: Diagnosis) -> Table:
    from rich import box
    from rich.table import Table

    machine, keys, cache = diagnosis.machine, diagnosis.trusted_keys, diagnosis.cache
    table = Table("", "", title="Machine", show_header=False, box=box.SIMPLE)
    table.columns[1].overflow = "fold"
    table.add_row("edge-seg", f"{diagnosis.edge_seg}, Python {diagnosis.python}")
    table.add_row("system", diagnosis.platform)
    if diagnosis.device.model:
        table.add_row("device", diagnosis.device.model)
    table.add_row("processor", f"{machine.cpu}, {machine.cores} cores")
    for title, value in _condition(diagnosis):
        table.add_row(title, value)
    table.add_row("instructions", ", ".join(machine.isa) or "none that int8 kernels use")
    gigabytes = (diagnosis.memory_bytes / 1e9, diagnosis.memory_free_bytes / 1e9)
    table.add_row("memory", f"{gigabytes[0]:.1f} GB, {gigabytes[1]:.1f} GB free")
    table.add_row("trusted keys", f"{keys.files} in {keys.path}")
    table.add_row("cache", f"{cache.files} files, {cache.size_bytes / 1e6:.1f} MB in {cache.path}")
    return table


def _condition(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    """Yield how the device fares, as far as it tells."""
    device, state = diagnosis.device, diagnosis.device_state
    clocks = (state.clock_mhz, device.max_clock_mhz)
    words = " of ".join(f"{clock:.0f}" for clock in clocks if clock is not None)
    if words:
        governor = f", governor {device.governor}" if device.governor else ""
        yield "clock", f"{words} MHz{governor}"
    if state.temperature_c is not None:
        yield "temperature", f"{state.temperature_c:.1f} °C"
    if state.throttled is not None:
        yield "throttling", ", ".join(state.throttled) or "none reported"


def _parts(diagnosis: Diagnosis) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table("for", "part", "state", title="Parts", box=box.SIMPLE)
    table.add_column("version, or what installs it", overflow="fold")
    for part in diagnosis.parts:
        colour = "green" if part.state == "ok" else "yellow"
        detail = "; ".join(filter(None, (part.detail, part.fix)))
        state = f"[{colour}]{part.state}[/]"
        table.add_row(part.group, part.name, state, escape(detail))
    return table
