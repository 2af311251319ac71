"""What all sensors share: attributes as numbers, and when the next measurement is due.

sensor.due(12.35)           # True once every ``sensor_tick`` seconds of simulated time
sensor.number("fov")        # 90.0
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from carla_bridge.world.server.actors import Actor
from carla_bridge.world.server.envelope import CallError

SLACK_S = 1e-6
"""Sums of time steps miss a multiple of the interval by rounding; this much is no miss."""


@dataclass(eq=False)
class Sensor(Actor):
    """An actor that measures; it has a stream once the episode gave it one."""

    interval_s: float = field(default=0.0, init=False)
    _next_s: float = field(default=-math.inf, init=False)

    def __post_init__(self) -> None:
        if "sensor_tick" in self.attributes:
            self.interval_s = max(0.0, self.number("sensor_tick"))

    def number(self, name: str) -> float:
        """Return an attribute as a finite float."""
        value = self.attributes[name]
        try:
            parsed = float(value)
        except ValueError:
            parsed = math.nan
        if not math.isfinite(parsed):
            raise CallError(f"{self.kind}: attribute {name} is {value[:40]!r}, no finite number")
        return parsed

    def whole(self, name: str) -> int:
        """Return an attribute as an int."""
        value = self.number(name)
        if value != int(value):
            raise CallError(f"{self.kind}: attribute {name} is {value}, no whole number")
        return int(value)

    def due(self, time_s: float) -> bool:
        """Tell whether to measure at this time, and if so, count the interval from it."""
        if time_s < self._next_s - SLACK_S:
            return False
        # In step with the first measurement, unless the world's steps are longer than the interval.
        self._next_s = max(self._next_s + self.interval_s, time_s)
        if self._next_s <= time_s + SLACK_S:
            self._next_s = time_s + self.interval_s
        return True
