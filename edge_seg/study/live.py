"""A study on a terminal: a table that lives while jobs run; elsewhere a line for each that is done.

with Live(console) as watch:
    conduct(plan, folder, hands, watch)
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic

from rich import live
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from edge_seg.figures import figure
from edge_seg.study.jobs import Job
from edge_seg.study.records import Measured, Record, Trained
from edge_seg.study.results import Results, names_of

_COLOURS = {"failed": "red", "kept": "dim", "done": "green", "waiting": "dim"}
ROOM = 6
"""Lines of a terminal that are not the table's."""


class Live:
    """A `edge_seg.study.conduct.Watch` that draws."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._records: dict[str, Record] = {}
        self._kept: set[str] = set()
        self._doing: dict[str, tuple[str, float]] = {}
        self._live = live.Live(
            get_renderable=self._table, console=console, refresh_per_second=2, transient=True
        )

    def __enter__(self) -> Live:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def planned(self, jobs: Sequence[Job], kept: dict[str, Record]) -> None:
        """Begin the table."""
        with self._lock:
            self._jobs = {job.key: job for job in jobs}
            self._records, self._kept = dict(kept), set(kept)
        words = f"{len(jobs)} jobs" + (f", {len(kept)} of them done before" if kept else "")
        self._console.print(f"  {words}", markup=False)

    def doing(self, key: str, what: str) -> None:
        """Note what a job is at."""
        with self._lock:
            _, since = self._doing.get(key, ("", monotonic()))
            self._doing[key] = what, since

    def done(self, record: Record) -> None:
        """Note a record; where nothing is drawn, print its line."""
        with self._lock:
            self._records[record.key] = record
            self._doing.pop(record.key, None)
            number = sum(key in self._records for key in self._jobs)
        if not self._console.is_terminal:
            place = f"{number}/{len(self._jobs)}"
            line = f"  {record.seconds:6.1f} s  {place:>7}  {record.key}: {_said(record)}"
            self._console.print(line, markup=False, highlight=False)

    def _table(self) -> RenderableType:
        with self._lock:
            shown = sorted(self._jobs, key=self._rank)
            room = max(4, self._console.height - ROOM)
            table = Table(title=self._title(), title_justify="left")
            for name in ("job", "state"):
                table.add_column(name, overflow="fold")
            for name in ("score %", "MB", "s"):
                table.add_column(name, justify="right")
            timing = [key for key in self._doing if key not in self._jobs]
            for key in [*timing, *shown][:room]:
                self._add(table, key)
            if len(shown) > room:
                table.caption = f"and {len(shown) - room} more"
            return table

    def _title(self) -> str:
        done = sum(key in self._records for key in self._jobs)
        return f"study: {done} of {len(self._jobs)} jobs done"

    def _rank(self, key: str) -> int:
        """Order what runs before what waits, and both before what is done."""
        return 0 if key in self._doing else 2 if key in self._records else 1

    def _add(self, table: Table, key: str) -> None:
        record = self._records.get(key)
        if record is not None:
            state = "kept" if key in self._kept else record.status
            result = record.result if isinstance(record.result, Measured) else None
            table.add_row(
                key,
                Text(f"{state} {record.reason}".strip()),
                figure(result.score if result else None),
                figure(result.size_bytes / 1e6 if result else None),
                figure(record.seconds, 1),
                style=_COLOURS.get(state),
            )
        elif key in self._doing:
            what, since = self._doing[key]
            table.add_row(key, Text(what), "", "", figure(monotonic() - since, 0), style="bold")
        else:
            table.add_row(key, "waiting", "", "", "", style=_COLOURS["waiting"])


def _said(record: Record) -> str:
    match record.result:
        case Measured(depth=None, miou=miou, size_bytes=size):
            return f"mIoU {figure(miou)} %, {size / 1e6:.2f} MB"
        case Measured(score=ssim, size_bytes=size):
            return f"SSIM {figure(ssim)} %, {size / 1e6:.2f} MB"
        case Trained(steps=steps):
            return f"trained for {steps} steps"
        case None:
            return f"failed: {record.reason}"
    return "timed"


def results_table(results: Results) -> Table:
    """Return the rows as a table for a terminal."""
    names = names_of(results.rows)
    table = Table(title=results.study.title, title_justify="left")
    table.add_column("row", overflow="fold")
    score = "mIoU %" if results.classes.depth is None else "SSIM %"
    heads = (score, "drop", "agrees float %", "sim. %", "p50 ms", "p99 ms", "MB", "peak MB")
    for name in heads:
        table.add_column(name, justify="right")
    table.add_column("why not", overflow="fold")
    for row in results.rows:
        style = "red" if row.status == "failed" else "dim" if row.precision == "float32" else None
        table.add_row(
            names[row.key],
            figure(row.score),
            figure(row.drop),
            figure(row.agreement_float),
            figure(row.agreement_simulation),
            figure(row.p50_ms, 1),
            figure(row.p99_ms, 1),
            figure(row.size_bytes and row.size_bytes / 1e6),
            figure(row.peak_rss_bytes and row.peak_rss_bytes / 1e6, 0),
            Text(row.reason or row.not_timed),
            style=style,
        )
    return table
