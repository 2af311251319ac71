"""The charts of a study's page, each a function from the results to inline SVG, or None.

    pareto(results, "p50_ms", WIDE)      # accuracy against latency
    pareto(results, "size_bytes", WIDE)  # accuracy against the file's size
    by_weights(results, MEDIUM)          # accuracy against the weights at their bits
    distributions(results, WIDE)         # what each frame loses, row by row
    profile(results, WIDE)               # where the milliseconds go, operator by operator
    memory(results, MEDIUM)

A chart is None where there is nothing to draw. Widths are in CSS pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from edge_seg.figures import figure as number
from edge_seg.report.axes import spread_axis
from edge_seg.report.labels import place_labels
from edge_seg.report.svg import (
    INK,
    LINE,
    MUTED,
    NARROW,
    STATUS_COLOUR,
    canvas,
    drawing,
    inline_svg,
    short,
)
from edge_seg.study.intervals import interval
from edge_seg.study.results import Results, Row, names_of

COLOURS = {
    **{STATUS_COLOUR[name]: f"--{name}" for name in ("passed", "winner", "rejected", "failed")},
    INK: "--ink",
}
"""Of the methods, in the plan's order, with the page's variables; other precisions are grey."""
MARKERS = {"o": "\u25cf", "s": "\u25a0", "D": "\u25c6", "^": "\u25b2", "v": "\u25bc", "X": "\u2716"}
"""Of the engines, in the order in which they come, with the sign that a page writes for each."""
MOST_ROWS = 24
"""In one chart of distributions."""
MOST_OPERATORS = 10
ROOM = 6
"""Half the side of the square that an unnamed mark keeps clear of names, in pixels."""


class _Looks:
    """How rows are drawn: a colour for each method, a marker for each engine."""

    def __init__(self, results: Results) -> None:
        self.methods = list(dict.fromkeys(row.method for row in results.rows if row.method))
        self.engines = list(dict.fromkeys(row.engine for row in results.rows))

    def colour(self, row: Row) -> str:
        """Return a row's colour."""
        if not row.method:
            return STATUS_COLOUR["baseline"]
        return list(COLOURS)[self.methods.index(row.method) % len(COLOURS)]

    def marker(self, row: Row) -> str:
        """Return a row's marker."""
        return list(MARKERS)[self.engines.index(row.engine) % len(MARKERS)]


def legend(results: Results) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return (method, CSS variable) and (engine, sign) of all that the charts show."""
    looks = _Looks(results)
    colours, signs = list(COLOURS.values()), list(MARKERS.values())
    methods = [(name, colours[i % len(colours)]) for i, name in enumerate(looks.methods)]
    engines = [(name, signs[i % len(signs)]) for i, name in enumerate(looks.engines)]
    return methods, engines


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the points that no other beats in both, by x: less x or more y is better.

    >>> front([(1.0, 90.0), (2.0, 89.0), (3.0, 92.0)])
    [0, 2]
    """
    kept: list[int] = []
    best = -np.inf
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[index][1] > best:
            kept.append(index)
            best = points[index][1]
    return kept


AXES = {
    "p50_ms": (1.0, "ms", "p50 latency, ms (left is faster)", "latency"),
    "size_bytes": (1e-6, "MB", "file, MB (left is smaller)", "size"),
    "weight_bytes": (1e-6, "MB", "weights, MB, computed (left is smaller)", "weights"),
}
"""Of `pareto`: the factor to the axis's unit, that unit, the axis's title, and its name."""


