"""The lane that the driver found, found again: a record keeps masks and motion, not lanes.

    replay = Replay(trace, view, speed_mps=8.3)
    lines = replay.lines(row, mask)       # in pixels: both boundaries and the middle, or none

The same `Driver` is shown the recorded masks with the recorded motion and route. It sees those
that were filmed, half of all perhaps, so its lane may differ a little from the one that was driven.
"""

from __future__ import annotations

import numpy as np

from carla_bridge.driving.driver import SURE, CarGeometry, Driver, Guide
from carla_bridge.driving.lane import Lane
from carla_bridge.driving.track import LENGTHS_M
from carla_bridge.driving.view import View
from carla_bridge.evaluation.record import Trace
from carla_bridge.evaluation.routes import GUIDE_AHEAD_M, GUIDE_BEHIND_M, to_vehicle
from carla_bridge.report.overlay import Pixels
from edge_seg.preprocess import Mask

SHOWN_M = (4.0, 35.0)
"""Of the lane ahead: nearer is below the picture, farther is a guess."""
CAR = CarGeometry(wheelbase_m=2.9)
"""Only where the rear axle is matters to what is seen."""


class Replay:
    """A run's driver that looks again; rows are to be asked for in order."""

    def __init__(self, trace: Trace, view: View, speed_mps: float) -> None:
        self._trace, self._view = trace, view
        self._driver = Driver(view, CAR, speed_mps)
        self._route = np.stack([trace.route_x_m, trace.route_y_m], axis=1)
        steps = np.hypot(*np.diff(self._route, axis=0).T)
        self._along_m = np.concatenate([[0.0], np.cumsum(steps)])[: len(self._route)]
        self._next_row = 0
        self._taken_at_s: float | None = None

    def lines(self, row: int, mask: Mask | None) -> list[Pixels]:
        """Return the lane's lines in the picture of a row; none where it is not sure of one."""
        trace, driver = self._trace, self._driver
        for passed in range(self._next_row, row + 1):
            motion = (trace.speed_mps[passed], trace.yaw_rate_rps[passed])
            driver.act(trace.time_s[passed], *motion, self._guide(passed))
        self._next_row = row + 1
        age_ms = trace.mask_age_ms[row]
        if mask is None or age_ms is None or mask.shape != (self._view.height, self._view.width):
            return []
        taken_at_s = trace.time_s[row] - age_ms / 1e3
        if taken_at_s != self._taken_at_s:
            driver.see(mask, taken_at_s)
            self._taken_at_s = taken_at_s
        lane = driver.lane
        if lane is None or lane.confidence < SURE or trace.guided[row]:
            return []
        return lane_lines(lane, self._view)

    def _guide(self, row: int) -> Guide | None:
        """Return the way through a junction where the driver was shown it."""
        trace = self._trace
        if not trace.guided[row]:
            return None
        ahead_m = self._along_m - trace.progress_m[row]
        shown = (ahead_m >= -GUIDE_BEHIND_M) & (ahead_m <= GUIDE_AHEAD_M)
        place = (trace.x_m[row], trace.y_m[row], trace.yaw_deg[row])
        return Guide(to_vehicle(self._route[shown], *place), sharpest_curvature_1pm=0.0)


def lane_lines(lane: Lane, view: View) -> list[Pixels]:
    """Return the left and right boundary and the middle of a lane, in pixels of its mask."""
    ahead_m = LENGTHS_M
    shown = (ahead_m >= SHOWN_M[0]) & (ahead_m <= min(SHOWN_M[1], lane.road_end_m))
    grounds = (lane.boundary_m(1.0), lane.boundary_m(-1.0), lane.track.points_m)
    return [view.pixels(np.asarray(ground)[shown]) for ground in grounds]
