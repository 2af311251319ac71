"""An episode's settings, as they cross the wire and as the simulation needs them.

    settings = read_settings([True, False, [True, 0.05]])      # the others keep their defaults
    settings.synchronous, settings.fixed_delta_s               # True, 0.05
    settings.to_wire()

What this world does not use (substepping, culling, tiles) is kept and told back as it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from carla_bridge.world.server.arguments import flag, number
from carla_bridge.world.server.envelope import CallError

LONGEST_DELTA_S, SHORTEST_DELTA_S = 1.0, 1e-4
DEFAULT_REST = (True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True)
"""CARLA's own defaults (docs, `carla.WorldSettings`), from `substepping` on."""
KINDS: tuple[type, ...] = (bool, float, int, float, bool, float, float, bool)


@dataclass(frozen=True)
class Settings:
    """How time passes; ``fixed_delta_s`` None lets the world choose."""

    synchronous: bool = False
    no_rendering: bool = False
    fixed_delta_s: float | None = None
    rest: tuple[Any, ...] = DEFAULT_REST

    def to_wire(self) -> list[object]:
        """Return the eleven members in CARLA's order."""
        delta = [False] if self.fixed_delta_s is None else [True, self.fixed_delta_s]
        return [self.synchronous, self.no_rendering, delta, *self.rest]


def read_settings(wire: Any) -> Settings:
    """Return settings from a client; members that are left out keep their defaults."""
    if not isinstance(wire, list):
        raise CallError("settings are a list of members")
    synchronous = flag(wire[0], "synchronous_mode") if len(wire) > 0 else False
    no_rendering = flag(wire[1], "no_rendering_mode") if len(wire) > 1 else False
    delta = _delta(wire[2]) if len(wire) > 2 else None
    rest = list(DEFAULT_REST)
    for index, (value, kind) in enumerate(zip(wire[3:], KINDS, strict=False)):
        rest[index] = flag(value, "a setting") if kind is bool else kind(number(value, "a setting"))
    return Settings(synchronous, no_rendering, delta, tuple(rest))


def _delta(optional: Any) -> float | None:
    """Return an optional double; CARLA reads 0 as "none", too."""
    if not isinstance(optional, list) or not optional or not flag(optional[0], "an optional"):
        return None
    delta = number(optional[1], "fixed_delta_seconds")
    if delta == 0.0:
        return None
    if not SHORTEST_DELTA_S <= delta <= LONGEST_DELTA_S:
        raise CallError(
            f"fixed_delta_seconds is {delta:g}; choose {SHORTEST_DELTA_S:g} to {LONGEST_DELTA_S:g}"
        )
    return delta
