"""The horizontal axis of charts of accuracy against what it costs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

LOG_SPREAD = 5.0
"""Values that differ by more than this factor are drawn on a logarithmic axis."""


def spread_axis(axes: Axes, xs: Sequence[float], before: float, behind: float) -> None:
    """Set the x axis' scale and limits, with room before the lowest and behind the highest value.

    ``before`` and ``behind`` are in the values' own units; a logarithmic axis has room of its own.
    """
    if max(xs) / max(min(xs), 1e-9) > LOG_SPREAD:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        room = (max(xs) / min(xs)) ** 0.12
        axes.set_xlim(min(xs) / room, max(xs) * room**2)
    else:
        axes.set_xlim(max(0.0, min(xs) - before), max(xs) + behind)
