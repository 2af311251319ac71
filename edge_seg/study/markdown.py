"""A study's table and conclusion as Markdown, for a page of the documentation.

write_markdown(Path("docs/studies/mine.md"), results)

A file that has the marks ``<!-- study NAME -->`` and ``<!-- end -->`` keeps what is around them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edge_seg.errors import EdgeSegError
from edge_seg.figures import figure
from edge_seg.files import write_bytes
from edge_seg.study.results import Results, Row, names_of

END = "<!-- end -->"
HEADS = (
    "drop",
    "worst class drop",
    "agrees with float, %",
    "with the simulation, %",
    "p50 ms",
    "p99 ms",
    "file MB",
    "weights MB",
    "peak MB",
)
DEPTH_HEADS = ("MSE", "relative error, %")


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
    """Return conclusion, table, and on what it was measured."""
    names = names_of(results.rows)
    form = "quick form; " if results.quick else ""
    lines = [*(f"- {line}." for line in results.conclusion), ""]
    depth = results.classes.depth is not None
    heads = ["row", "SSIM, %" if depth else "mIoU, %", *HEADS, *(DEPTH_HEADS if depth else ())]
    lines += _table(heads, (_cells(row, names) for row in results.rows))
    timed = f"{results.timed_frames} frames side by side" if results.timed_frames else "not timed"
    tools = ", ".join(f"{name} {version}" for name, version in sorted(results.versions.items()))
    lines += [
        "",
        f"({form}calibrated on {results.calibration}, evaluated on the {len(results.images)} "
        f"frames of {results.evaluation}; latency: {timed}, {results.machine.cpu}, "
        f"{results.machine.cores} cores; weights: bits / 8 a weight, computed. {tools}.)",
        "",
    ]
    return "\n".join(lines)


def _cells(row: Row, names: dict[str, str]) -> list[str]:
    if row.status == "failed":
        return [names[row.key], f"failed: {row.reason.replace('|', '/')}", *[""] * len(HEADS)]
    drops = [drop for drop in row.class_drop.values() if drop is not None]
    errors = row.depth
    depths = [] if errors is None else [f"{errors.mse:.5f}", figure(errors.abs_rel)]
    return [
        names[row.key],
        figure(row.score),
        figure(row.drop),
        figure(max(drops, default=None)),
        figure(row.agreement_float),
        figure(row.agreement_simulation),
        figure(row.p50_ms, 1),
        figure(row.p99_ms, 1),
        figure(row.size_bytes and row.size_bytes / 1e6),
        figure(row.weight_bytes and row.weight_bytes / 1e6),
        figure(row.peak_rss_bytes and row.peak_rss_bytes / 1e6, 0),
        *depths,
    ]


def _table(heads: Iterable[str], rows: Iterable[list[str]]) -> list[str]:
    top = list(heads)
    lines = [top, ["---"] * len(top), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
