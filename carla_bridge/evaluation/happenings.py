"""Collisions and crossed lines of a run, from CARLA's own sensors.

    happenings = Happenings(session, car)
    events = happenings.between(first_frame, trace)

A collision goes on for many ticks; as in the leaderboard it counts once while it is with the same
actor within 5 s or with any within 5 m, and not at all where the car stands (scenario_runner,
`atomic_criteria.py`, CollisionTest).
"""

from __future__ import annotations

import math
from typing import Any

from carla_bridge.client.session import Session
from carla_bridge.evaluation.record import Event, Trace

SAME_ACTOR_S, SAME_PLACE_M, STANDING_MPS = 5.0, 5.0, 0.1
MOST = 100_000
"""Events kept: a touching car reports each tick."""


class Happenings:
    """The two sensors on one car."""

    def __init__(self, session: Session, car: Any) -> None:
        self._none = session.carla.LaneMarkingType.NONE
        self._collisions = session.events("sensor.other.collision", car, MOST)
        self._invasions = session.events("sensor.other.lane_invasion", car, MOST)

    def between(self, first_frame: int, trace: Trace) -> list[Event]:
        """Return what happened at the trace's ticks, in order of time; to be called once."""
        ticks = len(trace.tick)
        bumps = [e for e in self._collisions.take() if 0 <= e.frame - first_frame < ticks]
        lines = [e for e in self._invasions.take() if 0 <= e.frame - first_frame < ticks]
        events = _collisions(sorted(bumps, key=lambda e: e.frame), first_frame, trace)
        for event in sorted(lines, key=lambda e: e.frame):
            kinds = {mark.type for mark in event.crossed_lane_markings} - {self._none}
            if kinds:
                what = ", ".join(sorted(str(kind) for kind in kinds))
                events.append(_event("lane invasion", event.frame - first_frame, trace, what))
        return sorted(events, key=lambda event: event.time_s)


def _collisions(bumps: list[Any], first_frame: int, trace: Trace) -> list[Event]:
    kept: list[Event] = []
    last_of: dict[int, float] = {}
    for bump in bumps:
        tick = bump.frame - first_frame
        name = bump.other_actor.type_id
        event = _event("collision", tick, trace, name, leaderboard_key(name))
        again = event.time_s - last_of.get(bump.other_actor.id, -math.inf) < SAME_ACTOR_S
        here = any(
            math.hypot(event.x_m - other.x_m, event.y_m - other.y_m) < SAME_PLACE_M
            for other in kept
        )
        last_of[bump.other_actor.id] = event.time_s
        if not (again or here or trace.speed_mps[tick] < STANDING_MPS):
            kept.append(event)
    return kept


def leaderboard_key(type_id: str) -> str:
    """Return the leaderboard's record key for what was hit.

    >>> leaderboard_key("vehicle.audi.tt"), leaderboard_key("static.wall")
    ('collisions_vehicle', 'collisions_layout')
    """
    if type_id.startswith("walker"):
        return "collisions_pedestrian"
    return "collisions_vehicle" if type_id.startswith("vehicle") else "collisions_layout"


def _event(kind: Any, tick: int, trace: Trace, what: str, key: str = "") -> Event:
    return Event(
        kind=kind,
        time_s=trace.time_s[tick],
        distance_m=round(trace.progress_m[tick], 3),
        x_m=round(trace.x_m[tick], 3),
        y_m=round(trace.y_m[tick], 3),
        what=what,
        key=key,
    )
