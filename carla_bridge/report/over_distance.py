"""What happened over the distance: one run's error, speed and steering; or drivers side by side.

profile(trace, speed_kmh=30.0, width=520, key="run3")
compared({"0": {"int8": trace, "float": other}}, ["int8", "float"], width=680, key="route0")
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from carla_bridge.evaluation.record import Trace
from carla_bridge.report.colours import SERIES, inline
from edge_seg.report.svg import LINE, MUTED, STATUS_COLOUR, canvas, drawing

Column = npt.NDArray[np.float64]

PANEL = 92
"""Height of one chart of a stack, CSS pixels."""
LEFT, RIGHT, BOTTOM, TOP = 56, 12, 40, 12
"""Room about a stack for its names and numbers, CSS pixels."""


def profile(trace: Trace, speed_kmh: float, width: int, key: str) -> Markup | None:
    """Draw error, speed, steering, and mask IoU where there is one, over metres of the route."""
    if len(trace.tick) < 2:
        return None
    iou = _column(trace.mask_iou) * 100
    rows: list[tuple[str, Column]] = [
        ("error, m", _column(trace.cross_track_m)),
        ("km/h", _column(trace.speed_mps) * 3.6),
        ("steer", _column(trace.steer)),
    ]
    if np.isfinite(iou).any():
        rows.append(("mask IoU, %", iou))
    with drawing():
        figure, panels = _stack(width, len(rows))
        for axes, (name, values) in zip(panels, rows, strict=True):
            known = np.isfinite(values)
            axes.plot(np.array(trace.progress_m)[known], values[known], color=SERIES[0], lw=1.3)
            axes.set_ylabel(name, size=11)
        _about_zero(panels[0], 0.5)
        _about_zero(panels[2], 0.1)
        if len(panels) > 3:
            panels[3].set_ylim(max(0.0, np.nanmin(iou) - 5), 101)
        panels[1].axhline(speed_kmh, color=MUTED, lw=0.9, ls=(0, (4, 3)), zorder=1)
        panels[1].set_ylim(bottom=0)
        _shade(panels[0], trace, trace.outside, STATUS_COLOUR["failed"])
        for axes in panels:
            _shade(axes, trace, trace.guided, LINE)
        alt = f"Error, speed and steering of {trace.key} over {trace.progress_m[-1]:.0f} m."
        return inline(figure, key, alt, {})


def compared(
    rows: dict[str, dict[str, Trace]], drivers: list[str], width: int, key: str
) -> Markup | None:
    """Draw cross-track errors of several drivers over the same route, a chart each latency.

    ``rows`` are latency -> driver -> trace; ``drivers`` have the colours of `SERIES` in turn.
    None where there is nothing to compare.
    """
    if sum(map(len, rows.values())) < 2:
        return None
    with drawing():
        figure, panels = _stack(width, len(rows))
        for axes, (latency, traces) in zip(panels, rows.items(), strict=True):
            for driver, trace in traces.items():
                colour = SERIES[drivers.index(driver) % len(SERIES)]
                axes.plot(trace.progress_m, trace.cross_track_m, color=colour, lw=1.3)
            axes.set_ylabel("error, m", size=11)
            _about_zero(axes, 0.5)
            axes.text(0.008, 0.96, latency, transform=axes.transAxes, va="top", size=11)
        alt = f"Cross-track error of {', '.join(drivers)} over the route, by latency."
        return inline(figure, key, alt, {})


def _stack(width: int, count: int) -> tuple[Figure, list[Axes]]:
    """Return charts one above the other that share the distance; laid out by hand, for speed."""
    height = count * (PANEL + TOP) + BOTTOM
    figure = canvas(width, height)
    figure.set_layout_engine("none")
    panels: list[Axes] = []
    for row in range(count):
        bottom = (BOTTOM + (count - 1 - row) * (PANEL + TOP)) / height
        place = (LEFT / width, bottom, 1 - (LEFT + RIGHT) / width, PANEL / height)
        axes = figure.add_axes(place, sharex=panels[0] if panels else None)
        axes.grid(True)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_label_coords(-(LEFT - 12) / width, 0.5)
        axes.tick_params(labelbottom=row == count - 1)
        axes.margins(x=0.01)
        panels.append(axes)
    panels[-1].set_xlabel("distance along the route, m")
    return figure, panels


def _about_zero(axes: Axes, least: float) -> None:
    """Give a signed quantity an axis with zero in its middle, and not narrower than ``least``."""
    low, high = axes.get_ylim()
    reach = max(-low, high, least)
    axes.set_ylim(-reach, reach)
    axes.axhline(0, color=LINE, lw=1.2, zorder=1)


def _shade(axes: Axes, trace: Trace, flags: list[bool], colour: str) -> None:
    """Shade the stretches of the route where the flag was set."""
    where = np.asarray(flags, dtype=bool)
    if where.any():
        edge = axes.get_xaxis_transform()
        axes.fill_between(
            trace.progress_m, 0, 1, where=where, color=colour, alpha=0.35, lw=0, transform=edge
        )


def _column(values: list[float] | list[float | None]) -> Column:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
