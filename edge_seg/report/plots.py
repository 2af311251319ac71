"""The bar charts of the report, each a function from the record to inline SVG, or None.

    ranges(data, MEDIUM)  # activation ranges
    ranges(data, NARROW)  # the same, laid out for a phone

A chart is None where there is nothing to draw. Widths are in CSS pixels.
"""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from edge_seg.report.record import RangeRow, ReportData, describe, known, label, ratio
from edge_seg.report.svg import INK, LINE, STATUS_COLOUR, canvas, drawing, inline_svg, short

WORST_LAYERS = 20
WIDEST_RANGES = 30


def sizes(data: ReportData, width: int) -> Markup | None:
    """Draw the size of each candidate's file as a bar."""
    measured = [(c, c.size_bytes / 1e6) for c in data.candidates if c.size_bytes is not None]
    if not measured:
        return None
    measured.sort(key=lambda pair: pair[1])
    rows = [c for c, _ in measured]
    megabytes = [size for _, size in measured]
    reference = data.reference
    whole = reference.size_bytes if reference is not None else None
    texts = []
    for candidate, size in zip(rows, megabytes, strict=True):
        share = ratio(candidate.size_bytes, whole)
        texts.append(f"{size:.2f} MB" + ("" if share is None else f"  ({share:.2f})"))
    colours = [STATUS_COLOUR[c.status] for c in rows]
    names = [label(c) for c in rows]
    alt = f"Size of {len(rows)} candidates' files."
    hover = [describe(c) for c in rows]
    key = f"sizes{width}"
    return _bars(key, width, 32, names, megabytes, texts, colours, hover, alt, "MB")


def sensitivity(data: ReportData, width: int) -> Markup | None:
    """Draw the layers that suffer most from quantization, the worst on top."""
    rows = sorted((r for r in data.sensitivity if known(r.sqnr_db)), key=lambda r: r.sqnr_db)
    rows = rows[:WORST_LAYERS]
    if not rows:
        return None
    texts, hover = [], []
    for row in rows:
        text = f"{row.sqnr_db:.1f} dB"
        if row.float:
            text += ", float"
        texts.append(text)
        hover.append(f"{row.layer}: {text}")
    colours = [STATUS_COLOUR["rejected" if r.float else "passed"] for r in rows]
    names = [r.layer for r in rows]
    values = [r.sqnr_db for r in rows]
    alt = f"Signal to quantization noise of the {len(rows)} most sensitive layers."
    key = f"sensitivity{width}"
    unit = "dB (less is worse)"
    return _bars(key, width, 24, names, values, texts, colours, hover, alt, unit)


def _bars(
    key: str,
    width: int,
    pitch: int,
    names: list[str],
    values: list[float],
    texts: list[str],
    colours: list[str],
    hover: list[str],
    alt: str,
    unit: str,
) -> Markup:
    """Draw horizontal bars, the first on top, each with its name and its value in words."""
    with drawing():
        figure = canvas(width, pitch * len(names) + 40)
        axes = figure.add_subplot()
        places = range(len(names))
        bars = axes.barh(places, values, height=0.62, color=colours)
        for index, bar in enumerate(bars):
            bar.set_gid(f"b{index}")
            start = max(values[index], 0.0)
            axes.annotate(
                texts[index],
                (start, index),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                size=11,
            )
        axes.set_yticks(places, [short(name, width) for name in names], color=INK)
        axes.set_ylim(len(names) - 0.4, -0.6)
        # Each bar must leave room for its words; the bars have about 0.7 of the width.
        room = [1 - 6.8 * len(text) / (0.7 * width) for text in texts]
        widest = max(v / max(share, 0.2) for v, share in zip(values, room, strict=True))
        axes.set_xlim(min(0.0, *values), max(widest, 1e-9))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel(unit)
        axes.spines["left"].set_visible(False)
        axes.grid(True, axis="x")
        return inline_svg(figure, key, alt, {f"b{i}": text for i, text in enumerate(hover)})


