"""Latency against accuracy: the chart that shows why the winner won.

scatter(data, 680)  # inline SVG, or None where no candidate was measured
"""

from __future__ import annotations

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.markers import CARETDOWN
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from edge_seg.report.axes import spread_axis
from edge_seg.report.labels import place_labels
from edge_seg.report.record import ReportData, describe, known, label
from edge_seg.report.svg import NARROW, STATUS_COLOUR, canvas, drawing, inline_svg, short

FLOOR_GATES = 3.0
"""What lies this many gates below the gate is drawn there: it would flatten the rest."""
MARKER = {"winner": "*", "passed": "o", "rejected": "v", "failed": "X", "baseline": "s"}


def scatter(data: ReportData, width: int) -> Markup | None:
    """Draw accuracy over latency with the gate; the winner is a star."""
    measured = [
        (c, c.p50_ms, c.score) for c in data.candidates if known(c.p50_ms) and known(c.score)
    ]
    if not measured:
        return None
    reference, gate = data.reference, None
    if reference is not None and known(reference.score):
        gate = reference.score - data.gate.max_drop
    top = max(score for _, _, score in measured) if gate is None else gate
    floor = top - FLOOR_GATES * max(data.gate.max_drop, 0.1)
    points = [(p50, max(score, floor)) for _, p50, score in measured]
    with drawing():
        figure = canvas(width, 400 if width > NARROW else 360)
        axes = figure.add_subplot()
        _scatter_axes(axes, points, gate)
        hover = {}
        for index, (candidate, p50, score) in enumerate(measured):
            axes.plot(
                [p50],
                [max(score, floor)],
                marker=CARETDOWN if score < floor else MARKER[candidate.status],
                ms=15 if candidate.status == "winner" else 8,
                color=STATUS_COLOUR[candidate.status],
                mew=0,
                ls="none",
                zorder=3,
                gid=f"p{index}",
            )
            hover[f"p{index}"] = describe(candidate)
        axes.set_xlabel("p50 latency, ms (left is faster)")
        axes.set_ylabel("mean IoU, %" if data.measure == "mIoU" else f"{data.measure}, %")
        figure.draw_without_rendering()  # the layout is final from here on
        figure.set_layout_engine("none")
        taken = [] if gate is None else _gate_line(axes, gate, data.gate.max_drop)
        names = [
            short(label(c), width) + (f" ({score:.1f} %)" if score < floor else "")
            for c, _, score in measured
        ]
        winner = next((i for i, (c, _, _) in enumerate(measured) if c.status == "winner"), None)
        place_labels(axes, points, names, strong=winner, taken=taken)
        alt = f"Accuracy over latency of {len(measured)} candidates; the table has the values."
        return inline_svg(figure, f"scatter{width}", alt, hover)


def _scatter_axes(axes: Axes, points: list[tuple[float, float]], gate: float | None) -> None:
    """Set the scales and limits: room for labels, and the gate always in sight."""
    xs = [x for x, _ in points]
    ys = [y for _, y in points] + ([] if gate is None else [gate])
    room = 0.15 * (max(xs) - min(xs)) or 0.2 * max(xs)
    spread_axis(axes, xs, room, 2 * room)
    tall = max(max(ys) - min(ys), 0.2)
    axes.set_ylim(min(ys) - 0.2 * tall, max(ys) + 0.2 * tall)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(True)


def _gate_line(axes: Axes, gate: float, max_drop: float) -> list[Bbox]:
    """Draw the gate and its name; return the boxes of both, in display pixels."""
    line = axes.axhline(gate, color=STATUS_COLOUR["rejected"], lw=1.2, ls=(0, (5, 4)), zorder=1)
    text = axes.annotate(
        f"gate: drop {max_drop:g}",
        (0.995, gate),
        xycoords=axes.get_yaxis_transform(),
        xytext=(0, -5),
        textcoords="offset points",
        ha="right",
        va="top",
        size=11,
        color=STATUS_COLOUR["rejected"],
    )
    return [line.get_window_extent().padded(2), text.get_window_extent()]
