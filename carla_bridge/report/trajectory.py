"""A run on the map: the roads, the route, and the path in the colour of its cross-track error.

    svg = trajectory(trace, run.events, roads, width=520, key="run3")

North is up. CARLA's y points south, so it changes its sign here.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection

from carla_bridge.evaluation.record import Event, Trace
from carla_bridge.report.colours import ERROR, ROAD, error_step, inline
from carla_bridge.world.coordinates import to_carla
from carla_bridge.world.maps.lanes import Roads
from edge_seg.report.svg import INK, LINE, MUTED, STATUS_COLOUR, canvas, drawing

Points = npt.NDArray[np.float64]

MARGIN_M = 25.0
"""What is shown of the map beyond the route."""
PIECES = 500
"""The path is drawn in at most so many pieces, each in the colour of its largest error."""
TOLERANCE_M = 0.15
"""How far a drawn lane may lie from the map's: a fraction of a pixel."""
TALLEST = 420
"""Height of the picture at most, CSS pixels."""
FLATTEST = 0.45
"""Height over width at least."""
MARKS = {"departure": "v", "collision": "X", "lane invasion": "|", "end": "s"}


def trajectory(
    trace: Trace, events: list[Event], roads: Roads | None, width: int, key: str
) -> Markup | None:
    """Draw where the car drove, or None where the trace has fewer than two ticks."""
    path = map_points(trace.x_m, trace.y_m)
    if len(path) < 2:
        return None
    route = map_points(trace.route_x_m, trace.route_y_m)
    low, high, height = _frame(np.concatenate([path, route]), width)
    with drawing():
        figure = canvas(width, height)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
        if roads is not None:
            _draw_roads(axes, roads, low, high)
        axes.plot(*route.T, color=MUTED, lw=0.9, ls=(0, (4, 3)), zorder=2)
        _draw_path(axes, path, np.abs(trace.cross_track_m))
        axes.plot(*path[0], "o", ms=7, color=INK, zorder=5)
        hover = _draw_events(axes, events)
        _scale_bar(axes, float((high - low)[0]))
        alt = f"Path of {trace.key} over the map, {len(path)} ticks; colours are the error."
        return inline(figure, key, alt, hover)


def map_points(x_m: list[float], y_m: list[float]) -> Points:
    """Return CARLA's x and y as (n, 2) map coordinates, y to the north."""
    points = np.stack([np.asarray(x_m, float), np.asarray(y_m, float), np.zeros(len(x_m))], 1)
    return np.asarray(to_carla(points)[:, :2])


def _frame(points: Points, width: int) -> tuple[Points, Points, float]:
    """Return the corners of what is shown, metres, and the picture's height for its width.

    Both axes have one scale: where the height is bounded, more of the land beside is shown.
    """
    low, high = points.min(axis=0) - MARGIN_M, points.max(axis=0) + MARGIN_M
    across, up = high - low
    height = float(np.clip(width * up / across, FLATTEST * width, TALLEST))
    per_pixel = max(across / width, up / height)
    room = (np.array([width, height]) * per_pixel - (high - low)) / 2
    return low - room, high + room, height


def _draw_roads(axes: Axes, roads: Roads, low: Points, high: Points) -> None:
    middle, reach = (low + high) / 2, float((high - low).max()) / 2
    near = roads.around(middle, reach)
    lanes = [lane for lane in near.lanes if lane.paved and len(lane.s) > 1]
    asphalt, edges = [], []
    for lane in lanes:
        left, right = simplified(lane.left[:, :2]), simplified(lane.right[:, :2])
        asphalt.append(np.concatenate([left, right[::-1]]))
        edges += [left, right] if lane.kind == "Driving" and not lane.junction else []
    axes.add_collection(PolyCollection(asphalt, facecolors=ROAD, linewidths=0, zorder=0))
    axes.add_collection(LineCollection(edges, colors=LINE, linewidths=0.7, zorder=1))


def simplified(points: Points, tolerance_m: float = TOLERANCE_M) -> Points:
    """Return a line (n, 2) with as few corners as stay within the tolerance (Douglas-Peucker)."""
    origin = points[0]  # single precision is exact enough near zero
    local = (points - origin).astype(np.float32).reshape(-1, 1, 2)
    kept = cv2.approxPolyDP(local, tolerance_m, False).reshape(-1, 2)
    return np.asarray(kept + origin)


def _draw_path(axes: Axes, path: Points, error_m: Points) -> None:
    starts = np.unique(np.linspace(0, len(path) - 1, PIECES + 1).astype(int))
    worst = np.maximum.reduceat(error_m, starts[:-1])
    steps = error_step(worst)
    for step, colour in enumerate(ERROR):
        pieces = []
        for begin, end in _runs_of(steps == step):
            pieces.append(simplified(path[starts[begin] : starts[end] + 1], 0.05))
        # Butt ends would leave gaps at corners; the worst colours lie on top.
        lines = LineCollection(pieces, colors=colour, linewidths=2.6, zorder=3 + step / 10)
        lines.set_capstyle("round")
        axes.add_collection(lines)


def _runs_of(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the (begin, end) of each run of True."""
    steps = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True))


def _draw_events(axes: Axes, events: list[Event]) -> dict[str, str]:
    """Mark where things happened, and return what is shown over each mark."""
    hover = {}
    for index, event in enumerate(events):
        (place,) = map_points([event.x_m], [event.y_m])
        colour = INK if event.kind == "end" else STATUS_COLOUR["failed"]
        small = event.kind == "lane invasion"
        axes.plot(
            *place,
            MARKS[event.kind],
            ms=6 if small else 9,
            color=colour,
            mew=1.5 if small else 0,
            zorder=4 if small else 6,
            gid=f"e{index}",
        )
        hover[f"e{index}"] = f"{event.kind} {event.what} at {event.time_s:.1f} s".replace("  ", " ")
    return hover


def _scale_bar(axes: Axes, across_m: float) -> None:
    """Draw a bar of a round length, about a fifth of the picture's width."""
    rough = across_m / 5
    decade = 10.0 ** np.floor(np.log10(rough))
    length = max(part * decade for part in (1, 2, 5) if part * decade <= rough)
    left, right = axes.get_xlim()
    share = length / (right - left)
    start = 0.985 - share
    place = axes.transAxes
    axes.plot([start, start + share], [0.03, 0.03], color=MUTED, lw=2, transform=place, zorder=7)
    name = f"{length:g} m"
    axes.text(start + share / 2, 0.05, name, color=MUTED, size=11, ha="center", transform=place)
