"""What the page shows of each route: its runs, how drivers compare, and the runs drawn in full.

    for section in route_sections(results, folder):
        print(section.title, len(section.runs), len(section.drawn))

A result may hold hundreds of runs. All are in the tables; the worst ones are drawn, every route's
worst first.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from markupsafe import Markup

from carla_bridge.evaluation.record import Event, Results, RouteInfo, Run, Trace
from carla_bridge.report.over_distance import compared, profile
from carla_bridge.report.reading import read_map, whole_trace
from carla_bridge.report.strips import MomentStrip, moment_strips
from carla_bridge.report.trajectory import trajectory
from carla_bridge.report.words import latency_name, latency_words, run_name
from carla_bridge.world.maps.lanes import Roads
from edge_seg.report.svg import MEDIUM, WIDE

MOST_DRAWN = 24
"""Runs that are drawn in full."""
MOST_EVENTS = 40
"""Events listed of a run."""
PICTURE_WIDTHS = (320, 256, 192, 128)
"""Widths of pictures to try, pixels, the largest first."""
PICTURE_BUDGET = 5_000_000
"""Characters that all pictures may take together, about."""
CHARACTERS_PER_PIXEL = 0.35
"""Of a road's picture as JPEG in base64; measured on the built-in world's."""


class DrawnRun(msgspec.Struct):
    """A run in full. ``notes`` say in a line each what could not be shown."""

    run: Run
    name: str
    late: str
    map: Markup | None
    profile: Markup | None
    events: list[Event]
    left_out: int
    strips: list[MomentStrip]
    notes: list[str]


class RouteSection(msgspec.Struct):
    """A route: its runs in order, the drivers compared, and those drawn in full."""

    route: RouteInfo
    runs: list[Run]
    compared: Markup | None
    compared_drivers: list[str]
    drawn: list[DrawnRun]


def route_sections(results: Results, folder: Path) -> list[RouteSection]:
    """Return a section for each route, in the order in which they were asked for."""
    groups = by_route(results.runs)
    chosen = worst_runs((runs for _, runs in groups), MOST_DRAWN)
    maps: dict[str, Roads | str] = {}
    numbers = {run.key: f"run{index}" for index, run in enumerate(results.runs)}
    sections = []
    for index, (route, runs) in enumerate(groups):
        roads = maps.get(route.map_file)
        if roads is None:
            roads = maps[route.map_file] = read_map(folder, route.map_file)
        traces = {run.key: trace for run in runs if (trace := whole_trace(folder, run)) is not None}
        drawn = [
            _draw(run, traces.get(run.key), roads, numbers[run.key])
            for run in sorted(runs, key=badness, reverse=True)
            if run.key in chosen
        ]
        firsts = _first_repeats(runs, traces)
        drivers = list(dict.fromkeys(name for row in firsts.values() for name in row))
        side_by_side = compared(firsts, drivers, WIDE, f"route{index}")
        sections.append(RouteSection(route, runs, side_by_side, drivers, drawn))
    _add_pictures([drawn for section in sections for drawn in section.drawn], folder)
    return sections


def by_route(runs: list[Run]) -> list[tuple[RouteInfo, list[Run]]]:
    """Return each route with its runs, as a run knows it that was driven.

    One that ended before it began knows neither the spawn point nor the length.
    """
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.route.map, run.route.number), []).append(run)
    return [
        (next((r for r in group if r.metrics is not None), group[0]).route, group)
        for group in groups.values()
    ]


def badness(run: Run) -> tuple[bool, int, float]:
    """Return what runs are sorted by: failed, then departures, then the largest error."""
    metrics = run.metrics
    if metrics is None:
        return True, 0, 0.0
    return run.status == "Failed", metrics.departures, metrics.cross_track_max_m


def worst_runs(groups: Iterable[list[Run]], most: int) -> set[str]:
    """Return the keys of the runs to draw: the worst of every route, then the worst of all."""
    ordered = [sorted(runs, key=badness, reverse=True) for runs in groups]
    firsts = sorted((runs[0] for runs in ordered), key=badness, reverse=True)
    others = sorted((r for runs in ordered for r in runs[1:]), key=badness, reverse=True)
    return {run.key for run in (firsts + others)[:most]}


def _first_repeats(runs: list[Run], traces: dict[str, Trace]) -> dict[str, dict[str, Trace]]:
    """Return latency -> driver -> trace, of the first repeat of each that has a trace."""
    rows: dict[str, dict[str, Trace]] = {}
    for run in runs:
        if run.key in traces:
            late = latency_name(run.latency)
            rows.setdefault(late, {}).setdefault(run.driver, traces[run.key])
    return rows


def _draw(run: Run, trace: Trace | None, roads: Roads | str, key: str) -> DrawnRun:
    """Draw a run, without its pictures."""
    notes, path, lines = [], None, None
    if isinstance(roads, str):
        notes.append(roads)
    if trace is None:
        notes.append(f"No trace of this run: {run.trace or 'none was written'}.")
    else:
        known_roads = None if isinstance(roads, str) else roads
        path = trajectory(trace, run.events, known_roads, MEDIUM, f"{key}m")
        lines = profile(trace, run.route.speed_kmh, MEDIUM, f"{key}p")
    return DrawnRun(
        run=run,
        name=run_name(run),
        late=latency_words(run.latency),
        map=path,
        profile=lines,
        events=run.events[:MOST_EVENTS],
        left_out=max(0, len(run.events) - MOST_EVENTS),
        strips=[],
        notes=notes,
    )


def _add_pictures(runs: list[DrawnRun], folder: Path) -> None:
    """Give the runs their strips, and say which pictures are missing."""
    count = sum(len(m.pictures) for drawn in runs for m in drawn.run.moments)
    width = picture_width(count)
    for drawn in runs:
        drawn.strips = moment_strips(folder, drawn.run.moments, width)
        missing = [name for strip in drawn.strips for name in strip.missing]
        if missing:
            drawn.notes.append(f"Pictures that cannot be read: {', '.join(missing)}.")


def picture_width(count: int) -> int:
    """Return the largest width of `PICTURE_WIDTHS` at which so many pictures fit the budget."""
    room = PICTURE_BUDGET / (max(count, 1) * CHARACTERS_PER_PIXEL)
    fitting = (width for width in PICTURE_WIDTHS if 0.75 * width**2 <= room)
    return next(fitting, PICTURE_WIDTHS[-1])
