"""Latency against departures per km: how late a mask may be before the lane is lost.

svg = curve_chart(results.curve, width=680)
"""

from __future__ import annotations

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from carla_bridge.evaluation.record import Curve
from carla_bridge.report.colours import SERIES, inline
from edge_seg.report.svg import MUTED, STATUS_COLOUR, canvas, drawing


def curve_chart(curve: Curve, width: int) -> Markup | None:
    """Draw the curve: discs where the lane was kept, crosses where not; completion below."""
    points = sorted(curve.points, key=lambda point: point.latency_ms)
    if not points:
        return None
    late = [point.latency_ms for point in points]
    with drawing():
        figure = canvas(width, 330)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        upper.plot(late, [p.departures_per_km for p in points], color=SERIES[0], lw=1.6, zorder=2)
        lower.plot(late, [p.completion for p in points], color=SERIES[0], lw=1.6, zorder=2)
        hover = {}
        for index, point in enumerate(points):
            kept = point.keeps_lane
            colour = SERIES[0] if kept else STATUS_COLOUR["failed"]
            for axes, value in ((upper, point.departures_per_km), (lower, point.completion)):
                gid = f"{'u' if axes is upper else 'l'}{index}"
                mark = "o" if kept else "X"
                at = (point.latency_ms, value)
                axes.plot(*at, mark, ms=8, mew=0, color=colour, gid=gid, zorder=3)
                hover[gid] = (
                    f"{point.latency_ms:g} ms: {point.departures_per_km:.2f} departures per km, "
                    f"{point.completion:.0f} % completed, "
                    f"cross-track p95 {point.cross_track_p95_m:.2f} m"
                )
        if curve.largest_ms is not None:
            for axes in (upper, lower):
                axes.axvline(curve.largest_ms, color=MUTED, lw=1.0, ls=(0, (4, 3)), zorder=1)
        upper.set_ylabel("departures per km")
        upper.set_ylim(bottom=-0.04 * max(upper.get_ylim()[1], 1.0))
        upper.set_ylim(top=max(upper.get_ylim()[1], 1.0))
        lower.set_ylabel("completed, %")
        lower.set_ylim(-6, 108)
        lower.set_xlabel("latency of every frame, ms")
        for axes in (upper, lower):
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.grid(True)
        alt = f"Departures per km at {len(points)} latencies; the table has the values."
        return inline(figure, f"curve{width}", alt, hover)