def class_bars(data: ReportData, width: int) -> Markup | None:
    """Draw the IoU of each class, the float reference beside the winner."""
    reference, winner = data.reference, data.winner
    shown = [c for c in (reference, winner) if c is not None and c.iou]
    if not shown:
        return None
    names = list(data.classes.names)
    with drawing():
        figure = canvas(width, (20 * len(shown) + 14) * len(names) + 56)
        axes = figure.add_subplot()
        thick = 0.74 / len(shown)
        hover = {}
        for order, candidate in enumerate(shown):
            colour = STATUS_COLOUR[candidate.status]
            for index, name in enumerate(names):
                value = candidate.iou.get(name)
                if not known(value):
                    continue
                place = index + (order - (len(shown) - 1) / 2) * thick
                gid = f"c{order}-{index}"
                axes.barh(place, value, height=thick * 0.88, color=colour)[0].set_gid(gid)
                axes.text(value + 1, place, f"{value:.2f}", va="center", size=11)
                hover[gid] = f"{name}, {label(candidate)}: IoU {value:.2f} %"
        axes.set_yticks(range(len(names)), [short(name, width) for name in names], color=INK)
        axes.set_ylim(len(names) - 0.45, -0.55)
        axes.set_xlim(0, 116)
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel("IoU, %")
        axes.spines["left"].set_visible(False)
        axes.grid(True, axis="x")
        alt = f"IoU of {len(names)} classes; the table beside it has the values."
        return inline_svg(figure, f"classes{width}", alt, hover)


def ranges(data: ReportData, width: int) -> Markup | None:
    """Draw the widest activation ranges, in the order of the model.

    The axis is logarithmic on both sides of zero, and linear closer to it than a hundredth
    of the widest range (matplotlib's symmetric logarithmic scale).
    """
    rows = [r for r in data.ranges if known(r.low) and known(r.high)]
    if not rows:
        return None
    widest = {id(r) for r in sorted(rows, key=_span, reverse=True)[:WIDEST_RANGES]}
    rows = [r for r in rows if id(r) in widest]
    with drawing():
        figure = canvas(width, 17 * len(rows) + 48)
        axes = figure.add_subplot()
        hover = {}
        for index, row in enumerate(rows):
            text = f"{row.tensor}: {row.low:.4g} to {row.high:.4g}"
            colour = STATUS_COLOUR["passed"]
            bar = axes.barh(index, _span(row), left=row.low, height=0.56, color=colour)
            bar[0].set_gid(f"r{index}")
            hover[f"r{index}"] = text
        _symmetric_log(axes, rows)
        axes.axvline(0, color=LINE, lw=1.2)
        axes.set_yticks(range(len(rows)), [short(r.tensor, width) for r in rows], color=INK)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", labelsize=10.5)
        axes.set_xlabel("value, logarithmic")
        axes.spines["left"].set_visible(False)
        axes.grid(True, axis="x")
        alt = f"Activation ranges of {len(rows)} tensors; the table below has the values."
        return inline_svg(figure, f"ranges{width}", alt, hover)


def _symmetric_log(axes: Axes, rows: list[RangeRow]) -> None:
    ends = [v for r in rows for v in (r.low, r.high) if known(v)]
    largest = max(max(abs(v) for v in ends), 1e-9)
    axes.set_xscale("symlog", linthresh=largest / 100, linscale=0.5)
    decade = 10.0 ** np.floor(np.log10(largest))
    ticks = [0.0] + [sign * decade / part for sign in (1, -1) for part in (1, 10)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    axes.set_xlim(low * 1.3, high * 1.3 or largest / 100)
    axes.set_xticks([t for t in ticks if low * 1.3 <= t <= high * 1.3])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}".replace("-", "\u2212")))


def _span(row: RangeRow) -> float:
    return row.high - row.low
