"""How a fine-tuning went: the loss at each check, taught and held out.

learning(data, 680)      # inline SVG, or None where nothing was fine-tuned
shown_checks(data.learning)  # what it shows of a long one
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from edge_seg.report.axes import LOG_SPREAD
from edge_seg.report.record import CheckRow, ReportData, kept_check, known
from edge_seg.report.svg import STATUS_COLOUR, canvas, drawing, inline_svg

HELD_OUT, TAUGHT = STATUS_COLOUR["winner"], STATUS_COLOUR["baseline"]
MOST = 60
"""Checks that are shown; a hundred thousand steps have five thousand."""
FEW = 20
"""Checks whose dots do not touch on a phone."""


def shown_checks(rows: Sequence[CheckRow]) -> list[CheckRow]:
    """Return up to `MOST` checks that gave numbers, evenly spread, and the one that was kept."""
    rows = [row for row in rows if known(row.taught) and known(row.held_out)]
    last = len(rows) - 1
    chosen = {round(index * last / (MOST - 1)) for index in range(MOST)} if last >= MOST else None
    kept = kept_check(rows)
    return [row for n, row in enumerate(rows) if chosen is None or n in chosen or row is kept]


def learning(data: ReportData, width: int) -> Markup | None:
    """Draw both losses over the steps; the check that was kept is a star."""
    rows = shown_checks(data.learning)
    kept = kept_check(rows)
    if len(rows) < 2 or kept is None:
        return None
    unit = "squared error" if data.classes.depth else "nats a pixel"
    with drawing():
        figure = canvas(width, 300)
        axes = figure.add_subplot()
        taught = rows[1:]  # at step 0 nothing was taught
        axes.plot(
            [row.step for row in taught],
            [row.taught for row in taught],
            color=TAUGHT,
            lw=1.4,
            ls=(0, (5, 3)),
            marker="s",
            ms=4 if len(rows) <= FEW else 2,
            mew=0,
            label="taught",
        )
        steps, held_out = [row.step for row in rows], [row.held_out for row in rows]
        axes.plot(steps, held_out, color=HELD_OUT, lw=1.8, label="held out")
        hover = {}
        for index, row in enumerate(rows):
            mark, size = ("*", 15) if row is kept else ("o", 7 if len(rows) <= FEW else 4)
            gid = f"p{index}"
            axes.plot([row.step], [row.held_out], mark, ms=size, mew=0, color=HELD_OUT, gid=gid)
            hover[gid] = _said(row, unit) + (", kept" if row is kept else "")
        _loss_axis(axes, [*held_out, *(row.taught for row in taught)])
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("step")
        axes.set_ylabel(f"loss, {unit}")
        axes.grid(True)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2, frameon=False)
        alt = f"Loss at {len(rows)} checks of the fine-tuning; the table has the values."
        return inline_svg(figure, f"learning{width}", alt, hover)


def _said(row: CheckRow, unit: str) -> str:
    taught = f", taught {row.taught:.3g}" if row.step else ""
    return f"step {row.step}: held out {row.held_out:.3g} {unit}{taught}"


def _loss_axis(axes: Axes, losses: list[float]) -> None:
    """Set the scale: logarithmic for losses far apart, else from zero."""
    if min(losses) > 0 and max(losses) / min(losses) > LOG_SPREAD:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    else:
        axes.set_ylim(min(0.0, *losses), 1.08 * max(*losses, 1e-9))
        axes.yaxis.set_major_locator(MaxNLocator(5))
