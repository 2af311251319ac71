"""A study's command, conclusion and tables as Markdown, for a page of the documentation.

write_markdown(Path("docs/studies/mine.md"), results)

A file that has the marks ``<!-- study NAME -->`` and ``<!-- end -->`` keeps what is around them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from edge_seg.errors import EdgeSegError
from edge_seg.figures import figure
from edge_seg.files import write_bytes
from edge_seg.packing.contents import AGREEMENT_GOAL, _why_apart
from edge_seg.study.plan import shipped
from edge_seg.study.results import Results, Row, names_of

END = "<!-- end -->"
SCORES = ("row", "mIoU, %", "Dice, %", "drop", "worst class drop")
DEPTH_SCORES = ("row", "SSIM, %", "MSE", "relative error, %", "drop")
HEADS = (
    "agrees with float, %",
    "with the simulation, %",
    "p50 / p99 ms",
    "of float's time",
    "frames/s",
    "file MB",
    "weights MB",
    "peak MB",
)
LONGEST = ("longest", "second", "third", "fourth")
"""The columns of operators; all others of a row are in one."""


def write_markdown(path: Path, results: Results) -> None:
    """Write a whole file, or what is between a file's marks; raises `EdgeSegError`."""
    begin = f"<!-- study {results.study.name} -->"
    part = f"{begin}\n\n{to_markdown(results)}\n{END}"
    if not path.exists():
        text = f"# {results.study.title}\n\n{results.study.question}\n\n{part}\n"
        write_bytes(path, text.encode())
        return
    before, mark, rest = path.read_text(encoding="utf-8").partition(begin)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise EdgeSegError(
            f"{path} has no marks '{begin}' and '{END}': add them, or name a new file"
        )
    write_bytes(path, f"{before}{part}{after}".encode())


def to_markdown(results: Results) -> str:
    """Return the command, conclusion, tables, and on what it was measured."""
    names = names_of(results.rows)
    lines = [f"    {command(results)}", "", *(f"- {line}." for line in results.conclusion), ""]
    depth = results.classes.depth is not None
    heads = [*(DEPTH_SCORES if depth else SCORES), *HEADS]
    lines += _table(heads, (_cells(row, names, depth) for row in results.rows))
    lines += ["", f"({_measured_on(results)})", ""]
    lines += [] if depth else _reasons(results)
    lines += _operators(results, names)
    return "\n".join(lines)


def command(results: Results) -> str:
    """Return the command that makes a page, with other figures where the machine is another.

    A study that does not ship is of a file, here by the study's name.
    """
    name = results.study.name
    quick = " --quick" if results.quick else ""
    of = name if name in shipped() else f"{name}.toml"
    return f"edge-seg study {of}{quick} -o {name}.study --markdown {name}.md"


def _measured_on(results: Results) -> str:
    form = "quick form; " if results.quick else ""
    timed = f"{results.timed_frames} frames side by side" if results.timed_frames else "not timed"
    sessions = {row.session for row in results.rows if row.session is not None}
    if len(sessions) > 1:
        timed += f" in {len(sessions)} sessions, float in each: compare shares of its time"
    tools = ", ".join(f"{name} {version}" for name, version in sorted(results.versions.items()))
    return (
        f"{form}calibrated on {results.calibration}, evaluated on the {len(results.images)} "
        f"frames of {results.evaluation}; latency: {timed}, {results.machine.cpu}, "
        f"{results.machine.cores} cores; frames/s: 1000 / p50; weights: computed as if all "
        f"had the row's bits, 7 as 8. {tools}."
    )


def _cells(row: Row, names: dict[str, str], depth: bool) -> list[str]:
    if row.status == "failed":
        empty = [""] * (len(HEADS) + len(SCORES) - 2)
        return [names[row.key], f"failed: {row.reason.replace('|', '/')}", *empty]
    ms = "-" if row.p50_ms is None else f"{figure(row.p50_ms, 1)} / {figure(row.p99_ms, 1)}"
    return [
        names[row.key],
        *(_depth_scores(row) if depth else _scores(row)),
        figure(row.agreement_float),
        figure(row.agreement_simulation),
        ms,
        figure(row.share_of_time),
        figure(row.p50_ms and 1000 / row.p50_ms, 1),
        figure(row.size_bytes and row.size_bytes / 1e6),
        figure(row.weight_bytes and row.weight_bytes / 1e6),
        figure(row.peak_rss_bytes and row.peak_rss_bytes / 1e6, 0),
    ]


def _scores(row: Row) -> list[str]:
    drops = [drop for drop in row.class_drop.values() if drop is not None]
    worst = max(drops, default=None)
    return [figure(value) for value in (row.score, _dice(row), row.drop, worst)]


def _dice(row: Row) -> float | None:
    """Return the mean over the classes, each pooled over the set as IoU is."""
    known = [value for value in row.dice.values() if value is not None]
    return float(np.mean(known)) if known else None


def _depth_scores(row: Row) -> list[str]:
    errors = row.depth
    if errors is None:
        return ["-", "-", "-", "-"]
    return [figure(row.score), f"{errors.mse:.5f}", figure(errors.abs_rel), figure(row.drop)]


def _reasons(results: Results) -> list[str]:
    """Say of each engine whose masks are apart from the simulation's what the packer knows of it.

    Of depths nothing is known: they agree within a 255th of the scale, and no class is decided.
    """
    apart: dict[str, list[float]] = defaultdict(list)
    for row in results.rows:
        share = row.agreement_simulation
        if share is not None and share < AGREEMENT_GOAL:
            apart[row.engine].append(share)
    if not apart:
        return []
    found = [
        f"- {engine}, {_rows(len(shares))} down to {figure(min(shares))} %: {_why_apart(engine)}."
        for engine, shares in apart.items()
    ]
    said = (
        f"Rows whose masks are those of the simulation on less than {AGREEMENT_GOAL} % of pixels. "
        "The reasons are the packer's, known of the engines and not found on these rows:"
    )
    return [said, "", *found, ""]


def _rows(count: int) -> str:
    return "one row," if count == 1 else f"{count} rows,"


def _operators(results: Results, names: dict[str, str]) -> list[str]:
    """Return the operators of each profiled row that take longest, in ms a frame and in percent."""
    rows = [row for row in results.rows if results.profiles.get(row.key)]
    if not rows:
        return []
    heads = ["operators of", "all, ms", *LONGEST, "the rest"]
    cells = ([names[row.key], *_longest(results.profiles[row.key])] for row in rows)
    said = (
        "Milliseconds a frame by operator, ONNX Runtime's own profile of a variant's float row and "
        "of its first int8 row; each was run alone, so a sum is not the p50 above."
    )
    return [said, "", *_table(heads, cells), ""]


def _longest(times: dict[str, float]) -> Iterator[str]:
    whole = sum(times.values())

    def share(value: float) -> str:
        return f"{figure(value)} ({figure(100 * value / whole, 0)} %)"

    ordered = sorted(times.items(), key=lambda item: -item[1])
    yield figure(whole)
    shown = [f"{kind} {share(value)}" for kind, value in ordered[: len(LONGEST)]]
    yield from shown + [""] * (len(LONGEST) - len(shown))
    rest = [value for _, value in ordered[len(LONGEST) :]]
    yield share(sum(rest)) if rest else ""


def _table(heads: Iterable[str], rows: Iterable[list[str]]) -> list[str]:
    top = list(heads)
    lines = [top, ["---"] * len(top), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