def pareto(results: Results, field: str, width: int) -> Markup | None:
    """Draw accuracy over a cost; what no other row beats is joined by a line and named."""
    factor, unit, title, name = AXES[field]
    rows = [r for r in results.rows if r.score is not None and getattr(r, field) is not None]
    if not rows:
        return None
    points = [(factor * getattr(row, field), row.score or 0.0) for row in rows]
    names, looks = names_of(results.rows), _Looks(results)
    best = front(points)
    with drawing():
        figure = canvas(width, 400 if width > NARROW else 340)
        axes = figure.add_subplot()
        _limits(axes, points)
        axes.plot(*zip(*(points[i] for i in best), strict=True), color=MUTED, lw=1.2, zorder=1)
        hover = {}
        for index, (row, (x, y)) in enumerate(zip(rows, points, strict=True)):
            axes.plot(
                [x], [y], ls="none", marker=looks.marker(row), ms=8, color=looks.colour(row),
                mew=0, zorder=3, gid=f"p{index}",
            )  # fmt: skip
            hover[f"p{index}"] = f"{names[row.key]}: {number(y)} %, {number(x)} {unit}"
        axes.set_xlabel(title)
        axes.set_ylabel(f"{results.measure}, %")
        figure.draw_without_rendering()  # the layout is final from here on
        figure.set_layout_engine("none")
        named = [*best, *(i for i, row in enumerate(rows) if row.is_reference and i not in best)]
        texts = [short(names[rows[i].key], width) for i in named]
        others = [axes.transData.transform(points[i]) for i in range(len(rows)) if i not in named]
        marks = [Bbox.from_extents(x - ROOM, y - ROOM, x + ROOM, y + ROOM) for x, y in others]
        place_labels(axes, [points[i] for i in named], texts, taken=marks)
        alt = f"Accuracy over {name} of {len(rows)} rows; the table has the values."
        return inline_svg(figure, f"{name}{width}", alt, hover)


def by_weights(results: Results, width: int) -> Markup | None:
    """Draw accuracy over the weights at their bits, where rows have fewer than a file stores."""
    few = any(0 < row.bits < 7 for row in results.rows)
    return pareto(results, "weight_bytes", width) if few else None


