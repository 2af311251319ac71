"""What commands print with: bars and steps on stderr, results on stdout."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import track as rich_track

from edge_seg.files import write_bytes
from edge_seg.steps import Step

Item = TypeVar("Item")

errors = Console(stderr=True, highlight=False)
"""For progress and steps: stdout stays clean for results."""
output = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
"""For results; wide where nobody's window limits it (a pipe, a log)."""


LONG = ("fine-tuning",)
"""What takes minutes where all else takes seconds, by its description."""


def track(items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
    """Draw a bar on a terminal; pass the items on. Elsewhere say what takes minutes."""
    if not errors.is_terminal:
        return _told(items, description, total) if description in LONG else items
    return rich_track(items, f"  {description}", total or None, console=errors, transient=True)


def _told(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Pass the items on, with a line before and a line behind."""
    errors.print(f"  {'':6}    {description:22} {total} steps begin", markup=False)
    begin = perf_counter()
    yield from items
    tell(Step(description, f"{total} steps", perf_counter() - begin))


@contextlib.contextmanager
def counted(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Draw a bar on a terminal; yield what to call with (done, total or None)."""
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
    hidden = not errors.is_terminal
    with Progress(
        *columns, TimeRemainingColumn(), console=errors, transient=True, disable=hidden
    ) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextlib.contextmanager
def running(name: str) -> Iterator[None]:
    """Show on a terminal what is being done, and for how long."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    hidden = not errors.is_terminal
    with Progress(*columns, console=errors, transient=True, disable=hidden) as progress:
        progress.add_task(name, total=None)
        yield


@contextlib.contextmanager
def resumable() -> Iterator[None]:
    """Say after a Ctrl-C that the same command goes on from there."""
    try:
        yield
    except KeyboardInterrupt:
        errors.print("stopped: what is finished is kept, the same command goes on from there")
        raise


def tell(step: Step) -> None:
    """Print one finished step."""
    errors.print(f"  [dim]{step.seconds:6.1f} s[/]  {step.name:22} ", end="")
    errors.print(step.detail, markup=False)


def print_json(record: object) -> None:
    """Print a record as JSON on stdout."""
    sys.stdout.write(pretty(record).decode() + "\n")


def write_json(path: Path, record: object) -> None:
    """Write a record as JSON, whole or not at all."""
    write_bytes(path, pretty(record) + b"\n")


def pretty(record: object) -> bytes:
    """Return a record as readable JSON."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2)
