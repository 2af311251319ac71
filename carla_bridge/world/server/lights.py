"""Traffic lights of a map: they stand where the map has signals, and show what they are told.

    lights = traffic_lights(town, first_id=2)
    lights[0].show(RED)

Signals of the type 1000001 (OpenDRIVE's traffic light for vehicles) become actors. They are
green until a client sets them (`set_traffic_light_state`), and do not cycle: cars of this world
heed none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from carla_bridge.world.server import world_message
from carla_bridge.world.server.actors import Actor
from carla_bridge.world.server.envelope import CallError
from carla_bridge.world.server.towns import Town, pose_of
from carla_bridge.world.tags import Tag

KIND = "traffic.traffic_light"
SIGNAL = "1000001"
GREEN, UNKNOWN = 2, 4


@dataclass(eq=False)
class TrafficLight(Actor):
    """One light; ``sign`` is its id in the map."""

    sign: str = field(kw_only=True)
    colour: int = field(default=GREEN, init=False)
    frozen: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.tag = Tag.TRAFFIC_LIGHT

    def show(self, colour: int) -> None:
        """Show red (0), yellow, green, off or unknown (4)."""
        if not 0 <= colour <= UNKNOWN:
            raise CallError(f"a traffic light has no state {colour}; give 0 to {UNKNOWN}")
        self.colour = colour

    def state(self) -> bytes:
        """Return what the world message tells of it."""
        return world_message.light_state(self.sign, self.colour, frozen=self.frozen)


def traffic_lights(town: Town, first_id: int) -> list[TrafficLight]:
    """Return the lights of a map in the order of their ids in it."""
    found = {}
    for landmark in town.carla_map.get_all_landmarks_of_type(SIGNAL):
        place = pose_of(landmark.transform)
        if all(map(math.isfinite, place)):
            found[landmark.id] = place
    return [
        TrafficLight(number, KIND, {}, place, sign=sign)
        for number, (sign, place) in enumerate(sorted(found.items()), start=first_id)
    ]