def _limits(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Set scales and limits: room for labels on the right."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    spread = max(xs) - min(xs) or 0.5 * max(xs)
    spread_axis(axes, xs, 0.15 * spread, 0.35 * spread)
    tall = max(max(ys) - min(ys), 0.2)
    axes.set_ylim(min(ys) - 0.2 * tall, max(ys) + 0.2 * tall)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(True)


def frame_drops(results: Results, row: Row) -> list[float]:
    """Return what each frame's score loses against the float row, in points."""
    reference = results.row(row.reference)
    if reference is None:
        return []
    pairs = zip(reference.image_scores, row.image_scores, strict=False)
    return [a - b for a, b in pairs if a is not None and b is not None]


def distributions(results: Results, width: int) -> Markup | None:
    """Draw each frame's loss as a dot, the quartiles as a box, the mean with its interval."""
    drops = {row.key: frame_drops(results, row) for row in results.rows if not row.is_reference}
    rows = [row for row in results.rows if drops.get(row.key)][:MOST_ROWS]
    if not rows:
        return None
    names, looks = names_of(results.rows), _Looks(results)
    with drawing():
        figure = canvas(width, 30 * len(rows) + 56)
        axes = figure.add_subplot()
        hover = {}
        for place, row in enumerate(rows):
            values = np.asarray(drops[row.key])
            _strip(axes, place, values, looks.colour(row))
            found = interval(values.tolist())
            axes.plot([found.mean], [place], "D", ms=6, color=INK, mew=0, zorder=5, gid=f"m{place}")
            if found.low is not None and found.high is not None:
                axes.plot([found.low, found.high], [place] * 2, color=INK, lw=2, zorder=4)
            hover[f"m{place}"] = f"{names[row.key]}: mean {number(found.mean)} points"
        axes.axvline(0, color=LINE, lw=1.2, zorder=0)
        axes.set_yticks(range(len(rows)), [short(names[r.key], width) for r in rows], color=INK)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(
            f"points of {results.measure} that a frame loses against float (left is better)"
        )
        axes.spines["left"].set_visible(False)
        axes.grid(True, axis="x")
        alt = f"What each of {len(results.images)} frames loses, in {len(rows)} rows."
        return inline_svg(figure, f"frames{width}", alt, hover)


def _strip(axes: Axes, place: int, values: np.ndarray, colour: str) -> None:
    """Draw the dots, apart by a fixed pattern, and the box of the quartiles."""
    shifts = ((np.arange(len(values)) * 0.618) % 1 - 0.5) * 0.5
    axes.plot(values, place + shifts, "o", ms=3, color=colour, mew=0, alpha=0.55, zorder=2)
    low, middle, high = np.percentile(values, (25, 50, 75))
    axes.barh(place, high - low, left=low, height=0.5, fill=False, edgecolor=colour, lw=1.2)
    axes.plot([middle, middle], [place - 0.25, place + 0.25], color=colour, lw=1.6)


def profile(results: Results, width: int) -> Markup | None:
    """Draw the operators that take longest, a bar for each profiled row."""
    rows = [row for row in results.rows if row.key in results.profiles]
    if not rows:
        return None
    longest: dict[str, float] = {}
    for times in results.profiles.values():
        for kind, value in times.items():
            longest[kind] = max(longest.get(kind, 0.0), value)
    kinds = sorted(longest, key=lambda kind: -longest[kind])[:MOST_OPERATORS]
    names, looks = names_of(results.rows), _Looks(results)
    with drawing():
        figure = canvas(width, (16 * len(rows) + 12) * len(kinds) + 56)
        axes = figure.add_subplot()
        thick = 0.78 / len(rows)
        hover = {}
        for order, row in enumerate(rows):
            for index, kind in enumerate(kinds):
                if kind not in results.profiles[row.key]:  # float has no quantized operators
                    continue
                value = results.profiles[row.key][kind]
                place = index + (order - (len(rows) - 1) / 2) * thick
                gid = f"o{order}-{index}"
                axes.barh(place, value, height=thick * 0.86, color=looks.colour(row))[0].set_gid(
                    gid
                )
                axes.annotate(
                    f"{value:.2f}", (value, place), xytext=(4, 0), textcoords="offset points",
                    va="center", size=10.5,
                )  # fmt: skip
                hover[gid] = f"{names[row.key]}, {kind}: {value:.2f} ms a frame"
        axes.set_yticks(range(len(kinds)), [short(kind, width) for kind in kinds], color=INK)
        axes.set_ylim(len(kinds) - 0.45, -0.55)
        axes.set_xlim(0, 1.18 * max(longest.values()))
        axes.set_xlabel("ms a frame")
        axes.spines["left"].set_visible(False)
        axes.grid(True, axis="x")
        alt = f"Time of {len(kinds)} kinds of operators in {len(rows)} rows."
        return inline_svg(figure, f"profile{width}", alt, hover)


def memory(results: Results, width: int) -> Markup | None:
    """Draw each row's peak memory as a bar."""
    rows = [row for row in results.rows if row.peak_rss_bytes is not None][:MOST_ROWS]
    if not rows:
        return None
    names, looks = names_of(results.rows), _Looks(results)
    values = [(row.peak_rss_bytes or 0) / 1e6 for row in rows]
    with drawing():
        figure = canvas(width, 26 * len(rows) + 44)
        axes = figure.add_subplot()
        bars = axes.barh(range(len(rows)), values, height=0.62, color=[*map(looks.colour, rows)])
        hover = {}
        for index, bar in enumerate(bars):
            bar.set_gid(f"b{index}")
            hover[f"b{index}"] = f"{names[rows[index].key]}: {values[index]:.0f} MB"
            axes.annotate(
                f"{values[index]:.0f} MB", (values[index], index), xytext=(5, 0),
                textcoords="offset points", va="center", size=11,
            )  # fmt: skip
        axes.set_yticks(range(len(rows)), [short(names[r.key], width) for r in rows], color=INK)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, 1.25 * max(values))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel("peak resident memory, MB")
        axes.spines["left"].set_visible(False)
        axes.grid(True, axis="x")
        alt = f"Peak memory of {len(rows)} rows' processes."
        return inline_svg(figure, f"memory{width}", alt, hover)
