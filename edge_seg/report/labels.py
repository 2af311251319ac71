"""Point labels that overlap neither each other nor the points.

place_labels(axes, [(1.0, 92.1), (1.1, 92.0)], ["openvino int8", "onnxruntime int8"])
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

from edge_seg.report.svg import MUTED

RADII = (10, 20, 32, 46, 62, 80)
"""Distances from the point to try, in pixels, the nearest first."""
SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Directions to try at each distance: right, left, above, below, then the corners."""
POINT = 7
"""Half the side of the square that a point keeps clear, in pixels."""


def place_labels(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    strong: int | None = None,
    taken: Sequence[Bbox] = (),
) -> list[Bbox]:
    """Write each text by its point and return their boxes, in display pixels.

    Greedy: the strong label (index ``strong``) first, then in order; each takes the first
    free place of `RADII` x `SIDES`, pushed inside the axes, with a thin line to the point where it
    had to go far. ``taken`` are boxes to keep clear of. Call it when the layout is final.
    """
    canvas = axes.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()
    centres = [axes.transData.transform(point) for point in points]
    blocked = [Bbox.from_extents(x - POINT, y - POINT, x + POINT, y + POINT) for x, y in centres]
    blocked += taken
    placed: dict[int, Bbox] = {}
    for index in sorted(range(len(points)), key=lambda i: i != strong):
        weight = "bold" if index == strong else "normal"
        text = axes.text(0, 0, texts[index], size=11.5, weight=weight, transform=None, va="bottom")
        extent = text.get_window_extent(renderer)
        x, y = centres[index]
        box, far = _free_place(x, y, extent.width, extent.height, axes.bbox, blocked)
        text.set_position((box.x0, box.y0))
        if far:
            ends = min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1)
            axes.plot([x, ends[0]], [y, ends[1]], color=MUTED, lw=0.7, transform=None, zorder=1)
        blocked.append(box)
        placed[index] = box
    return [placed[index] for index in range(len(points))]


def _free_place(
    x: float, y: float, width: float, height: float, frame: Bbox, blocked: Sequence[Bbox]
) -> tuple[Bbox, bool]:
    """Return the first free box about a point, and whether it is far from it."""
    for radius in RADII:
        for right, up in SIDES:
            left = x + right * radius + (right - 1) * width / 2
            bottom = y + up * radius + (up - 1) * height / 2
            left = min(max(left, frame.x0), frame.x1 - width)
            bottom = min(max(bottom, frame.y0), frame.y1 - height)
            box = Bbox.from_bounds(left, bottom, width, height)
            if not any(box.overlaps(other) for other in blocked):
                return box, radius > RADII[0]
    return Bbox.from_bounds(x + RADII[0], y, width, height), False
