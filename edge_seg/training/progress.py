"""Showing a training: a bar with loss and IoU on a terminal, a line now and then elsewhere.

with watch(settings.steps) as report:
    train(..., report=report)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_seg.training.loop import Report
    from edge_seg.training.state import Record


@contextlib.contextmanager
def watch(steps: int) -> Iterator[Report]:
    """Yield what to call with each line of the history; draws on stderr."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("training", total=steps, state="")

        def report(record: Record) -> None:
            text = describe(record)
            bar.update(task, completed=record.step, state=text)
            if record.val_iou is not None and record.step < steps:  # the last one is the result
                console.print(f"step {record.step}  {text}", highlight=False)

        yield report


def describe(record: Record) -> str:
    """Return a record in one line.

    >>> from edge_seg.training.state import Record
    >>> describe(Record(20, 0.5, 1e-3, 9.0, {"road": 90.0}))
    'loss 0.500  IoU batches road 90.0'
    """
    text = f"loss {record.loss:.3f}"
    if record.train_iou:
        text += f"  IoU batches {_each(record.train_iou)}"
    if record.val_iou is not None:
        text += f"  validation {_each(record.val_iou)}"
    return text


def _each(iou: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in iou.items())
